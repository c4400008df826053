"""A gzip'd tar whose bytes depend on what is in it, and on nothing else.

The headers are those of POSIX ustar and, where these are too narrow, pax
(IEEE 1003.1, "pax Interchange Format"); the gzip member has neither time nor
name (RFC 1952), and its content is in stored blocks (RFC 1951, section 3.2.4).

It is own code, and it does not compress, for one reason: the same App must have
the same digest on any machine. zlib and its replacements (zlib-ng is what many
Python builds have) give different bytes for the same level, and tarfile's own
headers differ between versions of Python.
"""

import struct
import zlib
from enum import Enum
from typing import NamedTuple, Protocol

_BLOCK = 512
_LONGEST_STORED = 0xFFFF
# ID, deflate, no flags, no time, no hint, unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_WIDEST = {"name": 100, "link": 100}
_LARGEST_SIZE = 0o77777777777


class Writer(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


class EntryKind(Enum):
    """What an entry is, as ``typeflag`` says it."""

    FILE = b"0"
    SYMLINK = b"2"
    FOLDER = b"5"
    PAX = b"x"


class BundleEntry(NamedTuple):
    """An entry of the archive, but for its content.

    Attributes:
        name: its path, relative, of ``/`` and names.
        kind: what it is.
        mode: its permission bits.
        size: bytes of content of a file, else 0.
        link: where a symlink leads, else empty.
    """

    name: str
    kind: EntryKind
    mode: int
    size: int = 0
    link: str = ""


class BundleArchive:
    """An archive while it is written, from front to back.

    Nothing is kept in memory but one block of 64 KiB.

    Args:
        target: what takes its bytes.
    """

    def __init__(self, target: Writer) -> None:
        self._target = target
        self._pending = bytearray()
        self._crc = 0
        self._length = 0
        target.write(_GZIP_HEADER)

    def add(self, entry: BundleEntry) -> None:
        """Begin an entry. The content of a file follows with `write`, then `pad`."""
        name = entry.name + "/" if entry.kind is EntryKind.FOLDER else entry.name
        plain, records = name.encode(), b""
        link = entry.link.encode()
        if len(plain) > _WIDEST["name"] or not name.isascii():
            records += _record("path", plain)
            plain = name.encode("ascii", "replace")[: _WIDEST["name"]]
        if len(link) > _WIDEST["link"] or not entry.link.isascii():
            records += _record("linkpath", link)
            link = entry.link.encode("ascii", "replace")[: _WIDEST["link"]]
        size = entry.size
        if size > _LARGEST_SIZE:
            records += _record("size", b"%d" % size)
            size = 0
        if records:
            self.write(_header(b"././@PaxHeader", EntryKind.PAX, 0o644, len(records), b""))
            self.write(records)
            self.pad(len(records))
        self.write(_header(plain, entry.kind, entry.mode, size, link))

    def write(self, data: bytes) -> None:
        """Append `data` as it is."""
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._pending += data
        while len(self._pending) > _LONGEST_STORED:
            self._store(bytes(self._pending[:_LONGEST_STORED]), last=False)
            del self._pending[:_LONGEST_STORED]

    def pad(self, size: int) -> None:
        """Fill the last block of a content of `size` bytes."""
        self.write(bytes(-size % _BLOCK))

    def finish(self) -> None:
        """Write the end of the archive."""
        self.write(bytes(2 * _BLOCK))
        self._store(bytes(self._pending), last=True)
        self._target.write(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))

    def _store(self, data: bytes, *, last: bool) -> None:
        length = len(data)
        self._target.write(struct.pack("<BHH", last, length, length ^ 0xFFFF) + data)


def _header(name: bytes, kind: EntryKind, mode: int, size: int, link: bytes) -> bytes:
    """A ustar header: owner 0, no names of owners, time 0."""
    before = struct.pack(
        "100s8s8s8s12s12s",
        name,
        b"%07o\0" % mode,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size,
        b"%011o\0" % 0,
    )
    after = struct.pack(
        "1s100s6s2s32s32s8s8s155s12x", kind.value, link, b"ustar\0", b"00", b"", b"", b"", b"", b""
    )
    # The sum of all bytes, those of the sum itself taken for blanks.
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + after


def _record(key: str, value: bytes) -> bytes:
    """A pax record, which begins with its own length in decimal."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d" % length + rest
