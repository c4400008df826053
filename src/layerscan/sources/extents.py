"""Where the bytes of a blob lie in an open file: reading and verifying them.

Owns how content on disk becomes chunks, in a file of its own or as part of an archive.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.digest import Hashing
from layerscan.errors import SourceError
from layerscan.oci.blobs import open_file
from layerscan.text import printable

CHUNK = 256 * 1024  # bytes of a chunk


class Extent(NamedTuple):
    """A part of an open file, called `where` in messages.

    What cannot be read, is too long or too short is a SourceError.
    """

    file: int
    offset: int
    length: int
    where: str

    def section(self, offset: int, length: int) -> bytes:
        """Bytes of it, as they are."""
        if offset < 0 or length < 0 or offset + length > self.length:
            end = offset + length
            raise self._fault(f"has {self.length} bytes: none from {offset} to {end}")
        # One call may give less.
        parts = []
        while length:
            part = self._read(offset, length)
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def read(self, limit: int) -> bytes:
        """All of it, if it is not longer than `limit` bytes."""
        if self.length > limit:
            raise self._fault(f"is longer than {limit} bytes")
        return self.section(0, self.length)

    def chunks(self, digest: str | None, hashing: Hashing | None = None) -> Iterator[bytes]:
        """All of it, verified against `digest`, if there is one, when it ends.

        `hashing` computes the digest; None for this thread.
        """
        computed = digests.hashing(digest) if hashing is None else hashing
        position = 0
        while position < self.length:
            chunk = self._read(position, min(CHUNK, self.length - position))
            position += len(chunk)
            computed.update(chunk)
            yield chunk
        if digest is not None and digest != digests.computed(computed, digest):
            raise self._fault(f"is damaged: it should have the digest {digest}")

    def check_length(self, length: int) -> None:
        """Hold its length against what a descriptor says."""
        if self.length != length:
            what = f"has {self.length} bytes, not {length}: it was fetched in part, or damaged"
            raise self._fault(what)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            part = os.pread(self.file, length, self.offset + offset)
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from None
        if not part:
            raise self._fault("became shorter while it was read")
        return part

    def _fault(self, what: str) -> SourceError:
        return SourceError(f"{printable(self.where)}: {what}")


class FolderFiles:
    """Files in a folder that the user named, by their paths without ``.`` and ``..``."""

    def __init__(self, root: str) -> None:
        self._root = root

    @contextmanager
    def open(self, path: str) -> Iterator[Extent]:
        """The regular file `path`, opened without following a symbolic link."""
        where = os.path.join(self._root, path)
        file, length = open_file(where)
        try:
            yield Extent(file, 0, length, where)
        finally:
            os.close(file)

    def has(self, path: str) -> bool:
        """Whether there is something of that name."""
        return os.path.lexists(os.path.join(self._root, path))

    def close(self) -> None:
        """Nothing is open; see `layerscan.sources.archive.Archive`."""
