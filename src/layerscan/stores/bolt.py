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
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from time import sleep
from typing import Self

from layerscan.stores.bolt_pages import (
    FIRST_PAGE,
    HEAD,
    HEADER,
    Meta,
    Page,
    PageError,
    Span,
    newest_meta,
    taken_apart,
    values,
)
from layerscan.stores.safefs import Fault, Folder, reason, shown

_ATTEMPTS = 20
"""How often a file is copied that the engine writes to meanwhile."""
_PAUSE = 0.002
"""Seconds between two of them: about what the engine takes for one commit."""

_LONGEST_COPY = 32 << 20
"""Bytes of the longest database that is taken in one go."""
_LONGEST_PAGE = 1 << 20
"""Bytes of the longest page: it takes more than one where a value is long."""
_MOST_IN_RECORD = 1000
_DEEPEST = 32
"""Levels of a bucket's tree: each holds at least twice what the one above does."""
_FEW = 32
"""Lookups in a bucket after which all its keys are gone through once and for all."""

_BUCKET = struct.Struct("<QQ")
"""Of the value that is a bucket: the page of its root, and a sequence."""


class Database:
    """A database as it was after one transaction, open until it is closed.

    Args:
        folder: the open folder that the file is in.
        name: of the file.
        copied: take it in one go, if it is not too large.

    Attributes:
        where: absolute path of the file.
        txid: number of that transaction.
        root: the bucket that all others are in.

    Raises:
        Fault: the file cannot be read, is no database, or kept changing; or
            the root is damaged.
    """

    def __init__(self, folder: Folder, name: str, *, copied: bool = True) -> None:
        self.where = folder.where(name)
        self._file, _ = folder.open(name)
        self._copy: bytes | None = None
        self._pages: dict[int, Page] = {}
        self._kept = 0
        try:
            self._meta = self._newest()
            if copied and self._meta.length <= _LONGEST_COPY:
                self._copy = self._copied()
            self.txid = self._meta.txid
            self.root = Bucket(self, self._page(self._meta.root))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was not read yet cannot be read any more."""
        os.close(self._file)

    def is_newest(self) -> bool:
        """Whether no other transaction has ended since.

        Raises:
            Fault: that cannot be seen.
        """
        return self._newest() == self._meta

    def check_unmoved(self) -> None:
        """Make sure that all that was read is of one transaction.

        Raises:
            Fault: the engine has ended another one meanwhile.
        """
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

    def _newest(self) -> Meta:
        meta = newest_meta(self._read_some(0, HEAD))
        if meta is None:
            raise Fault(self.where, "is no bbolt database, or damaged: no meta page is valid")
        return meta

    def _read(self, start: int, length: int) -> bytes:
        if self._copy is not None:
            return self._copy[start : start + length]
        data = self._read_some(start, length)
        if len(data) != length:
            raise self._cut_off((start + length) // self._meta.page_size - 1)
        return data

    def _cut_off(self, page: int) -> Fault:
        return self.fault(f"it ends before its page {page}", gone=True)

    def _read_some(self, start: int, length: int) -> bytes:
        try:
            # All that there is, in one call (read(2)).
            return os.pread(self._file, length, start)
        except OSError as error:
            raise Fault(self.where, reason(error)) from error

    # Pages.

    def _page(self, number: int) -> Page:
        """Page `number` of a tree, each taken apart once."""
        known = self._pages.get(number)
        if known is None:
            data = self._page_bytes(number)
            # Pages of a sound file lie beside each other.
            self._kept += len(data)
            if self._kept > self._meta.length:
                raise self.fault("its pages overlap")
            try:
                known = self._pages[number] = taken_apart(data)
            except PageError as error:
                raise self._damaged(number, b"", error) from None
        return known

    def _page_bytes(self, number: int) -> bytes:
        size = self._meta.page_size
        if not FIRST_PAGE <= number < self._meta.pages:
            raise self.fault(f"refers to page {number} of {self._meta.pages}")
        start = number * size
        data = self._read(start, size)
        found, _, _, overflow = HEADER.unpack_from(data)
        if found != number:
            raise self.fault(f"page {number} says that it is page {found}")
        if overflow:
            length = (overflow + 1) * size
            if start + length > self._meta.length or length > _LONGEST_PAGE:
                raise self.fault(f"page {number} is too long")
            data = self._read(start, length)
        return data

    def _bucket_bytes(self, span: Span, key: bytes) -> tuple[bytes, int]:
        """The page at the top of the bucket at `span`, which is under `key`; and its number.

        The number is 0 for the only page of a small bucket, which is inside the value.
        """
        data, is_bucket, start, end = span
        if not is_bucket:
            raise self.fault(f"{shown(key)} is a value, not a bucket")
        if end - start < _BUCKET.size:
            raise self.fault(f"bucket {shown(key)} is cut off")
        root, _ = _BUCKET.unpack_from(data, start)
        return (data[start + _BUCKET.size : end], 0) if root == 0 else (b"", root)

    def _bucket_page(self, span: Span, key: bytes, *, keep: bool) -> Page:
        """The page at the top of the bucket at `span`, which is under `key`.

        It is kept for the next who asks for it, or not.
        """
        inline, root = self._bucket_bytes(span, key)
        if root and keep:
            return self._page(root)
        try:
            return taken_apart(self._page_bytes(root) if root else inline)
        except PageError as error:
            raise self._damaged(root, key, error) from None

    def _record(self, span: Span, key: bytes) -> dict[bytes, bytes]:
        """The values of the small bucket at `span`, which is under `key`."""
        inline, root = self._bucket_bytes(span, key)
        try:
            return values(self._page_bytes(root) if root else inline, _MOST_IN_RECORD)
        except PageError as error:
            raise self._damaged(root, key, error) from None

    def _damaged(self, number: int, key: bytes, error: PageError) -> Fault:
        what = f"page {number}" if number else f"bucket {shown(key)}"
        return self.fault(f"{what} {error}")

    def fault(self, what: str, *, gone: bool = False) -> Fault:
        """The fault that says `what` is wrong with the file."""
        return Fault(self.where, f"is damaged: {what}", gone=gone)


class Bucket:
    """A bucket of a `Database`: keys, and under each a value or another bucket.

    Of what is not asked for, no page is looked at.
    """

    __slots__ = ("_database", "_index", "_lookups", "_root")

    def __init__(self, database: Database, root: Page) -> None:
        self._database = database
        self._root = root
        self._lookups = 0
        self._index: dict[bytes, Span] | None = None

    def has(self, key: bytes) -> bool:
        """Whether there is anything under `key`.

        Raises:
            Fault: the way to it is damaged.
        """
        return self._find(key) is not None

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, None where there is none.

        Raises:
            Fault: it is a bucket, or the way to it is damaged.
        """
        span = self._find(key)
        if span is None:
            return None
        data, is_bucket, start, end = span
        if is_bucket:
            raise self._database.fault(f"{shown(key)} is a bucket, not a value")
        return data[start:end]

    def record(self, key: bytes) -> dict[bytes, bytes] | None:
        """All values of the small bucket under `key`, None where there is none.

        Raises:
            Fault: it is a value, or too large, or damaged.
        """
        span = self._find(key)
        if span is None:
            return None
        return self._database._record(span, key)  # noqa: SLF001 - one module

    def bucket(self, *keys: bytes) -> "Bucket | None":
        """The bucket under the first of `keys`, in it that under the next, and so on.

        Raises:
            Fault: one of them is a value, or the way to it is damaged.
        """
        found = self
        for key in keys:
            span = found._find(key)
            if span is None:
                return None
            found = found._inner(key, span, keep=True)
        return found

    def keys(self) -> Iterator[bytes]:
        """All keys, in order.

        Raises:
            Fault: the bucket is damaged.
        """
        for key, _ in self._elements():
            yield key

    def buckets(self) -> "Iterator[tuple[bytes, Bucket]]":
        """All buckets in this one, by their keys, in order. Values are passed over.

        Raises:
            Fault: the bucket is damaged, or one in it.
        """
        for key, span in self._elements():
            if span[1]:
                yield key, self._inner(key, span, keep=False)

    def items(self) -> "Iterator[tuple[bytes, bytes | Bucket]]":
        """All keys, in order, and what is under them.

        Raises:
            Fault: the bucket is damaged, or one in it.
        """
        for key, span in self._elements():
            data, is_bucket, start, end = span
            yield key, self._inner(key, span, keep=False) if is_bucket else data[start:end]

    def _inner(self, key: bytes, span: Span, *, keep: bool) -> "Bucket":
        page = self._database._bucket_page(span, key, keep=keep)  # noqa: SLF001 - one module
        return Bucket(self._database, page)

    def _find(self, key: bytes) -> Span | None:
        if self._index is not None:
            return self._index.get(key)
        self._lookups += 1
        if self._lookups > _FEW:
            self._index = dict(self._elements())
            return self._index.get(key)
        page = self._root
        for _ in range(_DEEPEST):
            if page.children is None:
                index = bisect_left(page.keys, key)
                if index < len(page.keys) and page.keys[index] == key:
                    return page.spans[index]
                return None
            # The last child that begins at or before the key; the first stands for all before it.
            index = max(0, bisect_right(page.keys, key) - 1)
            page = self._database._page(page.children[index])  # noqa: SLF001 - one module
        raise self._database.fault("a bucket is nested too deeply")

    def _elements(self) -> Iterator[tuple[bytes, Span]]:
        seen: set[int] = set()
        levels: list[Iterator[int]] = []
        page = self._root
        while True:
            if page.children is None:
                yield from zip(page.keys, page.spans, strict=True)
            else:
                levels.append(iter(page.children))
                if len(levels) > _DEEPEST:
                    raise self._database.fault("a bucket is nested too deeply")
            child = None
            while levels and child is None:
                child = next(levels[-1], None)
                if child is None:
                    levels.pop()
            if child is None:
                return
            if child in seen:
                raise self._database.fault(f"page {child} is in a bucket twice")
            seen.add(child)
            page = self._database._page(child)  # noqa: SLF001 - one module
