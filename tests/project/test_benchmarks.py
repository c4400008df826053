"""The benchmarks themselves: their arithmetic, their report, and the ratios on small trees.

The gates at the end are those of ``make bench`` in small: ratios of runs that
alternate; what is missed is measured again, and all rounds count.
"""

import math
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import contest, machine, report, results, scaling, targets
from benchmarks.arena import Arena, UnequalError
from benchmarks.contest import Contestant, Duel
from benchmarks.groups import GROUPS, Group, RefusedError
from benchmarks.peers import Role
from benchmarks.results import Results, Row, Standing
from benchmarks.settings import Size
from benchmarks.targets import SMALL_GATES, TARGETS, Target
from tests.requirements import require

# Nothing else runs meanwhile: what is held are ratios of times.
pytestmark = pytest.mark.alone

# Ratios and targets.


def sleeper(seconds: float, answer: str = "1") -> Contestant:
    return Contestant("sleeper", ("sh", "-c", f"sleep {seconds}; echo {answer}"), int)


def test_a_ratio_is_of_medians_of_runs_in_turns() -> None:
    prepared: list[int] = []
    duel = Duel(sleeper(0.02), sleeper(0.08), lambda: prepared.append(1))
    clock = contest.measured_seconds()
    duel.more(3)
    assert duel.rounds == 3
    assert len(prepared) == 6
    assert 1.5 < duel.ratio < 4.1
    assert duel.spread[0] <= duel.ratio * 1.5
    assert contest.measured_seconds() - clock == pytest.approx(sum(duel.peer_seconds))


def test_chance_is_told_from_a_difference() -> None:
    # Of 11 even throws 10 or 11 on one side come in 1.2 of 100 cases, 9 in 6.5.
    assert contest.sure_range(range(11)) == (1, 9)
    assert contest.sure_range([1.0] * 3) == (0.0, math.inf)
    low, high = contest.sure_range([0.9] * 2 + [1.1] * 9)
    assert low < 1 < high


def test_a_miss_is_measured_again_and_all_rounds_count() -> None:
    duel = Duel(sleeper(0), sleeper(0))
    asked: list[int] = []

    def met() -> bool:
        asked.append(duel.rounds)
        return duel.rounds >= 6

    assert duel.until(met, rounds=2, retries=5)
    assert asked == [2, 4, 6]
    assert not Duel(sleeper(0), sleeper(0)).until(lambda: False, rounds=1, retries=2)


def row(contestant: str, ratio: float | None, **changes: object) -> Row:
    made = Row("walk, warm", contestant, Standing.RANKED, Role.TOOL, ratio=ratio, seconds=ratio)
    return replace(made, **changes)  # type: ignore[arg-type]


ROWS = [
    row("layerscan", 1.0, standing=Standing.OURS, peak=20 << 20, rate=1e6, rounds=9),
    row("du -sk", 2.1, spread=(2.0, 2.2)),
    row("gdu", 1.2, standing=Standing.UNEQUAL, note="gives 3, ours 4"),
    row("ncdu", None, standing=Standing.ABSENT, note="no ncdu on PATH"),
    row("pdu", 1.4, standing=Standing.STAND_IN, seconds=None, note="not here"),
    row("bare loop in C", 0.95, role=Role.YARDSTICK),
]


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("warm walk, du", 2.1, True),
        ("warm walk, tools", 1.4, True),
        ("warm walk, kernel", 0.95, True),
        ("walk's memory", 20 << 20, True),
        ("flat walk, du", None, False),
    ],
)
def test_targets_are_judged(name: str, value: float | None, met: bool) -> None:  # noqa: FBT001
    (target,) = (target for target in TARGETS if target.name == name)
    verdict = targets.judge(target, ROWS, Size.LARGE)
    assert (verdict.value, verdict.met, verdict.judged) == (value, met, True)
    assert name in str(verdict)


def test_a_missed_target_is_missed() -> None:
    slow = [*ROWS, row("dua", 1.29)]
    (target,) = (target for target in TARGETS if target.name == "warm walk, tools")
    verdict = targets.judge(target, slow, Size.LARGE)
    assert not verdict.met
    assert str(verdict) == "warm walk, tools: 1.29 x, at least 1.30 against dua"
    assert not targets.judge(target, slow, Size.SMALL).judged


