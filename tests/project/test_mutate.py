"""The faults that `make mutate` puts in, which tests it runs for them, and its figures."""

from itertools import islice
from pathlib import Path

import pytest

from tests.mutate import sample
from tests.mutate.covering import covering, extensions_of
from tests.mutate.cython_faults import cython_faults
from tests.mutate.fault import Fault, Source
from tests.mutate.judged import judged
from tests.mutate.python_faults import python_faults
from tests.mutate.results import CAUGHT, SURVIVED, Results, count, report, result
from tests.mutate.seen import Seen
from tests.mutate.workplace import PROJECT, outcome

PYTHON = '''"""Text of 1 module."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 0o10


def first(rows: "Sequence[int]", *, strict: bool = False) -> "int | None":
    """Return the 1st."""
    if not rows or (len(rows) < 2  # or more
            and strict):
        raise ValueError("no 1st row")
    try:
        rows.sort()
        return rows["é" == "key" or a + b:end]
    except (OSError, ValueError):
        return None
    return False
'''
PYTHON_FAULTS = {
    ("constant", "LIMIT = 0o11"),
    ("constant", "LIMIT = 0o7"),
    ("default", 'def first(rows: "Sequence[int]", *, strict: bool = True) -> "int | None":'),
    ("condition", "if True:"),
    ("condition", "if False:"),
    ("not dropped", "if (rows) or (len(rows) < 2 # or more"),
    ("and/or", "if not rows and (len(rows) < 2 # or more"),
    ("and/or", "or strict):"),
    ("comparison", "if not rows or (len(rows) <= 2 # or more"),
    ("comparison", "if not rows or (len(rows) >= 2 # or more"),
    ("constant", "if not rows or (len(rows) < 3 # or more"),
    ("constant", "if not rows or (len(rows) < 1 # or more"),
    ("raise dropped", "pass"),
    ("statement dropped", "pass"),
    ("return", "return None"),
    ("comparison", 'return rows["é" != "key" or a + b:end]'),
    ("key", 'return rows["éx" == "key" or a + b:end]'),
    ("key", 'return rows["é" == "keyx" or a + b:end]'),
    ("and/or", 'return rows["é" == "key" and a + b:end]'),
    ("arithmetic", 'return rows["é" == "key" or a - b:end]'),
    ("bound", 'return rows[("é" == "key" or a + b) + 1:end]'),
    ("bound", 'return rows[("é" == "key" or a + b) - 1:end]'),
    ("bound", 'return rows["é" == "key" or a + b:(end) + 1]'),
    ("bound", 'return rows["é" == "key" or a + b:(end) - 1]'),
    ("exception removed", "except (ValueError,):"),
    ("exception removed", "except (OSError,):"),
    ("constant", "return True"),
}
CYTHON = '''"""Text of 1 part."""

from libc.stdint cimport uint64_t


cdef extern from * nogil:
    """
    /* Adds 1 + 1. */
    static int two(int *a) { return *a + 7; }
    """
    int two(int *a)


cdef enum:
    MOST = 0x10


cdef struct Row:
    char name[255]


cdef inline int low(const char *text, uint64_t end) noexcept nogil:
    """Returns -1 if it is 2."""
    cdef char buffer[16]
    cdef int i = 3  # or 4
    while i < end and text[i] != c" ":
        i += 1
        if not is_one(<int>text[i], &buffer[0],
                      *text):
            break
    use(i)
    return -1
'''
CYTHON_FAULTS = {
    ("arithmetic", "static int two(int *a) { return *a - 7; }"),
    ("constant", "static int two(int *a) { return *a + 8; }"),
    ("constant", "static int two(int *a) { return *a + 6; }"),
    ("constant", "MOST = 0x11"),
    ("constant", "MOST = 0xf"),
    ("constant", "cdef int i = 4 # or 4"),
    ("constant", "cdef int i = 2 # or 4"),
    ("condition negated", 'while not (i < end and text[i] != c" "):'),
    ("comparison", 'while i <= end and text[i] != c" ":'),
    ("comparison", 'while i >= end and text[i] != c" ":'),
    ("comparison", 'while i < end and text[i] == c" ":'),
    ("and/or", 'while i < end or text[i] != c" ":'),
    ("statement dropped", "pass"),
    ("arithmetic", "i -= 1"),
    ("constant", "i += 2"),
    ("constant", "i += 0"),
    ("condition negated", "if not (not is_one(<int>text[i], &buffer[0], *text)):"),
    ("condition", "if True:"),
    ("condition", "if False:"),
    ("not dropped", "if is_one(<int>text[i], &buffer[0],"),
    ("constant", "if not is_one(<int>text[i], &buffer[1],"),
    ("return", "return 0"),
}


