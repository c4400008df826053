"""Reading bbolt databases: the files in which containerd keeps its records.

Owns the format of the file, and its checks: nothing in it is believed. It
knows nothing of what the buckets mean. It takes no lock, which a running
containerd holds, and never writes.

Pages are read with pread(2), not mapped: a page of a mapping beyond the end of
a file that somebody made shorter ends the process (SIGBUS), and a copy cannot
change while it is looked at. A database of the usual size is taken in one go,
so that the moment in which the engine may write is short, half a millisecond a
megabyte. Of a large one only the pages that are asked for are read.

bbolt never writes over a page that its newest meta page leads to. So what was
read is whole if the newest meta page is the same afterwards.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from time import sleep
from typing import NamedTuple

from layerscan.files.safefs import Fault, Folder, reason
from layerscan.stores.containerd._bolt import Page, PageError, Value
from layerscan.text import shown

_HEADER = struct.Struct("<QHHI")
"""Of a page: its number, flags, count of elements, pages of overflow."""
_META = struct.Struct("<IIIIQQQQQQ")
"""Of a meta page, after its header. The checksum at its end is of the 56 bytes before it."""
_MAGIC = 0xED0CDAED
_VERSION = 2
_IS_META = 4
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
"""Page sizes of the machines that there are: as a database's pages are."""
_HEAD = _PAGE_SIZES[-1] + _HEADER.size + _META.size
"""So many bytes of a file have both meta pages in them."""
_FIRST_PAGE = 2
"""Before it are the two meta pages."""

_ATTEMPTS = 20
"""How often a file is copied that the engine writes to meanwhile."""
_PAUSE = 0.002
"""Seconds between two of them: about what the engine takes for one commit."""

_LONGEST_COPY = 32 << 20
"""Bytes of the longest database that is taken in one go."""
_LONGEST_PAGE = 1 << 20
"""Bytes of the longest page: it takes more than one where a value is long."""
_SHORT = 512
"""Bytes that are read of a page that likely holds no more: all of it takes twice as long."""
_DEEPEST = 32
"""Levels of a bucket's tree: each holds at least twice what the one above does."""
_FEW = 32
"""Lookups in a bucket after which all its keys are gone through once and for all."""


class _Meta(NamedTuple):
    """What a meta page says: which tree is the newest, and how large it all is."""

    page_size: int
    root: int
    pages: int
    txid: int

    @property
    def length(self) -> int:
        """Of the database, in bytes. The file may be longer."""
        return self.page_size * self.pages


