"""Tar streams, header by header, as no tar program writes them.

A tar is a list of `Entry` and of bytes that stand for themselves. What a test
wants wrong is made with `header` and `record`.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK = 512
END = bytes(2 * BLOCK)

FILE = b"0"
LINK = b"1"
SYMLINK = b"2"
CHAR = b"3"
BLOCK_DEVICE = b"4"
DIR = b"5"
FIFO = b"6"

USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)


def padded(content: bytes) -> bytes:
    """The content and its padding."""
    return content + bytes(-len(content) % BLOCK)


def number(value: int, length: int) -> bytes:
    """Octal digits and a NUL; base-256 for what does not fit."""
    digits = b"%0*o" % (length - 1, value) if value >= 0 else b""
    if 0 < len(digits) < length:
        return digits + b"\0"
    return bytes([0x80 if value >= 0 else 0xFF]) + value.to_bytes(length - 1, "big", signed=True)


def with_checksum(block: bytes) -> bytes:
    """A header block with the right sum of its bytes."""
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def header(
    name: bytes = b"f",
    *,
    type: bytes = FILE,  # noqa: A002 - what the field is called
    size: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = USTAR,
    prefix: bytes = b"",
    device: tuple[int, int] = (0, 0),
    rest: dict[int, bytes] | None = None,
) -> bytes:
    """One header block; `rest` has bytes for other places of it."""
    block = bytearray(BLOCK)
    fields = {
        0: name[:100],
        100: number(0o755, 8),
        108: number(0, 8),
        116: number(0, 8),
        124: size if isinstance(size, bytes) else number(size, 12),
        136: number(1_700_000_000, 12),
        156: type,
        157: link[:100],
        257: magic,
    }
    if magic != V7:
        fields |= {329: number(device[0], 8), 337: number(device[1], 8), 345: prefix}
    for place, field in (fields | (rest or {})).items():
        block[place : place + len(field)] = field
    return with_checksum(bytes(block))


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record; its length counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


def special(kind: bytes, content: bytes, magic: bytes = USTAR) -> bytes:
    """A header about the next entry, and its content."""
    name = b"././@PaxHeader" if kind in b"xg" else b"././@LongLink"
    return header(name, type=kind, size=len(content), magic=magic) + padded(content)


class Entry(NamedTuple):
    """One entry. What does not fit into its header goes into PAX records before it."""

    name: bytes
    type: bytes = FILE
    content: bytes = b""
    link: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def records(self) -> bytes:
        """Its PAX records, none if it needs none."""
        records = [record(b"SCHILY.xattr." + name, value) for name, value in self.xattrs]
        if len(self.name) > 100:
            records.append(record(b"path", self.name))
        if len(self.link) > 100:
            records.append(record(b"linkpath", self.link))
        return b"".join(records)

    def dump(self) -> bytes:
        """All its bytes."""
        before = special(b"x", self.records) if self.records else b""
        own = header(self.name, type=self.type, size=len(self.content), link=self.link)
        return before + own + padded(self.content)


def tar(*parts: Entry | bytes, end: bytes = END) -> bytes:
    """The stream of all parts."""
    dumped = [part if isinstance(part, bytes) else part.dump() for part in parts]
    return b"".join(dumped) + end


Pieces = tuple[tuple[int, int], ...]
"""Of a sparse file: offset and length of each piece that is no hole."""


def sparse_0(name: bytes, size: int, pieces: Pieces) -> bytes:
    """A sparse file of GNU's PAX format 0.0."""
    records = record(b"GNU.sparse.size", b"%d" % size)
    records += record(b"GNU.sparse.numblocks", b"%d" % len(pieces))
    for offset, length in pieces:
        records += record(b"GNU.sparse.offset", b"%d" % offset)
        records += record(b"GNU.sparse.numbytes", b"%d" % length)
    content = b"x" * sum(length for _, length in pieces)
    return special(b"x", records) + header(name, size=len(content)) + padded(content)


def sparse_0_1(name: bytes, size: int, pieces: Pieces) -> bytes:
    """A sparse file of GNU's PAX format 0.1."""
    records = record(b"GNU.sparse.size", b"%d" % size)
    records += record(b"GNU.sparse.numblocks", b"%d" % len(pieces))
    records += record(b"GNU.sparse.name", name)
    records += record(b"GNU.sparse.map", b",".join(b"%d,%d" % piece for piece in pieces))
    content = b"x" * sum(length for _, length in pieces)
    return special(b"x", records) + header(b"G/x", size=len(content)) + padded(content)


def sparse_1(name: bytes, size: int, pieces: Pieces) -> bytes:
    """A sparse file of GNU's PAX format 1.0."""
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.name", name)
    records += record(b"GNU.sparse.realsize", b"%d" % size)
    table = b"%d\n" % len(pieces) + b"".join(b"%d\n%d\n" % piece for piece in pieces)
    content = padded(table) + b"x" * sum(length for _, length in pieces)
    return special(b"x", records) + header(b"G/x", size=len(content)) + padded(content)