def changes(faults: list[Fault]) -> set[tuple[str, str]]:
    return {(fault.kind, fault.after) for fault in faults}


def test_faults_of_python_are_those_described() -> None:
    faults = python_faults(Source("a.py", PYTHON))
    assert changes(faults) == PYTHON_FAULTS
    assert len({fault.place for fault in faults}) == len(faults)


def test_faulty_python_can_be_compiled() -> None:
    for fault in python_faults(Source("a.py", PYTHON)):
        compile(fault.applied(PYTHON), "a.py", "exec")


def test_faults_of_cython_are_those_described() -> None:
    assert changes(cython_faults(Source("a.pxd", CYTHON))) == CYTHON_FAULTS


def test_a_fault_says_where_it_is() -> None:
    source = Source("a.py", PYTHON)
    (fault,) = [fault for fault in python_faults(source) if fault.kind == "raise dropped"]
    assert (fault.name, fault.line, fault.lines) == ("first", 16, (16, 16))
    assert fault.before == 'raise ValueError("no 1st row")'
    # A default shows in the function's body, a condition in the lines up to its block.
    (fault,) = [fault for fault in python_faults(source) if fault.kind == "default"]
    assert fault.lines == (13, 22)
    fault = next(fault for fault in python_faults(source) if fault.kind == "condition")
    assert fault.lines == (14, 15)
    fault = next(iter(python_faults(source)))
    assert (fault.name, fault.line) == ("", 9)
    (fault,) = [fault for fault in cython_faults(Source("a", CYTHON)) if fault.kind == "return"]
    assert (fault.name, fault.line, fault.before) == ("low", 32, "return -1")


def test_only_the_edit_differs() -> None:
    for source, make in ((PYTHON, python_faults), (CYTHON, cython_faults)):
        for fault in make(Source("a", source)):
            faulty = fault.applied(source)
            assert faulty != source
            assert faulty.startswith(source[: fault.span.start] + fault.text)
            assert faulty.endswith(source[fault.span.end :])


