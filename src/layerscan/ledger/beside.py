"""What a store holds beside some of its images, in a moment or not at all."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from errno import ENOENT
from time import monotonic
from typing import NamedTuple

from layerscan.stores.holdings import Holding
from layerscan.walking.walker import BLOCK, walk_many


class TakenBeside(NamedTuple):
    """What is beside some images, in bytes of disk."""

    usage: int
    is_whole: bool  # whether all of it could be read: else it is more


class _TimeLimit:
    """What ends a walk that takes too long."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def is_set(self) -> bool:
        return monotonic() > self._end


def taken_beside(
    holdings: Iterable[Holding],
    *,
    image_ids: AbstractSet[str],
    folders: AbstractSet[str],
    seconds: float,
) -> TakenBeside | None:
    """What takes disk and is not of these images, nor of the layers in `folders`.

    None if the walk takes more than `seconds`.
    """
    mine: dict[str, None] = {}
    others: dict[str, None] = {}
    for one in holdings:
        is_mine = one.image_id in image_ids or not folders.isdisjoint(one.paths)
        (mine if is_mine else others).update(dict.fromkeys(one.paths))
    try:
        found = walk_many(others, apart=True, borders=mine, cancel=_TimeLimit(seconds))
    except InterruptedError:
        return None
    unread = (one for usage in found for one in usage.errors if one.errno != ENOENT)
    return TakenBeside(sum(usage.blocks for usage in found) * BLOCK, not any(unread))
