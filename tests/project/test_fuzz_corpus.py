"""The inputs of the fuzz targets, run without a fuzzer: what it found once stays found."""

from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.reader import code, section, tables

FUZZ = Path(__file__).parents[1] / "fuzz"
TARGETS = sorted(path.stem for path in (FUZZ / "targets").glob("*.py"))


def test_each_target_has_a_corpus_and_each_corpus_a_target() -> None:
    assert sorted(path.name for path in (FUZZ / "corpus").iterdir()) == TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_whole_corpus(name: str) -> None:
    target = import_module(f"tests.fuzz.targets.{name}")
    inputs = sorted((FUZZ / "corpus" / name).iterdir())
    assert inputs
    for path in inputs:
        data = path.read_bytes()
        # A fuzzer would cut what is longer.
        assert len(data) <= target.LONGEST, path
        target.run(data)


def test_each_target_was_run_for_long() -> None:
    (table,) = tables(section("docs/measurements/fuzzing.md", "Fuzzing"), "target")
    assert [code(row[0]) for row in table.rows] == TARGETS
