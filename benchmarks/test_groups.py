"""Each contestant of each group against ours: equal first, then timed in turns."""

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.arena import Arena
from benchmarks.contest import measured_seconds
from benchmarks.groups import GROUPS, Group, RefusedError


def _contests() -> Iterator[object]:
    for group in GROUPS.values():
        # pytest-benchmark's clock is that of the stopwatch, see contest.py.
        marks = pytest.mark.benchmark(group=group.name, timer=measured_seconds)
        for name in group.names:
            yield pytest.param(group, name, id=f"{group.name}-{name}", marks=marks)


@pytest.mark.parametrize(("group", "name"), list(_contests()))
def test_contest(arena: Arena, benchmark: BenchmarkFixture, group: Group, name: str) -> None:
    try:
        duel = arena.duel(group, name)
    except RefusedError as error:
        pytest.skip(str(error))
    rounds = group.rounds[arena.size]
    benchmark.pedantic(duel.run_peer, setup=duel.run_ours, rounds=rounds)  # type: ignore[no-untyped-call]
    benchmark.extra_info.update(arena.facts(group, name))
