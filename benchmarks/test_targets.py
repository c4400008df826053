"""The targets, after all groups were measured (this file comes last).

A target that is missed is measured again, and all rounds count.
"""

import pytest

from benchmarks.arena import Arena
from benchmarks.groups import GROUPS
from benchmarks.results import Standing
from benchmarks.targets import TARGETS, Measure, Target, Verdict, judge

_RETRIES = 4


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target(arena: Arena, verdicts: dict[str, Verdict], target: Target) -> None:
    verdict = judge(target, arena.rows(), arena.size)
    retries = _RETRIES if verdict.judged and target.measure is Measure.RATIO else 0
    group = GROUPS[target.group]
    while retries and verdict.row is not None and not (verdict.met or verdict.out_of_reach):
        # A stand-in is as good as the figure of du that it is made from.
        stands_in = verdict.row.standing is Standing.STAND_IN
        name = "du -sk" if stands_in else verdict.row.contestant
        arena.duel(group, name).more(group.rounds[arena.size])
        retries -= 1
        verdict = judge(target, arena.rows(), arena.size)
    verdicts[target.name] = verdict
    if verdict.value is None:
        pytest.skip(_why_not(arena, target))
    if not verdict.judged:
        pytest.skip(f"not judged at size {arena.size}: {verdict}")
    if verdict.out_of_reach:
        pytest.skip(f"out of reach: {verdict}")
    assert verdict.met, f"missed: {verdict} ({target.why})"


def _why_not(arena: Arena, target: Target) -> str:
    notes = {
        row.note
        for row in arena.rows()
        if row.group == target.group and row.standing in {Standing.ABSENT, Standing.REFUSED}
    }
    return "; ".join(sorted(notes)) or "its group was not measured"
