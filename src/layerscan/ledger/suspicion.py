"""Whether what nobody seems to hold is really nobody's.

Owns every reason against it. An engine that works makes folders before it records them
and records them off before it removes them, so a wrong word here would cost somebody
data: in doubt it is ``transient`` or ``unclear``, and the reason says why.
"""

import os
from collections.abc import Iterable
from time import time

from layerscan.files.mounts import Mounted
from layerscan.ledger.processes import Processes
from layerscan.stores.holdings import Category, Holding, Holdings, UnderWay, settled

_STALLED = 3600.0
"""Seconds after which what makes or removes but one thing would have changed it again."""

_MOST_LOOKED_AT = 1000
"""Entries of a folder whose times are looked at."""


class Suspects:
    """The judge of what nobody seems to hold, by what is known after the walk.

    Args:
        first, second: what the records said before the walk and after it.
        now: what is mounted.
        processes: what is running.
        min_age: seconds for which a thing must have been left alone.
    """

    def __init__(
        self,
        first: Holdings,
        second: Holdings,
        now: Mounted,
        processes: Processes,
        min_age: float,
    ) -> None:
        self._mounted = now
        self._processes = processes
        self._min_age = min_age
        self._time = time()
        self._doubt = ""
        if second.doubts:
            self._doubt = f"a record that may name it cannot be read: {second.doubts[0]}"
        elif not (first.is_settled and second.is_settled):
            self._doubt = "the engine kept changing its records while they were read"
        self._now = {path: one for one in settled(second.holdings) for path in one.paths}
        self._under_way = {
            one.under_way
            for one in (*first.holdings, *second.holdings)
            if one.under_way is not None and not self._is_left(_newest(one))
        }

    def _is_left(self, newest: float | None) -> bool:
        """Whether an engine that runs no more has left what was last changed then."""
        if newest is None:
            return False  # it has been removed since
        started = self._processes.started
        return self._processes.is_complete if started is None else newest < started

    def _doubt_about(self, holding: Holding) -> str:
        return self._doubt or ("" if self._is_out_of_use(holding) else holding.doubt)

    def _is_out_of_use(self, holding: Holding) -> bool:
        """Whether the running engine was started without what it would need of this."""
        started = self._processes.started
        if started is None:
            return False
        idle, busy = _change(holding.idle), _change(holding.busy)
        return (idle is not None and max(idle) < started) or (
            busy is not None and max(busy) >= started
        )

    def judge(self, holding: Holding) -> tuple[Holding, float | None]:
        """A holding in its category, with the reason, and when it was last changed.

        By its records it is unreferenced or transient.
        """
        newest = _newest(holding)
        now = self._now.get(holding.paths[0])
        if newest is None or now is None:
            return _as(holding, Category.TRANSIENT, "was removed while this ran"), newest
        if now.category not in (Category.UNREFERENCED, Category.TRANSIENT):
            return _as(holding, now.category, now.reason), newest
        if Category.TRANSIENT in (holding.category, now.category):
            sign = holding if holding.category is Category.TRANSIENT else now
            is_stalled = sign.under_way is UnderWay.ITSELF and self._time - newest > _STALLED
            if sign.under_way is None or not (is_stalled or self._is_left(newest)):
                return _as(holding, Category.TRANSIENT, sign.reason), newest
            left = sign.left or f"left by {sign.under_way.value} that broke off"
            holding = _as(holding, Category.UNREFERENCED, left)
        against = self._against(holding, newest)
        return (holding if against is None else _as(holding, *against)), newest

    def _against(self, holding: Holding, newest: float) -> tuple[Category, str] | None:
        """What speaks against that nobody holds it."""
        if not self._mounted.ends.isdisjoint(holding.marks):
            return Category.UNCLEAR, "no record names it, but it is mounted"
        if UnderWay.REMOVAL in self._under_way and holding.witnesses:
            return Category.TRANSIENT, "what is being removed may have kept it"
        if UnderWay.ADDITION in self._under_way and not self._is_left(newest):
            return Category.TRANSIENT, "a pull or build that is under way may be about to use it"
        doubt = self._doubt_about(holding)
        if doubt:
            return Category.UNCLEAR, doubt
        for at, what in (
            (newest, "it was changed"),
            (_last(holding.witnesses), "the engine's records were changed"),
        ):
            age = max(self._time - (at or 0.0), 0.0)
            if age < self._min_age:
                return Category.UNCLEAR, f"{holding.reason}; but {what} {age:.0f} s ago"
        return None


def _newest(holding: Holding) -> float | None:
    """When anything of a holding was last changed; None if all of it is gone."""
    return max(filter(None, map(newest_change, holding.paths)), default=None)


def _last(paths: Iterable[str]) -> float | None:
    """When the first names in folders were last added or removed."""
    return max((max(found) for path in paths if (found := _change(path))), default=None)


def _as(holding: Holding, category: Category, reason: str) -> Holding:
    return holding._replace(category=category, reason=reason)


def newest_change(path: str) -> float | None:
    """When `path`, or an entry of it, was last changed, since the epoch; None if it is gone."""
    found = _change(path)
    if found is None:
        return None
    newest = max(found)
    try:
        with os.scandir(path) as entries:
            for _, entry in zip(range(_MOST_LOOKED_AT), entries, strict=False):
                newest = max(newest, *(_change(entry.path) or (0.0,)))
    except OSError:
        pass  # it is a file, or was removed
    return newest


def _change(path: str) -> tuple[float, float] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime, found.st_ctime
