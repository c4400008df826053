"""A gzip'd tar whose bytes depend on what is in it, and on nothing else.

The headers are those of POSIX ustar and, where these are too narrow, pax
(IEEE 1003.1, "pax Interchange Format"); the gzip member has neither time nor
name (RFC 1952), and zlib packs it at its best.

The same App has the same digest on any machine: tarfile's own headers differ between
versions of Python. But what a replacement of zlib makes (zlib-ng, which some builds of
Python have) has other bytes than zlib's, and so another digest.
"""

import hashlib
import struct
import zlib
from typing import BinaryIO, NamedTuple

FILE, SYMLINK, FOLDER = b"0", b"2", b"5"
"""What an entry is, as ``typeflag`` says it."""

_PAX = b"x"
_BLOCK = 512
# ID, deflate, no flags, no time, best compression, unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_LONGEST_NAME = 100
_LARGEST_SIZE = 0o77777777777


class BundleEntry(NamedTuple):
    """An entry of the archive, but for its content: `size` bytes of a file, else none."""

    name: str  # its path, relative, of ``/`` and names
    kind: bytes  # `FILE`, `SYMLINK` or `FOLDER`
    mode: int  # its permission bits
    size: int = 0
    link: str = ""


class BundleArchive:
    """An archive while it is written to `target`, from front to back.

    Attributes:
        hashing, size: of all bytes written to `target`.
    """

    def __init__(self, target: BinaryIO) -> None:
        self.hashing = hashlib.sha256()
        self.size = 0
        self._target = target
        self._packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        self._crc = 0
        self._length = 0
        self._put(_GZIP_HEADER)

    def add(self, entry: BundleEntry) -> None:
        """Begin an entry. The content of a file follows with `write`, then `pad`."""
        path = entry.name + "/" if entry.kind == FOLDER else entry.name
        name, records = _fitting("path", path)
        link, link_records = _fitting("linkpath", entry.link)
        records += link_records
        size = entry.size
        if size > _LARGEST_SIZE:
            records += _record("size", b"%d" % size)
            size = 0
        if records:
            self.write(_header(b"././@PaxHeader", _PAX, 0o644, len(records), b""))
            self.write(records)
            self.pad(len(records))
        self.write(_header(name, entry.kind, entry.mode, size, link))

    def write(self, data: bytes) -> None:
        """Append `data` as it is."""
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._put(self._packer.compress(data))

    def pad(self, size: int) -> None:
        """Fill the last block of a content of `size` bytes."""
        self.write(bytes(-size % _BLOCK))

    def finish(self) -> None:
        """Write the end of the archive."""
        self.write(bytes(2 * _BLOCK))
        self._put(self._packer.flush())
        self._put(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))

    def _put(self, data: bytes) -> None:
        self.hashing.update(data)
        self.size += len(data)
        self._target.write(data)


def _header(name: bytes, kind: bytes, mode: int, size: int, link: bytes) -> bytes:
    """A ustar header: owner 0, no names of owners, time 0."""
    zero = b"%07o\0" % 0
    numbers = (b"%07o\0" % mode, zero, zero, b"%011o\0" % size, b"%011o\0" % 0)
    block = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s247x", name, *numbers, b" " * 8, kind, link, b"ustar\x0000"
    )
    # The sum of all bytes, those of the sum itself taken for blanks.
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _fitting(key: str, text: str) -> tuple[bytes, bytes]:
    """What of a text fits into its field, and the record that it needs, if it needs one."""
    if len(text) <= _LONGEST_NAME and text.isascii():
        return text.encode(), b""
    return text.encode("ascii", "replace")[:_LONGEST_NAME], _record(key, text.encode())


def _record(key: str, value: bytes) -> bytes:
    """A pax record, which begins with its own length in decimal."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d" % length + rest
