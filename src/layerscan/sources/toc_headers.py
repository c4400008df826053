"""Tar headers as Go's archive/tar writes them, which is what makes most layers.

Owns the bytes alone: ustar where all fits into it, PAX records for the rest
(POSIX, pax, "ustar Interchange Format" and "pax Extended Header").
"""

import posixpath
import struct
from collections.abc import Mapping
from typing import NamedTuple

BLOCK = 512  # bytes of a block of a tar
END = bytes(2 * BLOCK)  # what a tar ends with

FILE, LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
"""The types of entries."""

_PAX = b"x"
_XATTR = "SCHILY.xattr."
_NAME, _PREFIX, _LINK, _OWNER = 100, 155, 100, 32
_SHORT, _LONG = 8**7, 8**11
_BLOCK = struct.Struct(f"{_NAME}s8s8s8s12s12s8sc{_LINK}s8s{_OWNER}s{_OWNER}s8s8s{_PREFIX}s12x")
_CHECKSUM = slice(148, 156)
_BLANK = b" " * 8


class Header(NamedTuple):
    """What a tar says of an entry."""

    name: str
    kind: bytes
    size: int = 0  # bytes of content, or what stands there
    mode: int = 0  # permissions, and what else a writer has put there
    uid: int = 0
    gid: int = 0
    mtime: int = 0  # in whole seconds
    link: str = ""  # the target of a link
    user: str = ""
    group: str = ""
    device: tuple[int, int] | None = (0, 0)  # major, minor; None for not even zeros
    records: Mapping[str, bytes] = {}  # PAX records that it has whatever the rest is


def xattr(name: str) -> str:
    """The key of the PAX record of an extended attribute."""
    return _XATTR + name


def encoded(header: Header) -> bytes:
    """The block of a header, and before it those of the PAX header that it may need.

    Raises ValueError where it has a number that no tar can hold.
    """
    records = dict(header.records)
    path, prefix = _path(header.name, records)
    packed = _BLOCK.pack(
        path,
        _octal(header.mode, 8),
        _number(header.uid, _SHORT, "uid", records),
        _number(header.gid, _SHORT, "gid", records),
        _number(header.size, _LONG, "size", records),
        _number(header.mtime, _LONG, "mtime", records),
        _BLANK,
        header.kind,
        _text(header.link, _LINK, "linkpath", records),
        b"ustar\x0000",
        _text(header.user, _OWNER, "uname", records),
        _text(header.group, _OWNER, "gname", records),
        *((_octal(n, 8) for n in header.device) if header.device else (b"", b"")),
        prefix,
    )
    block = bytearray(packed)
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return _pax(header.name, records) + block if records else bytes(block)


def _path(name: str, records: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Both of ustar's fields for a path, which must be cut at a slash; else a record."""
    raw = name.encode()
    if raw.isascii():
        if len(raw) <= _NAME:
            return raw, b""
        cut = raw.rstrip(b"/").rfind(b"/", 0, _PREFIX + 1)
        if cut > 0 and len(raw) - cut - 1 <= _NAME:
            return raw[cut + 1 :], raw[:cut]
    records["path"] = raw
    return _cut(name, _NAME), b""


def _text(text: str, longest: int, key: str, records: dict[str, bytes]) -> bytes:
    raw = text.encode()
    if len(raw) <= longest and raw.isascii():
        return raw
    records[key] = raw
    return _cut(text, longest)


def _cut(text: str, longest: int) -> bytes:
    return text.encode("ascii", "ignore")[:longest]


def _number(number: int, end: int, key: str, records: dict[str, bytes]) -> bytes:
    width = 8 if end == _SHORT else 12
    if 0 <= number < end:
        return _octal(number, width)
    records.setdefault(key, b"%d" % number)
    return _octal(0, width)


def _octal(number: int, width: int) -> bytes:
    digits = b"%0*o\0" % (width - 1, number)
    if len(digits) > width:
        raise ValueError(f"{number} does not fit into {width - 1} octal digits")
    return digits


def _pax(name: str, records: Mapping[str, bytes]) -> bytes:
    """A PAX header with these records."""
    body = b"".join(_record(key.encode(), records[key]) for key in sorted(records))
    folder, last = posixpath.split(name.rstrip("/"))
    path = _cut(posixpath.join(folder, "PaxHeaders.0", last), _NAME).rstrip(b"/").decode()
    block = encoded(Header(path, _PAX, size=len(body), device=None))
    return block + body + bytes(-len(body) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """One record; its length, which it begins with, includes the length's own digits."""
    rest = len(key) + len(value) + len(b" =\n")
    length = rest + len(b"%d" % rest)
    length = rest + len(b"%d" % length)
    return b"%d %s=%s\n" % (length, key, value)
