"""Taking stock of a store: every byte of its roots gets one holder.

Owns the order in which it is done, which is what makes it safe beside a working engine:
records, then one walk over everything, then records again. What nobody seems to hold
after that, `layerscan.ledger.suspicion` looks at.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from errno import EACCES, ENOENT, EPERM
from typing import NamedTuple

from layerscan.files.mounts import Mounted, mounted
from layerscan.ledger.model import DiskUse, Item, Ledger, Sum
from layerscan.ledger.processes import Processes, look_at_processes
from layerscan.ledger.suspicion import Suspects
from layerscan.problem import Problem
from layerscan.stores.holdings import Category, Holding, Holdings, kept_by, settled
from layerscan.stores.model import Store
from layerscan.text import printable_path
from layerscan.walking.walker import BLOCK, Progress, Usage, walk_many

MIN_AGE = 300.0
"""Seconds for which something must have been left alone before nobody's it is called."""

_ERRORS_TOLD = 10
_SUSPECT = (Category.UNREFERENCED, Category.TRANSIENT)
_KEEPING = (Category.IMAGES, Category.CONTAINERS, Category.VOLUMES, Category.BUILD_CACHE)
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "overlay", "tmpfs")


def take_stock(
    store: Store,
    *,
    min_age: float = MIN_AGE,
    threads: int | None = None,
    on_progress: Callable[[Progress, int], object] | None = None,
) -> Ledger:
    """Find out where every byte of `store` is.

    Args:
        store: from `open_store`.
        min_age: seconds; what nobody holds and was changed since is ``unclear``.
        threads: for the walk; default: by the cores and the work at hand.
        on_progress: called about ten times a second with how far the walk has come, and
            how many trees there are to walk.

    Raises:
        StoreError: the store cannot be read.
    """
    first = store.holdings()
    places = _Places(first, mounted())
    walked = _walk(first.holdings, places, threads, on_progress)
    second = store.holdings()
    now = mounted()
    processes = look_at_processes(places.devices, first.databases, first.work)
    suspects = Suspects(first, second, now, processes, min_age)
    in_use = kept_by(
        {one.key: one for one in first.holdings},
        [one.key for one in first.holdings if not now.ends.isdisjoint(one.marks)],
    )
    items = []
    for holding in settled(first.holdings):
        since = None
        if holding.paths and holding.category in _SUSPECT:
            holding, since = suspects.judge(holding)  # noqa: PLW2901 - the same, judged
        usage, shared = walked.taken(holding)
        items.append(Item(holding, usage, shared, holding.key in in_use, since))
    items.sort(key=lambda item: (-item.usage, item.holding.key))
    notes = [*store.notes, *places.notes]
    if first.doubts and any(item.holding.category is Category.UNCLEAR for item in items):
        notes.append("what could not be read leaves open who holds the rest: it is 'unclear'")
    return Ledger(
        root=store.root,
        kind=store.kind,
        roots=tuple(places.roots),
        disks=tuple(_disks(places, walked, processes)),
        items=tuple(items),
        sums=_sums(items, in_use),
        vanished=sum(usage.vanished for usage in walked.usages.values()),
        problems=tuple(sorted({*first.doubts, *second.doubts, *walked.problems()})),
        notes=tuple(dict.fromkeys(notes)),
    )


class _Places:
    """The roots of a store: its own folder, and what is on file systems of its own.

    Attributes:
        roots: absolute paths, the store's own first.
        devices: the number of each one's device.
        apart: paths of holdings that are mounted from elsewhere and do not count.
    """

    def __init__(self, holdings: Holdings, now: Mounted) -> None:
        self.roots: list[str] = []
        self.devices: list[int] = []
        self.apart: set[str] = set()
        self.notes: list[str] = []
        for path in holdings.places:
            self._add(path)
        for holding in holdings.holdings:
            for path in holding.paths:
                kind = now.points.get(path)
                if kind is None:
                    continue
                if kind in _REMOTE or kind.startswith("fuse"):
                    self.apart.add(path)
                    self.notes.append(f"{path}: is on another file system ({kind}): not counted")
                else:
                    self._add(path)

    def _add(self, path: str) -> None:
        try:
            device = os.lstat(path).st_dev
        except OSError:
            return
        for root, known in zip(self.roots, self.devices, strict=True):
            if known == device and os.path.commonpath((root, path)) == root:
                return  # a part of it
        self.roots.append(path)
        self.devices.append(device)


