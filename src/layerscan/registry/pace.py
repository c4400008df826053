"""How slow a server may be: every request has an end of its own.

Owns the floor of what has to come in. It counts the time that is spent waiting for the
server, over heads, bodies and what is between their parts, not that of a slow reader.
"""

import time
from typing import TYPE_CHECKING

from layerscan.errors import RegistryError

if TYPE_CHECKING:
    from httpcore import NetworkStream

GRACE_SECONDS = 120.0  # what an answer may take, however short it is
FLOOR = 4096  # bytes that have to come in each second after that
DOCUMENT_SECONDS = 300.0  # what a document or a token may take in all


class TooSlowError(RegistryError):
    """A server sends so little that the answer may never end. Another attempt is not made."""


class Deadline:
    """The end of what a document may take, called `where`; a long one may take longer."""

    def __init__(self, where: str, size: int = 0) -> None:
        self._where = where
        self._seconds = DOCUMENT_SECONDS + size / FLOOR
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Find out that it is over."""
        if time.monotonic() > self._end:
            raise TooSlowError(f"{self._where}: is not here after {self._seconds:.0f} seconds")


def keep_pace(stream: "NetworkStream", host: str) -> None:
    """Have what is read from a new connection to `host` give up on a server that is too slow."""
    read, write = stream.read, stream.write
    waited, received = 0.0, 0

    def read_in_time(max_bytes: int, timeout: float | None = None) -> bytes:
        nonlocal waited, received
        begun = time.monotonic()
        data = read(max_bytes, timeout)
        waited += time.monotonic() - begun
        received += len(data)
        if waited > GRACE_SECONDS + received / FLOOR:
            raise TooSlowError(
                f"{host}: sends too slowly: {received} bytes in {waited:.0f} seconds; given up"
            )
        return data

    def write_anew(buffer: bytes, timeout: float | None = None) -> None:
        # With what is sent another answer begins.
        nonlocal waited, received
        waited, received = 0.0, 0
        write(buffer, timeout)

    stream.read = read_in_time  # type: ignore[method-assign]
    stream.write = write_anew  # type: ignore[method-assign]
