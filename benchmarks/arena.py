"""A run of the benchmarks while it goes on: opened groups, duels, rows.

Owns the order of things in a group: what is needed is made, all give their
answer and are held to be equal, and only then anything is timed.
"""

from collections.abc import Iterator
from statistics import median

from benchmarks import targets
from benchmarks.contest import Duel, Outcome
from benchmarks.groups import GROUPS, Group, RefusedError, Ring
from benchmarks.machine import OtherLoad, commit
from benchmarks.peers import WALKERS, Role
from benchmarks.results import Row, Standing
from benchmarks.settings import Size


class UnequalError(AssertionError):
    """A contestant that must agree with ours does not."""


class Arena:
    """All that was measured in one run.

    Args:
        size: of trees, stores and documents.
        root: the folder in which they are kept.

    Attributes:
        other_load: what other programs did meanwhile.
        commit: what is measured.
    """

    def __init__(self, size: Size, root: str) -> None:
        self.size = size
        self.root = root
        self.other_load = OtherLoad()
        # Now: at the end of a long run something else may be checked out.
        self.commit = commit()
        self._rings: dict[str, Ring | RefusedError] = {}
        self._ours: dict[str, Outcome] = {}
        self._duels: dict[tuple[str, str], Duel] = {}
        self._missing: dict[tuple[str, str], Row] = {}

    def duel(self, group: Group, name: str) -> Duel:
        """The duel of ours with the contestant `name` of `group`; both agree.

        Raises:
            RefusedError: it cannot be measured here, or gives another answer.
            UnequalError: it gives another answer, and must not.
        """
        key = (group.name, name)
        if key in self._duels:
            return self._duels[key]
        try:
            duel = self._enter(group, name)
        except RefusedError as error:
            self._missing.setdefault(key, Row(*key, Standing.REFUSED, _role(name), note=str(error)))
            raise
        self._duels[key] = duel
        return duel

    def _enter(self, group: Group, name: str) -> Duel:
        ring = self._ring(group)
        key = (group.name, name)
        if name in ring.absent:
            self._missing[key] = Row(*key, Standing.ABSENT, _role(name), note=ring.absent[name])
            raise RefusedError(ring.absent[name])
        entrant = ring.entrants[name]
        if group.name not in self._ours:
            self._ours[group.name] = ring.ours.run()
        ours = entrant.part(self._ours[group.name].answer)
        theirs = entrant.contestant.run().answer
        if theirs != ours:
            told = f"gives {_short(theirs)}, ours {_short(ours)}; compared: {entrant.counts}"
            if entrant.exact:
                raise UnequalError(f"{group.name}: {name} {told}")
            self._missing[key] = Row(*key, Standing.UNEQUAL, entrant.role, note=told)
            raise RefusedError(f"not equal: {told}")
        return Duel(ring.ours, entrant.contestant, ring.prepare)

    def _ring(self, group: Group) -> Ring:
        """The opened group; a refusal is remembered."""
        if group.name not in self._rings:
            try:
                self._rings[group.name] = group.open(self.size, self.root)
            except RefusedError as error:
                self._rings[group.name] = error
        ring = self._rings[group.name]
        if isinstance(ring, RefusedError):
            raise RefusedError(str(ring))
        return ring

    def rows(self) -> list[Row]:
        """A row for each contestant that took part or should have, ours first in each group."""
        found: list[Row] = []
        for group in GROUPS.values():
            others = list(self._others(group))
            if others:
                found += [*self._our_row(group), *others]
        return found

    def facts(self, group: Group, name: str) -> dict[str, object]:
        """What pytest-benchmark keeps beside the times of a contestant."""
        row = self._row(group, name, self._duels[group.name, name])
        return {
            "ratio": row.ratio,
            "spread": row.spread,
            "entries_per_second": row.rate,
            "peak_bytes": row.peak,
            "equal": row.note,
        }

    def _our_row(self, group: Group) -> Iterator[Row]:
        duels = [duel for key, duel in self._duels.items() if key[0] == group.name and duel.rounds]
        if not duels:
            return
        seconds = [second for duel in duels for second in duel.our_seconds]
        yield Row(
            group.name,
            duels[0].ours.name,
            Standing.OURS,
            Role.TOOL,
            group.about,
            median(seconds),
            1.0,
            None,
            self._rate(group, median(seconds)),
            max(duel.our_peak for duel in duels),
            len(seconds),
        )

    def _others(self, group: Group) -> Iterator[Row]:
        for name in group.names:
            key = (group.name, name)
            duel = self._duels.get(key)
            if duel is not None and duel.rounds:
                yield self._row(group, name, duel)
            elif key in self._missing:
                yield self._stand_in(group, name) or self._missing[key]

    def _row(self, group: Group, name: str, duel: Duel) -> Row:
        ring = self._ring(group)
        entrant = ring.entrants[name]
        seconds = median(duel.peer_seconds)
        return Row(
            group.name,
            name,
            Standing.RANKED,
            entrant.role,
            f"compared: {entrant.counts}",
            seconds,
            duel.ratio,
            duel.spread,
            self._rate(group, seconds),
            duel.peer_peak,
            duel.rounds,
        )

    def _stand_in(self, group: Group, name: str) -> Row | None:
        du = self._duels.get((group.name, "du -sk"))
        if du is None or not du.rounds:
            return None
        if self._missing[group.name, name].standing is not Standing.ABSENT:
            return None
        ratio = targets.stand_in_ratio(name, group.name, du.ratio)
        if ratio is None:
            return None
        by_du = ratio / du.ratio
        note = f"not here; du's time in this run times {by_du:.2f}, as measured elsewhere"
        return Row(group.name, name, Standing.STAND_IN, Role.TOOL, note, None, ratio)

    def _rate(self, group: Group, seconds: float) -> float | None:
        entries = self._ours[group.name].entries or self._entries(group)
        return None if entries is None else entries / seconds

    def _entries(self, group: Group) -> int | None:
        """Of a group whose answer does not say it, from another on the same path."""
        path = self._ring(group).path
        for name, ring in self._rings.items():
            if isinstance(ring, Ring) and ring.path == path and path is not None:
                entries = self._ours[name].entries if name in self._ours else None
                if entries is not None:
                    return entries
        return None


def _role(name: str) -> Role:
    return WALKERS[name].role if name in WALKERS else Role.YARDSTICK


def _short(answer: object) -> str:
    text = f"{answer:,}" if isinstance(answer, int) else str(answer)
    return text if len(text) < 40 else text[:40] + "…"
