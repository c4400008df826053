"""Whole bbolt databases, declared as nested dictionaries. For tests only.

Owns the layout of the file as bbolt writes it: two meta pages, a freelist, and
trees of branch and leaf pages, small buckets inline. The real containerd opens
what is made here (`tests/integration/test_containerd.py`).
"""

import struct
from collections.abc import Mapping, Sequence
from typing import TypeVar, Union

PAGE_SIZE = 4096
META_END = 80
"""Where the checksum of a meta page ends."""

_HEADER = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQ")
_ELEMENT_SIZE = 16
_BRANCH, _LEAF, _META_PAGE, _FREELIST = 1, 2, 4, 0x10
_LEAST_IN_PAGE = 2

Tree = Mapping[bytes, Union[bytes, "Tree"]]
"""A bucket: under each key a value or another bucket."""

Element = tuple[int, bytes, bytes]
"""Of a leaf page: flags, key, value."""

T = TypeVar("T")


class Numbered(dict[bytes, bytes | Tree]):
    """A bucket that has given out numbers, the last of them `sequence`."""

    sequence = 0


def database(
    tree: Tree, *, page_size: int = PAGE_SIZE, txid: int = 7, inline: bool = True
) -> bytes:
    """The file that holds `tree`, after transaction `txid`.

    Args:
        inline: keep small buckets inline, as bbolt does.
    """
    writer = _Writer(page_size, inline=inline)
    root = writer.pages_of(writer.elements(tree))
    pages = writer.pages
    pages[2] = _page(2, _FREELIST, 0, b"", page_size)
    for number in (0, 1):
        older = txid - 1 if number != txid % 2 else txid
        pages[number] = meta(number, page_size, root, len_in_pages(pages, page_size), older)
    return b"".join(pages)


def len_in_pages(pages: Sequence[bytes], page_size: int) -> int:
    return sum(map(len, pages)) // page_size


def meta(number: int, page_size: int, root: int, pages: int, txid: int) -> bytes:
    """A meta page."""
    content = _META.pack(0xED0CDAED, 2, page_size, 0, root, 0, 2, pages, txid)
    content += struct.pack("<Q", fnv64a(content))
    return _page(number, _META_PAGE, 0, content, page_size)


def reseal(data: bytearray, page_size: int = PAGE_SIZE) -> None:
    """Make the checksums of both meta pages right again."""
    for start in (0, page_size):
        content = bytes(data[start + 16 : start + 72])
        data[start + 72 : start + META_END] = struct.pack("<Q", fnv64a(content))


def fnv64a(content: bytes) -> int:
    value = 14695981039346656037
    for byte in content:
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def leaf(number: int, elements: Sequence[Element]) -> bytes:
    """A leaf page, without anything after it."""
    heads, bodies = [], []
    at = _ELEMENT_SIZE * len(elements)
    for index, (flags, key, value) in enumerate(elements):
        heads.append(struct.pack("<IIII", flags, at - _ELEMENT_SIZE * index, len(key), len(value)))
        bodies += [key, value]
        at += len(key) + len(value)
    return _page(number, _LEAF, len(elements), b"".join([*heads, *bodies]), 0)


def branch(number: int, children: Sequence[tuple[bytes, int]]) -> bytes:
    """A branch page, without anything after it."""
    heads, bodies = [], []
    at = _ELEMENT_SIZE * len(children)
    for index, (key, child) in enumerate(children):
        heads.append(struct.pack("<IIQ", at - _ELEMENT_SIZE * index, len(key), child))
        bodies.append(key)
        at += len(key)
    return _page(number, _BRANCH, len(children), b"".join([*heads, *bodies]), 0)


def _page(number: int, flags: int, count: int, content: bytes, page_size: int) -> bytes:
    """A page, filled up to a multiple of `page_size` if that is not 0."""
    length = _HEADER.size + len(content)
    pages = -(-length // page_size) if page_size else 1
    page = _HEADER.pack(number, flags, count, pages - 1) + content
    return page.ljust(pages * page_size, b"\0")


class _Writer:
    def __init__(self, page_size: int, *, inline: bool) -> None:
        self.page_size = page_size
        self.inline = inline
        # Both meta pages and the freelist come first.
        self.pages: list[bytes] = [bytes(page_size)] * 3
        self._next = 3

    def elements(self, tree: Tree) -> list[Element]:
        return [
            (0, key, value) if isinstance(value, bytes) else (1, key, self.bucket(value))
            for key, value in sorted(tree.items())
        ]

    def bucket(self, tree: Tree) -> bytes:
        """The value that stands for a bucket."""
        elements = self.elements(tree)
        page = leaf(0, elements)
        small = not any(flags for flags, _, _ in elements) and len(page) <= self.page_size // 4
        sequence = tree.sequence if isinstance(tree, Numbered) else 0
        if self.inline and small:
            return struct.pack("<QQ", 0, sequence) + page
        return struct.pack("<QQ", self.pages_of(elements), sequence)

    def pages_of(self, elements: list[Element]) -> int:
        """Write leaf pages and the branch pages above them; the page at the top."""
        sizes = [len(key) + len(value) for _, key, value in elements]
        level = []
        for group in self._groups(elements, sizes):
            first = group[0][1] if group else b""
            level.append((first, self._add(leaf(self._next, group))))
        while len(level) > 1:
            parts = self._groups(level, [len(key) for key, _ in level])
            level = [(part[0][0], self._add(branch(self._next, part))) for part in parts]
        return level[0][1]

    def _groups(self, elements: Sequence[T], sizes: Sequence[int]) -> list[list[T]]:
        """What goes into one page each, at least two where there are as many."""
        groups: list[list[T]] = [[]]
        taken = _HEADER.size
        for element, size in zip(elements, sizes, strict=True):
            needed = _ELEMENT_SIZE + size
            if taken + needed > self.page_size and len(groups[-1]) >= _LEAST_IN_PAGE:
                groups.append([])
                taken = _HEADER.size
            groups[-1].append(element)
            taken += needed
        return groups

    def _add(self, page: bytes) -> int:
        number, flags, count, _ = _HEADER.unpack_from(page)
        whole = _page(number, flags, count, page[_HEADER.size :], self.page_size)
        self.pages.append(whole)
        self._next += len(whole) // self.page_size
        return int(number)
