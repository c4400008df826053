"""The two meta pages of a bbolt file: which tree is the newest, and how large it all is.

The pages of the trees are ``_bolt``'s matter.
"""

import struct
from typing import NamedTuple

HEADER = struct.Struct("<QHHI")
"""Of a page: its number, flags, count of elements, pages of overflow."""
FIRST_PAGE = 2
"""Before it are the two meta pages."""

_META = struct.Struct("<IIIIQQQQQQ")
_CHECKED = 56
"""Bytes of a meta that its checksum is made of."""

_MAGIC = 0xED0CDAED
_VERSION = 2
_IS_META = 4
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
"""Page sizes of the machines that there are: as a database's pages are."""
HEAD = _PAGE_SIZES[-1] + HEADER.size + _META.size
"""So many bytes of a file have both meta pages in them."""


class Meta(NamedTuple):
    """What a meta page says of the database.

    Attributes:
        page_size: in bytes.
        root: page of the bucket that all others are in.
        pages: how many pages the database has.
        txid: number of the transaction that wrote it.
    """

    page_size: int
    root: int
    pages: int
    txid: int

    @property
    def length(self) -> int:
        """Of the database, in bytes. The file may be longer."""
        return self.page_size * self.pages


def newest_meta(head: bytes) -> Meta | None:
    """The newer valid meta page in the `head` of a file, None where none is valid.

    The other one may just be being written.
    """
    first = _meta(head, 0)
    # Without the first, the page size is not known: each has its place for the second.
    sizes = _PAGE_SIZES if first is None else (first.page_size,)
    others = [meta for size in sizes if (meta := _meta(head, size)) and meta.page_size == size]
    valid = others if first is None else [first, *others]
    return max(valid, key=lambda meta: meta.txid, default=None)


def _meta(head: bytes, at: int) -> Meta | None:
    """The meta page at the offset `at`, None where none is valid."""
    start = at + HEADER.size
    if len(head) < start + _META.size:
        return None
    _, flags, _, _ = HEADER.unpack_from(head, at)
    magic, version, page_size, _, root, _, _, pages, txid, checksum = _META.unpack_from(head, start)
    if (flags, magic, version) != (_IS_META, _MAGIC, _VERSION) or page_size not in _PAGE_SIZES:
        return None
    if checksum != fnv64a(head[start : start + _CHECKED]):
        return None
    return Meta(page_size, root, pages, txid)


def fnv64a(content: bytes) -> int:
    """The 64-bit FNV-1a hash of `content` (RFC 9923)."""
    value = 0xCBF29CE484222325
    for byte in content:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
