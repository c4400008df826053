"""The largest folders and files of a tree, by name.

Owns a look into trees that the compiled walk has summed up, in plain Python: what is largest
in there is for people to see, so it is bounded, and no figure comes from it. It counts as the
walk does: blocks, each inode once, nothing on other devices.
"""

import os
import stat
from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush, nlargest
from itertools import count
from typing import NamedTuple

from layerscan.walking.walker import BLOCK

_DEEPEST = 100  # folders in each other; each is held open
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LargeEntry(NamedTuple):
    """A folder or a file."""

    name: str  # in its folder, or of what was asked for its path
    usage: int  # bytes of disk, of a folder with all that is in it
    is_folder: bool
    inside: tuple["LargeEntry", ...] = ()  # of a folder the largest, the first of all first


class Largest(NamedTuple):
    """What is largest in a tree."""

    entries: tuple[LargeEntry, ...]  # the first of all first
    usage: int  # bytes of disk of all that was looked at
    looked_at: int  # how many entries that were
    unread: int  # folders that could not be looked into, or are too deep


class TooManyEntriesError(Exception):
    """A tree has more entries than may be looked at."""


def largest(
    paths: Iterable[str], *, apart: Collection[str] = (), most: int, most_entries: int
) -> Largest:
    """The largest folders and files of `paths`, at most so many in all.

    What goes away meanwhile, or is not there, is passed over.

    Args:
        paths: absolute paths; of one folder it is what is in there, of several they themselves.
        apart: absolute paths that do not belong to it.
        most: how many entries to give.
        most_entries: how many to look at.

    Raises:
        TooManyEntriesError: there are more.
    """
    look = _Looking(apart, most, most_entries)
    found = [one for path in paths if (one := look.path(path)) is not None]
    usage = sum(one.usage for one in found)
    if len(found) == 1 and found[0].inside:
        found = list(found[0].inside)
    return Largest(_pruned(found, most, usage), usage, most_entries - look.left, look.unread)


class _Looking:
    """One look at trees."""

    def __init__(self, apart: Collection[str], most: int, most_entries: int) -> None:
        self.left = most_entries
        self.unread = 0
        self._apart = apart
        self._most = most
        self._device = 0  # that of the path that is looked at
        self._seen: set[tuple[int, int]] = set()

    def path(self, path: str) -> LargeEntry | None:
        """What is at a path; None if there is nothing."""
        try:
            found = os.lstat(path)
        except OSError:
            return None
        self._device = found.st_dev
        return self._entry(path, path, None, found, _DEEPEST)

    def _entry(
        self, name: str, path: str, at: int | None, found: os.stat_result, deeper: int
    ) -> LargeEntry | None:
        """An entry with all that is in it; None if it does not count here."""
        self.left -= 1
        if self.left < 0:
            raise TooManyEntriesError
        is_folder = stat.S_ISDIR(found.st_mode)
        if found.st_dev != self._device:
            return None
        if found.st_nlink > 1 and not is_folder:
            inode = (found.st_dev, found.st_ino)
            if inode in self._seen:
                return None
            self._seen.add(inode)
        usage = found.st_blocks * BLOCK
        if not is_folder:
            return LargeEntry(name, usage, is_folder=False)
        try:
            folder = os.open(name, _FOLDER, dir_fd=at) if deeper else None
        except FileNotFoundError:
            return None
        except OSError:
            folder = None
        if folder is None:
            self.unread += 1
            return LargeEntry(name, usage, is_folder=True)
        try:
            inside = self._inside(folder, path, deeper - 1)
        finally:
            os.close(folder)
        usage += sum(one.usage for one in inside)
        return LargeEntry(name, usage, True, tuple(nlargest(self._most, inside, key=_usage)))  # noqa: FBT003

    def _inside(self, folder: int, path: str, deeper: int) -> list[LargeEntry]:
        inside = []
        with os.scandir(folder) as entries:
            for entry in entries:
                below = f"{path}/{entry.name}"
                if below in self._apart:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                one = self._entry(entry.name, below, folder, found, deeper)
                if one is not None:
                    inside.append(one)
        return inside


def _usage(entry: LargeEntry) -> int:
    return entry.usage


def _pruned(entries: Iterable[LargeEntry], most: int, usage: int) -> tuple[LargeEntry, ...]:
    """The `most` largest of all, each in its folder, but none below a hundredth of `usage`."""
    order = count()
    # The largest at the top, each with the place of its folder among those chosen.
    heap = [(-one.usage, next(order), 0, one) for one in entries]
    heapify(heap)
    chosen: list[tuple[int, LargeEntry]] = []
    while heap and len(chosen) < most:
        _, _, folder, one = heappop(heap)
        if one.usage == 0 or one.usage * 100 < usage:
            break
        chosen.append((folder, one))
        for inner in one.inside:
            heappush(heap, (-inner.usage, next(order), len(chosen), inner))
    inside: list[list[LargeEntry]] = [[] for _ in range(len(chosen) + 1)]
    # What is in a folder was chosen after it.
    for place in range(len(chosen), 0, -1):
        folder, one = chosen[place - 1]
        inside[folder].append(one._replace(inside=tuple(reversed(inside[place]))))
    return tuple(reversed(inside[0]))