class Database(ExitStack):
    """A database as it was after one transaction, to be read in a ``with``.

    It is the file `name` in `folder`, taken in one go if it is to be `copied` and not too
    large; `root` is the bucket that all others are in. A file that cannot be read, is no
    database, is damaged or kept changing is a `Fault`, now or when what is wrong is met.
    """

    def __init__(self, folder: Folder, name: str, *, copied: bool = True) -> None:
        super().__init__()
        self.where = folder.where(name)
        self._file, _ = folder.open(name)
        self.callback(os.close, self._file)
        self._copy: bytes | None = None
        self._pages: dict[int, Page] = {}
        self._kept = 0
        try:
            self._meta = self._newest()
            if copied and self._meta.length <= _LONGEST_COPY:
                self._copy = self._copied()
            self.root = Bucket(self, self.page(self._meta.root))
        except BaseException:
            self.close()
            raise

    def is_newest(self) -> bool:
        """Whether no other transaction has ended since."""
        return self._newest() == self._meta

    def check_unmoved(self) -> None:
        """Make sure that all that was read is of one transaction."""
        if self._copy is None and not self.is_newest():
            raise self._moved()

    def _moved(self) -> Fault:
        return Fault(self.where, "kept changing while it was read", gone=True)

    def _copied(self) -> bytes:
        """All of the file, as one transaction left it."""
        for _ in range(_ATTEMPTS):
            data = self._read(0, self._meta.length)
            before, self._meta = self._meta, self._newest()
            if before == self._meta:
                return data
            sleep(_PAUSE)
        raise self._moved()

    def _newest(self) -> _Meta:
        meta = _newest_meta(self._read_some(0, _HEAD))
        if meta is None:
            raise Fault(self.where, "is no bbolt database, or damaged: no meta page is valid")
        return meta

    def _read(self, start: int, length: int) -> bytes:
        if self._copy is not None:
            return self._copy[start : start + length]
        data = self._read_some(start, length)
        if len(data) != length:
            page = (start + length - 1) // self._meta.page_size
            raise self.fault(f"it ends before its page {page}", gone=True)
        return data

    def _read_some(self, start: int, length: int) -> bytes:
        try:
            # All that there is, in one call (read(2)).
            return os.pread(self._file, length, start)
        except OverflowError:
            # No file is so long that anything could be there.
            return b""
        except OSError as error:
            raise Fault(self.where, reason(error)) from error

    def page(self, number: int) -> Page:
        """Page `number` of a tree, each taken apart once."""
        known = self._pages.get(number)
        if known is None:
            known = self._pages[number] = self._new_page(number)
            # Pages of a sound file lie beside each other.
            self._kept += self._meta.page_size * (known.overflow + 1)
            if self._kept > self._meta.length:
                raise self.fault("its pages overlap")
        return known

    def _new_page(self, number: int) -> Page:
        size = self._meta.page_size
        if not _FIRST_PAGE <= number < self._meta.pages:
            raise self.fault(f"refers to page {number} of {self._meta.pages}")
        start = number * size
        data = self._read(start, size)
        found, _, _, overflow = _HEADER.unpack_from(data)
        if found != number:
            raise self.fault(f"page {number} says that it is page {found}")
        if overflow:
            length = (overflow + 1) * size
            if start + length > self._meta.length or length > _LONGEST_PAGE:
                raise self.fault(f"page {number} is too long")
            data = self._read(start, length)
        try:
            return Page(data)
        except PageError as error:
            raise self.fault(f"page {number} {error}") from None

    def bucket_page(self, bucket: Value, key: bytes, *, keep: bool = False) -> Page:
        """The page at the top of `bucket`, which is under `key`.

        What is not kept for the next who asks for it is likely a short one.
        """
        if not bucket.is_bucket:
            raise self.fault(f"{shown(key)} is a value, not a bucket")
        try:
            page = bucket.page()
        except PageError as error:
            raise self.fault(f"bucket {shown(key)} {error}") from None
        if page is not None:
            return page
        root = bucket.root
        return self.page(root) if keep else self._short_page(root) or self._new_page(root)

    def _short_page(self, number: int) -> Page | None:
        """Page `number` if its first bytes are sound by themselves."""
        if not _FIRST_PAGE <= number < self._meta.pages:
            return None
        try:
            page = Page(self._read(number * self._meta.page_size, _SHORT))
        except PageError:
            return None
        return page if page.number == number and not page.overflow else None

    def fault(self, what: str, *, gone: bool = False) -> Fault:
        """The fault that says `what` is wrong with the file."""
        return Fault(self.where, f"is damaged: {what}", gone=gone)


