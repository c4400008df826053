"""Each contestant of each group against ours: equal first, then timed in turns, then judged.

A bound that is missed is measured again, and all rounds count: a machine that
is busy for a moment spoils some of them. What helps is a median of more rounds,
not a lower bound.
"""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.contestants import Contestant
from benchmarks.duel import measured_seconds
from benchmarks.groups import GROUPS, Group, RefusedError, opened, start
from benchmarks.machine import OtherLoad
from benchmarks.settings import CORPUS, SIZE, Size
from tests.requirements import require

_RETRIES = 4
_BUSY = 0.3

_ratios: dict[str, dict[str, float]] = defaultdict(dict)
"""By the names of the group and of the contestant."""


def _contests() -> Iterator[object]:
    for group in GROUPS:
        # pytest-benchmark's clock is that of the stopwatch, see duel.py.
        marks = pytest.mark.benchmark(group=group.name, timer=measured_seconds)
        for one in group.others:
            yield pytest.param(group, one, id=f"{group.name}-{one.name}", marks=marks)


@pytest.mark.parametrize(("group", "contestant"), list(_contests()))
def test_contest(benchmark: BenchmarkFixture, group: Group, contestant: Contestant) -> None:
    load = OtherLoad()
    try:
        duel = start(group, contestant, SIZE, CORPUS)
    except RefusedError as error:
        pytest.skip(f"{group.name}: {contestant.name}: {error}")
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        duel.turn, (duel.peer,), setup=lambda: duel.turn(duel.ours), rounds=group.rounds
    )
    for retries in reversed(range(1 + _RETRIES)):
        _ratios[group.name][contestant.name] = duel.ratio
        verdict = group.verdict(contestant, _ratios[group.name], SIZE)
        if "MISSED" not in verdict or not retries:
            break
        duel.more(group.rounds)
    for seconds in duel.peer.seconds[group.rounds :]:
        benchmark.stats.stats.update(seconds)  # type: ignore[union-attr]
    benchmark.extra_info |= {
        "contestant": contestant.name,
        "yardstick": contestant.yardstick,
        "ratio": duel.ratio,
        "spread": duel.spread,
        "bound": verdict,
        "memory": duel.peer.peak,
        "ours": {"name": group.ours.name, "data": duel.ours.seconds, "memory": duel.ours.peak},
        "entries": opened(group, SIZE, CORPUS)[0].entries,
    }
    words = f"{group.name}: {contestant.name}: {duel.ratio:.2f}, {verdict}"
    if "out of reach" in verdict:
        pytest.skip(words)
    if "MISSED" in verdict and SIZE is Size.SMALL:
        # Two threads against one say nothing while others have the second core.
        busy = load.cores()
        require(busy < _BUSY, f"other programs kept {busy:.1f} cores busy ({words})")
    assert "MISSED" not in verdict, words
    if group.memory is not None:
        assert duel.ours.peak <= group.memory
