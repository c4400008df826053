"""The walk again in plain Python, slowly: what the compiled one should find.

The same rules as ``_walk`` and the same `walk_trees`, written for being
obviously right: one thread, no state kept between two folders, each folder
opened anew from the root, name by name and never through a symlink. It is some
ten times slower, and quadratic in depth.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerscan._walk import Cancel, Fault, Tally, TreeFacts

_VANISHED = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class _Tally:
    """The counts of one tree; see `layerscan.walking.walker.Usage` for what each is."""

    def __init__(self, seen: set[tuple[int, int]] | None = None) -> None:
        self.blocks = self.size = self.holes = self.directory_size = 0
        self.files = self.directories = self.symlinks = self.others = 0
        self.duplicates = self.mounts = self.vanished = self.errors = 0
        # Inodes that count once: those of this tree, or of all trees in order.
        self.in_order = seen is not None
        self.seen = set[tuple[int, int]]() if seen is None else seen

    def add(self, st: os.stat_result) -> bool:
        """Count one entry, its inode only if it is new here. Whether it was."""
        kind = stat.S_IFMT(st.st_mode)
        inode = _identity(st)
        if self.in_order or (kind != stat.S_IFDIR and st.st_nlink > 1):
            if inode in self.seen:
                self.duplicates += kind != stat.S_IFDIR
                return False
            self.seen.add(inode)
        self.blocks += st.st_blocks
        if kind == stat.S_IFDIR:
            self.directories += 1
            self.directory_size += st.st_size
            return True
        self.size += st.st_size
        if kind == stat.S_IFREG:
            self.files += 1
            self.holes += max(0, st.st_size - st.st_blocks * 512)
        self.symlinks += kind == stat.S_IFLNK
        self.others += kind not in (stat.S_IFREG, stat.S_IFLNK)
        return True

    def facts(self) -> Tally:
        return (
            self.blocks, self.size, self.files, self.directories, self.symlinks, self.others,
            self.holes, self.directory_size,
            self.duplicates, self.mounts, self.vanished, self.errors,
        )  # fmt: skip


def _identity(st: os.stat_result) -> tuple[int, int]:
    return st.st_dev, st.st_ino


class _Tree:
    """The walk of one root."""

    def __init__(
        self,
        root: bytes,
        child_name: bytes | None,
        seen: set[tuple[int, int]] | None,
        *,
        cross_mounts: bool,
    ) -> None:
        self.root = root
        self.child_name = child_name
        self.cross_mounts = cross_mounts
        self.whole = _Tally(seen)
        self.child: _Tally | None = None
        self.faults: list[Fault] = []

    def walk(self, tick: Callable[[int], None]) -> TreeFacts:
        """All the facts of the tree; `tick` is told of entries as they are counted."""
        try:
            st = os.stat(self.root, follow_symlinks=False)
        except OSError as error:
            return (_errno(error), self.whole.facts(), None, [], 0)
        self.device = st.st_dev
        self.folders: dict[tuple[bytes, ...], tuple[int, int]] = {(): _identity(st)}
        is_new = self.whole.add(st)
        tick(1)
        if not is_new:
            return (0, _Tally().facts(), None, [], 0)
        pending: list[tuple[bytes, ...]] = [()] if stat.S_ISDIR(st.st_mode) else []
        while pending:
            folder = pending.pop()
            try:
                fd = self._open(folder)
            except OSError as error:
                self._report(folder, error)
                continue
            try:
                self._read(fd, folder, pending, tick)
            finally:
                os.close(fd)
        child = None if self.child is None else self.child.facts()
        return (0, self.whole.facts(), child, sorted(self.faults), 0)

    def _open(self, folder: tuple[bytes, ...]) -> int:
        fd = os.open(self.root, _DIRECTORY)
        for name in folder:
            above = fd
            try:
                fd = os.open(name, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
        return fd

    def _read(
        self,
        fd: int,
        folder: tuple[bytes, ...],
        pending: list[tuple[bytes, ...]],
        tick: Callable[[int], None],
    ) -> None:
        try:
            names = [os.fsencode(name) for name in os.listdir(fd)]
        except OSError as error:
            self._report(folder, error)
            return
        for name in names:
            try:
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                self._report((*folder, name), error)
                continue
            self._count((*folder, name), st, pending)
        tick(len(names))

    def _count(
        self, entry: tuple[bytes, ...], st: os.stat_result, pending: list[tuple[bytes, ...]]
    ) -> None:
        in_child = entry[0] == self.child_name
        if in_child and self.child is None:
            self.child = _Tally()
        tallies = [self.whole, self.child] if in_child and self.child else [self.whole]
        is_mount = stat.S_ISDIR(st.st_mode) and st.st_dev != self.device and not self.cross_mounts
        if is_mount:
            for tally in tallies:
                tally.mounts += 1
            return
        above = (self.folders[entry[:depth]] for depth in range(len(entry)))
        if stat.S_ISDIR(st.st_mode) and _identity(st) in above:
            for tally in tallies:
                tally.duplicates += 1
            return
        is_new = [tally.add(st) for tally in tallies]
        if stat.S_ISDIR(st.st_mode) and is_new[0]:
            self.folders[entry] = _identity(st)
            pending.append(entry)

    def _report(self, entry: tuple[bytes, ...], error: OSError) -> None:
        in_child = entry[:1] == (self.child_name,)
        vanished = error.errno in _VANISHED
        tallies = [self.whole, self.child] if in_child and self.child else [self.whole]
        for tally in tallies:
            tally.vanished += vanished
            tally.errors += not vanished
        if not vanished:
            path = b"/".join((self.root.removesuffix(b"/"), *entry)) if entry else self.root
            self.faults.append((path, _errno(error), in_child))


_INTERVAL = 0.1
"""Seconds between two calls of on_progress."""


def walk_trees(
    paths: list[bytes],
    child: bytes | None,
    in_order: bool,  # noqa: FBT001 - the signature of the compiled walk
    all_inodes: bool,  # noqa: ARG001, FBT001 - in order, this one always looks at all
    apart: bool,  # noqa: FBT001
    borders: int,  # noqa: ARG001 - there are none
    threads: int,  # noqa: ARG001 - there is one
    cross_mounts: bool,  # noqa: FBT001
    on_progress: Callable[[int, int], object] | None,
    cancel: Cancel | None,
) -> list[TreeFacts]:
    """Walk each of `paths`; see ``_walk.pyi``. ``du`` is the oracle of trees `apart`."""
    if apart:
        raise NotImplementedError
    entries = trees_done = 0
    last = time.monotonic()

    def tick(count: int) -> None:
        nonlocal entries, last
        entries += count
        if cancel is not None and cancel.is_set():
            raise InterruptedError("the walk was cancelled")
        if on_progress is not None and time.monotonic() - last >= _INTERVAL:
            last = time.monotonic()
            on_progress(entries, trees_done)

    facts = []
    for path in paths:
        if b"\0" in path:
            raise ValueError("a path cannot contain a NUL byte")
    seen = set[tuple[int, int]]() if in_order else None
    for path in paths:
        facts.append(_Tree(path, child, seen, cross_mounts=cross_mounts).walk(tick))
        trees_done += 1
    if on_progress is not None:
        on_progress(entries, trees_done)
    return facts


def _errno(error: OSError) -> int:
    # Python leaves it out of errors that did not come from the system.
    return error.errno or errno.EIO