class Bucket:
    """A bucket of a `Database`: keys, and under each a value or another bucket.

    Of what is not asked for, no page is looked at. A value in a bucket's place is a `Fault`.
    """

    __slots__ = ("_database", "_index", "_lookups", "_root")

    def __init__(self, database: Database, root: Page) -> None:
        self._database = database
        self._root = root
        self._lookups = 0
        self._index: dict[bytes, Value] | None = None

    def has(self, key: bytes) -> bool:
        """Whether there is anything under `key`."""
        return self._find(key) is not None

    def record(self, key: bytes, *names: bytes) -> tuple[bytes, ...] | None:
        """The values under `names` in the small bucket under `key`; None where there is none.

        Where it has no such value, it counts as empty. A large bucket is a fault.
        """
        bucket = self._find(key)
        if bucket is None:
            return None
        page = self._database.bucket_page(bucket, key)
        if not page.is_leaf:
            raise self._database.fault(f"bucket {shown(key)} is not small")
        return page.record(names)

    def bucket(self, *keys: bytes) -> "Bucket | None":
        """The bucket under the first of `keys`, in it that under the next, and so on, if any."""
        found = self
        for key in keys:
            bucket = found._find(key)
            if bucket is None:
                return None
            found = found._inner(key, bucket, keep=True)
        return found

    def keys(self) -> Iterator[bytes]:
        """All keys, in order."""
        for key, _ in self._elements():
            yield key

    def buckets(self) -> "Iterator[tuple[bytes, Bucket]]":
        """All buckets in this one, by their keys, in order. Values are passed over."""
        for key, value in self._elements():
            if value.is_bucket:
                yield key, self._inner(key, value)

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """All values in this bucket, by their keys, in order. Buckets are passed over."""
        for key, value in self._elements():
            if not value.is_bucket:
                yield key, value.content()

    def _inner(self, key: bytes, bucket: Value, *, keep: bool = False) -> "Bucket":
        return Bucket(self._database, self._database.bucket_page(bucket, key, keep=keep))

    def _find(self, key: bytes) -> Value | None:
        if self._index is not None:
            return self._index.get(key)
        self._lookups += 1
        if self._lookups > _FEW:
            self._index = dict(self._elements())
            return self._index.get(key)
        page = self._root
        for _ in range(_DEEPEST):
            if page.is_leaf:
                return page.find(key)
            page = self._database.page(page.child(key))
        raise self._database.fault("a bucket is nested too deeply")

    def _elements(self) -> Iterator[tuple[bytes, Value]]:
        seen: set[int] = set()
        levels: list[Iterator[Page]] = [iter((self._root,))]
        while levels:
            page = next(levels[-1], None)
            if page is None:
                levels.pop()
            elif page.is_leaf:
                yield from page.elements()
            elif len(levels) >= _DEEPEST:
                raise self._database.fault("a bucket is nested too deeply")
            else:
                levels.append(self._beneath(page, seen))

    def _beneath(self, page: Page, seen: set[int]) -> Iterator[Page]:
        for child in page.children():
            if child in seen:
                raise self._database.fault(f"page {child} is in a bucket twice")
            seen.add(child)
            yield self._database.page(child)


def _newest_meta(head: bytes) -> _Meta | None:
    """The newer valid meta page in the `head` of a file, None where none is valid.

    The other one may just be being written.
    """
    first = _meta(head, 0)
    # Without the first, the page size is not known: each has its place for the second.
    sizes = _PAGE_SIZES if first is None else (first.page_size,)
    others = [meta for size in sizes if (meta := _meta(head, size)) and meta.page_size == size]
    valid = others if first is None else [first, *others]
    return max(valid, key=lambda meta: meta.txid, default=None)


def _meta(head: bytes, at: int) -> _Meta | None:
    """The meta page at the offset `at`, None where none is valid."""
    start = at + _HEADER.size
    if len(head) < start + _META.size:
        return None
    _, flags, _, _ = _HEADER.unpack_from(head, at)
    magic, version, page_size, _, root, _, _, pages, txid, checksum = _META.unpack_from(head, start)
    if (flags, magic, version) != (_IS_META, _MAGIC, _VERSION) or page_size not in _PAGE_SIZES:
        return None
    if checksum != fnv64a(head[start : start + _META.size - 8]):
        return None
    return _Meta(page_size, root, pages, txid)


def fnv64a(content: bytes) -> int:
    """The 64-bit FNV-1a hash of `content` (RFC 9923)."""
    value = 0xCBF29CE484222325
    for byte in content:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
