"""What a store holds beside some of its images, in a moment or not at all."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from time import monotonic

from layerscan.stores.holdings import Holding
from layerscan.walking.walker import BLOCK, walk_many


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
) -> int | None:
    """Bytes of disk of all that is not of these images, nor of the layers in `folders`.

    What cannot be read is left out. None if the walk takes more than `seconds`.
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
    return sum(usage.blocks for usage in found) * BLOCK