def test_a_seed_gives_the_same_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "sources", lambda _: iter([Source("a.py", PYTHON)]))
    once, again, other = (sample.drawn("python", seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    # Each line comes up before one comes up again.
    lines = {fault.line for fault in once}
    assert {fault.line for fault in islice(once, len(lines))} == lines
    assert sorted(once, key=repr) == sorted(python_faults(Source("a.py", PYTHON)), key=repr)


@pytest.mark.parametrize(("whole", "python", "compiled"), [(150, 110, 40), (40, 29, 11)])
def test_parts_of_a_sample(whole: int, python: int, compiled: int) -> None:
    assert sample.shares(whole) == {"python": python, "compiled": compiled}


def test_every_cython_source_belongs_to_an_extension() -> None:
    assert extensions_of("src/layerscan/tar/_tree.pxd") == ["_tar"]
    assert extensions_of("src/layerscan/_walk.pyx") == ["_walk"]
    assert all(extensions_of(source.file) for source in sample.sources("compiled"))


def test_tests_that_can_see_a_fault_run_likely_and_quick_ones_first() -> None:
    file = "src/layerscan/text.py"
    text = (PROJECT / file).read_text()
    fault = next(fault for fault in python_faults(Source(file, text)) if fault.name)
    lines = {file: [fault.line]}
    seen = [
        Seen("tests/test_slow.py", "", 9.0, lines=lines),
        Seen("tests/test_quick.py", "", 1.0, lines=lines),
        Seen("tests/test_text.py", "", 20.0, lines=lines),
        Seen(
            "tests/test_elsewhere.py", "", 1.0, lines={file: [1], "src/layerscan/tar/tree.py": [9]}
        ),
    ]
    found = [each.file.removeprefix("tests/") for each in covering(fault, seen)]
    assert found == ["test_text.py", "test_quick.py", "test_slow.py"]


def test_for_a_line_that_no_test_runs_those_of_its_module_are_used() -> None:
    file = "src/layerscan/text.py"
    source = Source(file, (PROJECT / file).read_text())
    first, *_, last = [fault for fault in python_faults(source) if fault.name]
    seen = [
        Seen("tests/test_near.py", "", 1.0, lines={file: [first.line]}),
        Seen("tests/test_elsewhere.py", "", 1.0, lines={file: [1]}),
    ]
    assert [each.file for each in covering(last, seen)] == ["tests/test_near.py"]


def test_tests_of_an_extension_run_before_those_that_use_it() -> None:
    user = "src/layerscan/walking/walker.py"
    inside = {user: list(range(1, 400))}
    seen = [
        Seen("tests/cli/test_parser.py", "", 1.0, lines=inside),
        Seen("tests/walking/test_walker.py", "", 9.0, lines=inside),
        Seen("tests/walking/test_shapes.py", "", 3.0),
        Seen("tests/test_text.py", "", 1.0, lines={user: [1]}),
    ]
    fault = cython_faults(Source("src/layerscan/walking/_tally.pxd", CYTHON))[0]
    found = [each.file.removeprefix("tests/") for each in covering(fault, seen)]
    assert found == ["walking/test_shapes.py", "walking/test_walker.py", "cli/test_parser.py"]


@pytest.mark.parametrize(
    ("status", "output", "by"),
    [
        (0, "3 passed", ""),
        (5, "no tests ran", ""),
        (1, "x\nFAILED tests/test_a.py::test_b - assert 1 == 2\n", "tests/test_a.py::test_b"),
        (2, "ERROR tests/test_a.py - SyntaxError\n", "tests/test_a.py"),
        (4, "", "pytest ended with status 4"),
        (-11, "", "SIGSEGV"),
    ],
)
def test_how_a_run_of_tests_ends(status: int, output: str, by: str) -> None:
    found = outcome(status, output)
    assert (found.passed, found.by) == (not by, by)


SAME = """# A comment.

a.py:first the row is there anyway, and
  so is the next
- return -1
+ return 0

a.py: a bound of no meaning
- LIMIT = 8
+ LIMIT = 9
"""


def test_faults_judged_to_change_nothing() -> None:
    assert judged(SAME) == {
        ("a.py", "first", "return -1", "return 0"): "the row is there anyway, and so is the next",
        ("a.py", "", "LIMIT = 8", "LIMIT = 9"): "a bound of no meaning",
    }
    assert judged("# Nothing.\n") == {}
    with pytest.raises(ValueError, match="not an entry of same: 'a"):
        judged("a.py:first no lines\n")


def test_faults_judged_can_still_be_made() -> None:
    listed = judged()
    found = set()
    for file in {change[0] for change in listed}:
        make = python_faults if file.endswith(".py") else cython_faults
        faults = make(Source(file, (PROJECT / file).read_text(encoding="utf-8")))
        found |= {(fault.file, fault.name, fault.before, fault.after) for fault in faults}
    assert listed.keys() - found == set()


def test_results_are_kept_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mutate.results.OUTPUT", tmp_path)
    same, *faults = python_faults(Source("a.py", PYTHON))
    reason = {(same.file, same.name, same.before, same.after): "why"}
    monkeypatch.setattr("tests.mutate.results.judged", lambda: reason)
    kept = Results(3)
    kept.add(result(same, SURVIVED, "2 files of tests run it", 1.0))
    kept.add(result(faults[0], SURVIVED, "2 files of tests run it", 1.0))
    for fault in faults[1:4]:
        kept.add(result(fault, CAUGHT, "tests/test_a.py::test_b", 1.0))
    again = Results(3)
    assert again.known == kept.known
    figures = count(again.known.values())
    assert (figures.caught, figures.survived, figures.same) == (3, 1, 1)
    assert figures.percentage == 75
    table = report(3, {"python": list(again.known.values())}).splitlines()
    assert table[1].split() == ["3", "python", "5", "1", "3", "1", "75.0", "%"]
    # The one judged is not shown.
    assert table[-2:] == [f"- {faults[0].before}", f"+ {faults[0].after}"]
    again.forget_survivors()
    assert set(again.known) == {fault.place for fault in (same, *faults[1:4])}