def test_a_target_that_the_limit_misses_too_is_out_of_reach() -> None:
    (target,) = (target for target in TARGETS if target.name == "cold walk, du")
    cold = [replace(one, group="walk, cold") for one in ROWS]
    verdict = targets.judge(target, cold, Size.LARGE)
    assert verdict.out_of_reach
    assert str(verdict).endswith("; on this machine bare loop in C has 2.21")
    quick_disk = [
        replace(one, ratio=0.5) if one.contestant == target.limit else one for one in cold
    ]
    verdict = targets.judge(target, quick_disk, Size.LARGE)
    assert (verdict.met, verdict.out_of_reach) == (False, False)


def test_targets_name_groups_and_peers_that_there_are() -> None:
    for target in (*TARGETS, *SMALL_GATES):
        group = GROUPS[target.group]
        assert target.peer in {*group.names, targets.FASTEST, "layerscan"}
        assert (target.at_least is None) != (target.at_most is None)


def test_stand_ins_are_the_ratios_that_were_measured() -> None:
    by_name = {name: targets.stand_in_ratio(name, "walk, warm", 1.42) for name in ("pdu", "diskus")}
    assert by_name == {"pdu": pytest.approx(0.94), "diskus": pytest.approx(1.0)}
    assert targets.stand_in_ratio("diskus", "walk, cold", 7.2) == pytest.approx(3.1)
    assert targets.stand_in_ratio("diskus", "walk, warm, flat", 0.76) == pytest.approx(0.485)
    assert targets.stand_in_ratio("diskus", "walk, warm, deep", 1.0) is None
    assert targets.stand_in_ratio("gdu", "walk, warm", 1.0) is None


def test_a_straight_line_has_the_exponent_one() -> None:
    assert scaling.exponent([(10, 5), (100, 50), (1000, 500)]) == pytest.approx(1)
    assert scaling.exponent([(10, 1), (100, 100)]) == pytest.approx(2)


# The report.


def found(*rows: Row, commit: str = "abc", complete: bool = True) -> Results:
    lines = (("warm walk, du", "MISSED", "warm walk, du: 1.90 x, at least 2.00"),)
    return Results(
        commit, "a processor, 2 cores", "large", "2024-01-01", 0.5, complete, rows, lines
    )


def test_results_come_back_as_they_went() -> None:
    assert results.loads(found(*ROWS).dumps()) == found(*ROWS)


def test_history_has_a_line_for_each_commit(tmp_path: Path) -> None:
    for commit in ("abc", "def", "abc", "abc+", "abc+"):
        results.write(found(*ROWS, commit=commit), str(tmp_path))
    kept = [one.commit for one in results.history(str(tmp_path))]
    assert kept == ["def", "abc", "abc+", "abc+"]
    assert results.loads((tmp_path / "results.json").read_text()).commit == "abc+"


def test_the_table_says_what_was_and_what_was_not_measured() -> None:
    text = report.table(found(*ROWS))
    assert "2.10 (2.00 to 2.20)" in text
    assert "not equal: gives 3, ours 4" in text
    assert "absent: no ncdu on PATH" in text
    assert "stand-in: not here" in text
    assert "MISSED  warm walk, du: 1.90 x, at least 2.00" in text
    assert text.count("walk, warm ") == 1


def test_the_table_for_the_docs_ranks_no_unequal_answer() -> None:
    text = report.markdown(found(*ROWS))
    assert "| walk, warm | **layerscan** | 1.00 s | 1 | 1,000,000 | 20 MiB |" in text
    assert "|  | du -sk | 2.10 s | 2.10 |  |  |" in text
    assert "| pdu ¹ |" in text
    assert "¹ Not run" in text
    assert "ncdu" not in text
    assert "gdu" not in text
    assert "Missed: warm walk, du: 1.90 x, at least 2.00." in text


def test_the_summary_has_a_line_for_each_group() -> None:
    text = report.summary(found(*ROWS))
    assert "| walk, warm | 1.00 s | 2.10 times | 1.40 times (pdu ¹) | 0.95 times |" in text
    assert "Missed:" in text