class _Walked(NamedTuple):
    """What the walk found, by path."""

    usages: dict[str, Usage]

    def taken(self, holding: Holding) -> tuple[int, int]:
        """Bytes of disk of a holding, and of those the ones that are shared by hard links."""
        found = [self.usages[path] for path in dict.fromkeys(holding.paths) if path in self.usages]
        blocks = sum(usage.blocks for usage in found)
        return blocks * BLOCK, sum(usage.shared_blocks for usage in found) * BLOCK

    def problems(self) -> Iterable[Problem]:
        """What could not be read; what is not there is not a problem."""
        told = 0
        for usage in self.usages.values():
            for error in usage.errors:
                if usage.entries == 0 and error.errno == ENOENT:
                    continue
                told += 1
                if told <= _ERRORS_TOLD:
                    hint = "; use sudo" if error.errno in (EACCES, EPERM) else ""
                    yield Problem(printable_path(error.path), os.strerror(error.errno) + hint)
        if told > _ERRORS_TOLD:
            yield Problem("the walk", f"{told - _ERRORS_TOLD:,} more entries cannot be read")


def _walk(
    holdings: Sequence[Holding],
    places: _Places,
    threads: int | None,
    on_progress: Callable[[Progress, int], object] | None,
) -> _Walked:
    """Walk the paths of all holdings, each inode once."""
    paths = list(dict.fromkeys(path for one in holdings for path in one.paths))
    paths = [path for path in paths if path not in places.apart]
    found = walk_many(
        paths,
        apart=True,
        threads=threads,
        on_progress=on_progress and (lambda progress: on_progress(progress, len(paths))),
    )
    return _Walked(dict(zip(paths, found, strict=True)))


def _sums(items: Sequence[Item], in_use: set[str]) -> dict[Category, Sum]:
    by_key = {item.holding.key: item for item in items}
    holdings = {key: item.holding for key, item in by_key.items()}
    sums = {}
    for category in Category:
        of_it = [item for item in items if item.holding.category is category]
        used = sum(item.usage for item in of_it if item.in_use)
        freeable = 0
        number = sum(bool(item.holding.paths) for item in of_it)
        if category is Category.UNREFERENCED:
            freeable = sum(item.usage - item.shared for item in of_it)
        elif category in _KEEPING:
            roots = [one for one in holdings.values() if one.is_root]
            own = [one.key for one in roots if one.category is category]
            number = len(own)
            going = [key for key in own if key not in in_use]
            gone = kept_by(holdings, going) - kept_by(
                holdings, [one.key for one in roots if one.key not in going]
            )
            freeable = sum(item.usage - item.shared for item in of_it if item.holding.key in gone)
        sums[category] = Sum(sum(item.usage for item in of_it), used, freeable, number)
    return sums


def _disks(places: _Places, walked: _Walked, processes: Processes) -> Iterable[DiskUse]:
    taken = dict.fromkeys(places.devices, 0)
    for path, usage in walked.usages.items():
        if usage.entries:
            try:
                device = os.lstat(path).st_dev
            except OSError:
                device = places.devices[0]  # removed since
            taken[device] = taken.get(device, 0) + usage.blocks * BLOCK
    for device in dict.fromkeys(places.devices):
        roots = [
            root for root, its in zip(places.roots, places.devices, strict=True) if its == device
        ]
        found = os.statvfs(roots[0])
        yield DiskUse(
            roots=tuple(roots),
            usage=taken[device],
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            reserved=(found.f_bfree - found.f_bavail) * found.f_frsize,
            deleted=processes.deleted.get(device, 0),
        )
