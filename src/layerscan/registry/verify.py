"""Bodies as they come in: bounded, and held against their digest and size.

Digests are computed over the bytes received; nothing here knows what they mean.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerscan import digest as digests
from layerscan.digest import Hashing
from layerscan.errors import RegistryError
from layerscan.oci import Descriptor
from layerscan.registry.faults import MAX_ERROR_BODY, TemporaryError
from layerscan.registry.pace import Deadline
from layerscan.text import printable

if TYPE_CHECKING:
    import httpx


class Verifier:
    """Holds a body, called `where`, against its descriptor while it comes in.

    `hashing` computes the digest; None for the thread that takes the body.
    """

    def __init__(self, descriptor: Descriptor, where: str, hashing: Hashing | None = None) -> None:
        self.received = 0
        self._descriptor = descriptor
        self._where = where
        self._hash = digests.hashing(descriptor.digest) if hashing is None else hashing

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self.received += len(chunk)
        if self.received > self._descriptor.size:
            what = f"the registry sends more than the {self._descriptor.size} bytes"
            raise RegistryError(f"{self._where}: {what} that it must have")
        self._hash.update(chunk)

    def finish(self) -> None:
        """The body is at its end: TemporaryError if that is too early."""
        if self.received != self._descriptor.size:
            raise TemporaryError(
                f"{self._where}: the registry sends {self.received} bytes, "
                f"and it must have {self._descriptor.size}"
            )
        digest = self._descriptor.digest
        check_bytes(digests.computed(self._hash, digest), digest, self._where)


def check_bytes(digest: str, expected: str, where: str) -> None:
    """Hold the digest of what was received against what it must be."""
    if digest != expected:
        what = f"what the registry sends has the digest {digest}: it was damaged or exchanged"
        raise RegistryError(f"{where}: {what}")


def body_parts(response: "httpx.Response", where: str) -> Iterator[bytes]:
    """The body of `response`, as received; refused if it is encoded, which was not asked for."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise RegistryError(f"{where}: the registry sends it encoded as {printable(encoding)}")
    return response.iter_raw()


def read_body(
    response: "httpx.Response", where: str, *, limit: int, deadline: Deadline | None = None
) -> bytes:
    """The whole body of `response`, of at most `limit` bytes and, for a document, in time."""
    length = announced(response)
    body = bytearray()
    if length is None or length <= limit:
        for part in body_parts(response, where):
            if deadline is not None:
                deadline.check()
            body += part
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise RegistryError(f"{where}: the registry sends more than the {limit} bytes that are read")


def read_error(response: "httpx.Response") -> bytes:
    """The beginning of an error's body."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) >= MAX_ERROR_BODY:
            break
    return bytes(body)


def drain(response: "httpx.Response") -> None:
    """Read a short body that nobody wants, so that its connection serves on."""
    length = announced(response)
    if length is not None and length <= MAX_ERROR_BODY and not response.is_stream_consumed:
        for _ in response.iter_raw():
            pass


def announced(response: "httpx.Response") -> int | None:
    """The Content-Length of `response`, None where it gives none."""
    text = response.headers.get("Content-Length", "")
    return int(text[:19]) if text.isascii() and text.isdigit() else None


def check_length(response: "httpx.Response", size: int, where: str) -> None:
    """Find out from its head that a body has not `size` bytes."""
    length = announced(response)
    if length is not None and length != size:
        raise RegistryError(
            f"{where}: the registry says that it has {length} bytes, and it must have {size}"
        )