def test_the_summary_has_the_first_yardstick_only() -> None:
    text = report.summary(found(*ROWS, row("another", 0.7, role=Role.YARDSTICK)))
    assert "| 0.95 times |" in text
    assert "0.70" not in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"a\n\n{report.BEGIN}\n\nb\n", f"a\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nb\n"),
        (
            f"a\n{report.BEGIN}\nold\n{report.END}\nb\n",
            f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb\n",
        ),
    ],
)
def test_a_table_goes_between_its_markers(before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(before)
    assert report.put_table(str(path), "new\n")
    assert path.read_text() == after
    assert report.put_table(str(path), "new")
    assert path.read_text() == after


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing\n")
    assert not report.put_table(str(tmp_path / "page.md"), "new")
    assert not report.put_table(str(tmp_path / "absent.md"), "new")
    assert (tmp_path / "page.md").read_text() == "nothing\n"


def test_the_machine_is_described_without_its_name() -> None:
    text = machine.machine(os.getcwd())
    assert "cores" in text
    assert os.uname().nodename not in text
    assert 0 <= machine.OtherLoad().cores() < 1000


def test_pictures_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    require(find_spec("matplotlib"), "it needs matplotlib: pip install --group bench")
    from benchmarks import picture

    for name in ("a.svg", "b.svg"):
        picture.draw_ratios(ROWS, str(tmp_path / name))
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    for word in ("du -sk", "2.10", "1.40 (stand-in)"):
        assert word in first
    picture.draw_lines(
        [("Files", "entries", "seconds", {"ours": [(1, 2), (10, 20)]})],
        str(tmp_path / "lines.svg"),
        logarithmic=[True],
    )
    assert "entries" in (tmp_path / "lines.svg").read_text()


# The arena.


def small_group(*contestants: tuple[Contestant, bool]) -> Group:
    from benchmarks.groups import Entrant, Ring

    entrants = {one.name: Entrant(one, Role.TOOL, "a number", exact) for one, exact in contestants}
    ring = Ring(sleeper(0), entrants, {"gone": "no gone on PATH"})
    return Group(
        "walk, warm",
        "sleeping",
        (*entrants, "gone"),
        {Size.SMALL: 1, Size.LARGE: 1},
        lambda _, __: ring,
    )


def test_no_one_is_timed_before_the_answers_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    equal, wrong = replace(sleeper(0), name="equal"), replace(sleeper(0, "2"), name="wrong")
    group = small_group((equal, True), (wrong, False))
    monkeypatch.setitem(GROUPS, group.name, group)
    arena = Arena(Size.SMALL, "/nowhere")
    with pytest.raises(RefusedError, match="not equal: gives 2, ours 1; compared: a number"):
        arena.duel(group, "wrong")
    with pytest.raises(RefusedError, match="no gone on PATH"):
        arena.duel(group, "gone")
    arena.duel(group, "equal").more(2)
    standings = [(row.contestant, row.standing) for row in arena.rows()]
    assert standings == [
        ("sleeper", Standing.OURS),
        ("equal", Standing.RANKED),
        ("wrong", Standing.UNEQUAL),
        ("gone", Standing.ABSENT),
    ]


def test_who_must_agree_and_does_not_fails_the_run() -> None:
    wrong = replace(sleeper(0, "2"), name="wrong")
    with pytest.raises(UnequalError, match="wrong gives 2, ours 1"):
        Arena(Size.SMALL, "/nowhere").duel(small_group((wrong, True)), "wrong")


# The gates.


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return Arena(Size.SMALL, str(tmp_path_factory.mktemp("corpus")))


@pytest.mark.parametrize("target", SMALL_GATES, ids=lambda target: target.name)
def test_ratio(arena: Arena, target: Target) -> None:
    load = machine.OtherLoad()
    duel = arena.duel(GROUPS[target.group], target.peer)
    met = duel.until(lambda: target.admits(duel.ratio), rounds=9, retries=5)
    others = load.cores()
    words = f"{target.words(duel.ratio)}, {duel.rounds} rounds"
    # Two threads against one say nothing while others have the second core.
    require(met or others < 0.3, f"other programs kept {others:.1f} cores busy ({words})")
    assert met, words


def test_a_bench_of_one_group_runs_as_a_whole(tmp_path: Path) -> None:
    bench = (sys.executable, "-m", "pytest", "benchmarks", "-q", "-p", "no:cacheprovider")
    places = {"LAYERSCAN_BENCH_CORPUS": str(tmp_path), "LAYERSCAN_BENCH_OUT": str(tmp_path / "out")}
    done = subprocess.run(
        [*bench, "--benchmark-quiet", "-k", "merge"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **places, "LAYERSCAN_BENCH_SIZE": "small"},
    )
    assert "layerscan merge" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
    (kept,) = results.history(str(tmp_path / "out"))
    assert not kept.complete
    assert [row.standing for row in kept.rows] == [Standing.OURS, Standing.RANKED]
