"""The largest folders and files of the largest things of a page, within bounds.

Owns the bounds, and the words for what they leave out.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from layerscan.ledger.model import Item
from layerscan.walking.largest import LargeEntry, TooManyEntriesError, largest

_MOST_THINGS = 60  # that are looked into
_MOST_SHOWN = 40  # folders and files of one
_MOST_ENTRIES = 100_000  # of one
_MOST_IN_ALL = 400_000


class Look(NamedTuple):
    """What was found in a thing."""

    files: tuple[LargeEntry, ...] = ()  # the largest first
    unlisted: str = ""  # what is not listed, and why


def look_into(
    shown: Sequence[Item], files: Mapping[str, str], items: Iterable[Item]
) -> tuple[dict[str, Look], list[str]]:
    """What is in the largest of the things, by key, and lines on what is left out.

    Args:
        shown: the things, the largest first.
        files: of layers, where their files are, by the absolute paths of their folders.
        items: all that the store has, as none of it belongs to another.
    """
    paths = {path for item in items for path in item.holding.paths}
    looks: dict[str, Look] = {}
    left = _MOST_IN_ALL
    larger = [item for item in shown if item.usage and _has_folder(item)]
    for item in larger[:_MOST_THINGS]:
        bound = min(left, _MOST_ENTRIES)
        own = [files[one] for one in item.holding.paths if one in files] or item.holding.paths
        below = tuple(f"{path}/" for path in own)
        apart = {path for path in paths if path.startswith(below)}.difference(own)
        try:
            found = largest(own, apart=apart, most=_MOST_SHOWN, most_entries=bound)
        except TooManyEntriesError:
            left -= bound
            looks[item.holding.key] = Look(unlisted=f"it has more than {bound:,} entries")
            continue
        left -= found.looked_at
        if found.usage > item.usage:
            # A hard link counts in one of those that have it.
            looks[item.holding.key] = Look(unlisted="it shares files with others")
        else:
            unread = f"{found.unread:,} folders cannot be read" if found.unread else ""
            looks[item.holding.key] = Look(found.entries, unread)
    return looks, list(_left_out(len(larger), looks))


def _has_folder(item: Item) -> bool:
    return any(os.path.isdir(path) for path in item.holding.paths)


def _left_out(number: int, looks: Mapping[str, Look]) -> Iterable[str]:
    if number > _MOST_THINGS:
        yield f"folders and files are listed of the {_MOST_THINGS} largest things only"
    if looks:
        yield (
            f"of each thing at most its {_MOST_SHOWN} largest folders and files are listed, "
            "none that is less than a hundredth of it"
        )
    unlisted = sum(bool(one.unlisted) for one in looks.values())
    if unlisted:
        yield f"of {unlisted:,} things not all is listed; each says why"
