"""The pages of a bbolt file, taken apart, and checked that they can be.

Owns their layout: meta pages, branch and leaf pages. Where pages are and what
leads to which is ``bolt``'s matter.
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
_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")

_MAGIC = 0xED0CDAED
_VERSION = 2
_IS_BRANCH, _IS_LEAF, _IS_META = 1, 2, 4
_IS_BUCKET = 1
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
"""Page sizes of the machines that there are: as a database's pages are."""
HEAD = _PAGE_SIZES[-1] + HEADER.size + _META.size
"""So many bytes of a file have both meta pages in them."""

_LONGEST_KEY = 32768
"""Bytes of a key, by bbolt's own rule (``MaxKeySize``)."""

Span = tuple[bytes, int, int, int]
"""Where a value is: in which bytes, 1 if it is a bucket, its start and end."""


class PageError(ValueError):
    """A page that is damaged; the message says how, to be read after its name."""


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


class Page(NamedTuple):
    """A page, taken apart.

    Attributes:
        keys: of its elements, in order.
        children: of a branch page, the page of each element; else None.
        spans: of a leaf page, the value of each element.
    """

    keys: list[bytes]
    children: list[int] | None
    spans: list[Span]


def newest_meta(head: bytes) -> Meta | None:
    """The newer valid meta page, None where none is valid.

    The other one may just be being written.

    Args:
        head: the first bytes of the file.
    """
    first = _meta(head, 0)
    # Without the first, the page size is not known: each has its place for the second.
    sizes = _PAGE_SIZES if first is None else (first.page_size,)
    others = [meta for size in sizes if (meta := _meta(head, size)) and meta.page_size == size]
    valid = others if first is None else [first, *others]
    return max(valid, key=lambda meta: meta.txid, default=None)


def taken_apart(data: bytes) -> Page:
    """The page that is `data`.

    Raises:
        PageError: it is damaged.
    """
    flags, count = _checked(data)
    if flags == _IS_LEAF:
        keys: list[bytes] = []
        spans: list[Span] = []
        for key, is_bucket, start, end in _leaf(data, count):
            keys.append(key)
            spans.append((data, is_bucket, start, end))
        return Page(_ordered(keys), None, spans)
    if flags == _IS_BRANCH and count > 0:
        keys, children = _branch(data, count)
        return Page(_ordered(keys), children, [])
    raise PageError("is neither a leaf nor a branch")


def values(data: bytes, most: int) -> dict[bytes, bytes]:
    """The values of the leaf page that is `data`, by their keys; buckets are left out.

    Raises:
        PageError: it is damaged, no leaf, or has more than `most` elements.
    """
    flags, count = _checked(data)
    if flags != _IS_LEAF or count > most:
        raise PageError("is no small leaf")
    # As in _leaf: once for each of thousands of layers, and so without a detour.
    found = {}
    at = HEADER.size
    key = at + count * _ELEMENT.size
    for kind, pos, key_size, value_size in _ELEMENT.iter_unpack(data[at:key]):
        if at + pos != key:
            raise PageError("has an element that is not in it")
        value = key + key_size
        end = value + value_size
        if not kind & _IS_BUCKET:
            found[data[key:value]] = data[value:end]
        key = end
        at += _ELEMENT.size
    if key > len(data):
        raise PageError("has an element that is not in it")
    return found


def _checked(data: bytes) -> tuple[int, int]:
    """Flags of the page, and the count of its elements, which are all in it."""
    if len(data) < HEADER.size:
        raise PageError("is cut off")
    _, flags, count, _ = HEADER.unpack_from(data)
    if HEADER.size + count * _ELEMENT.size > len(data):
        raise PageError("has more elements than fit into it")
    return flags, count


# Keys and values lie behind the elements, in their order and without gaps:
# bbolt writes them so (its node.write), and then none is read twice over.


def _leaf(data: bytes, count: int) -> list[tuple[bytes, int, int, int]]:
    """Key of each element, whether it is a bucket, start and end of its value."""
    at = HEADER.size
    key = at + count * _ELEMENT.size
    found = []
    for flags, pos, key_size, value_size in _ELEMENT.iter_unpack(data[at:key]):
        if at + pos != key or key_size > _LONGEST_KEY:
            raise PageError("has an element that is not in it")
        value = key + key_size
        end = value + value_size
        found.append((data[key:value], flags & _IS_BUCKET, value, end))
        key = end
        at += _ELEMENT.size
    if key > len(data):
        raise PageError("has an element that is not in it")
    return found


def _branch(data: bytes, count: int) -> tuple[list[bytes], list[int]]:
    keys: list[bytes] = []
    children: list[int] = []
    at = HEADER.size
    key = at + count * _BRANCH_ELEMENT.size
    for pos, key_size, child in _BRANCH_ELEMENT.iter_unpack(data[at:key]):
        if at + pos != key or key_size > _LONGEST_KEY:
            raise PageError("has an element that is not in it")
        keys.append(data[key : key + key_size])
        children.append(child)
        key += key_size
        at += _BRANCH_ELEMENT.size
    if key > len(data):
        raise PageError("has an element that is not in it")
    return keys, children


def _ordered(keys: list[bytes]) -> list[bytes]:
    if any(map(bytes.__ge__, keys, keys[1:])):
        raise PageError("has keys that are out of order")
    return keys


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
