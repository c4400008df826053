"""What a registry of the tests can be told to do wrong; see `registry_server`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class Fault:
    """One way to answer a request wrongly."""


@dataclass(frozen=True)
class Status(Fault):
    """Answer with this status; `body` as it is, or the registry's error form of `code`."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    code: str = "UNAVAILABLE"
    message: str = "come back later"


@dataclass(frozen=True)
class Cut(Fault):
    """Promise the whole body, send its first `length` bytes, close the connection."""

    length: int


@dataclass(frozen=True)
class Length(Fault):
    """Say in Content-Length that the body is so much longer (or shorter), send all of it."""

    off: int


@dataclass(frozen=True)
class Changed(Fault):
    """Send this body in place of the right one, with its true length."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Headers(Fault):
    """Answer rightly, but with these headers in place of its own; None leaves one out."""

    headers: Mapping[str, str | None]


@dataclass(frozen=True)
class Endless(Fault):
    """Send bytes without end, and no Content-Length."""


@dataclass(frozen=True)
class Drop(Fault):
    """Read so many bytes of the request's body, keep them if it is an upload, and hang up."""

    after: int = 0


@dataclass(frozen=True)
class Silent(Fault):
    """Answer nothing, and keep the connection until the registry is closed."""


@dataclass(frozen=True)
class Trickle(Fault):
    """Send a byte at a time without end: of the ``head``, the ``body``, or a ``chunk``'s size."""

    part: str
    seconds: float = 0.02


@dataclass(frozen=True)
class Stall(Fault):
    """Send the first `length` bytes of the body, and keep the connection open."""

    length: int


@dataclass(frozen=True)
class Lost(Fault):
    """Do all that was asked for, then hang up without an answer."""


def flipped(content: bytes) -> bytes:
    """`content` with its last bit changed."""
    return content[:-1] + bytes([content[-1] ^ 1])
