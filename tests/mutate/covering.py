"""Which files of tests can see a fault, in the order in which they are run."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutate.workplace import EXTENSIONS, PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutate.fault import Fault
    from tests.mutate.seen import Seen

# The tests of each extension itself, as in tests/sanitize; others use it. What they keep of
# the memory, and what they do without it, is tested for all of them in one file each.
_OWN = {
    "_bolt": "stores/containerd/test_bolt",
    "_htree": "prediction/filesystems/test_htree",
    "_tar": "tar/",
    "_walk": "walking/",
}
# Nearly all tests use the walk or the tar scanner: of these the quick ones, so many seconds.
_FOR_USERS = 90.0
_SOURCES = "src/layerscan"
_CIMPORT = re.compile(r"^from layerscan\.(?:\w+\.)*(\w+) cimport", re.MULTILINE)


def covering(fault: Fault, seen: Sequence[Seen]) -> list[Seen]:
    """The files of tests that can see the fault: the likely and the quick ones first."""
    if not fault.file.endswith(".py"):
        return _of_extensions(extensions_of(fault.file), seen)
    first, last = fault.lines
    inside = inner_lines(fault.file)
    found = [each for each in seen if _runs(each, fault.file, set(range(first, last + 1)))]
    # Not every process of a test is watched to its end.
    found = found or [each for each in seen if _runs(each, fault.file, inside)]

    def order(each: Seen) -> tuple[bool, int, float]:
        # All that import a module run the lines outside its functions.
        only_imports = not fault.name and not _runs(each, fault.file, inside)
        return only_imports, -_likeness(each.file, fault.file), each.seconds

    return sorted(found, key=order)


def extensions_of(file: str) -> list[str]:
    """The extensions that a Cython source is part of."""
    return [name for name in EXTENSIONS if Path(file).stem in _parts(name)]


@cache
def _parts(module: str) -> frozenset[str]:
    """The Cython sources that one is made of, by their stems."""
    found = {module}
    for path in (PROJECT / _SOURCES).rglob(f"{module}.p[yx][xd]"):
        for name in re.findall(
            r"^from layerscan\.(?:\w+\.)*(\w+) cimport", path.read_text(), re.MULTILINE
        ):
            found |= _parts(name) if name != module else set()
    return frozenset(found)


def _of_extensions(names: Sequence[str], seen: Sequence[Seen]) -> list[Seen]:
    own = re.compile(
        "tests/(test_memory|test_refused|" + "|".join(_OWN[name] for name in names) + ")"
    )
    users = [
        str(path.relative_to(PROJECT))
        for path in (PROJECT / _SOURCES).rglob("*.py")
        if re.search(rf"\b({'|'.join(names)})\b", path.read_text())
    ]
    in_order = sorted(seen, key=lambda each: each.seconds)
    found = [each for each in in_order if own.match(each.file)]
    others = [each for each in in_order if each not in found]
    left = _FOR_USERS
    for each in others:
        if left > each.seconds and any(_runs(each, user, inner_lines(user)) for user in users):
            found.append(each)
            left -= each.seconds
    return found


def _runs(seen: Seen, file: str, lines: set[int] | frozenset[int]) -> bool:
    return not lines.isdisjoint(seen.lines.get(file, ()))


@cache
def inner_lines(file: str) -> frozenset[int]:
    """The lines in a source's functions, which run when one is called."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse((PROJECT / file).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines.update(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
    return frozenset(lines)


def _likeness(test: str, source: str) -> int:
    """How many words of a source's path the name of a file of tests has."""
    words = set(re.findall("[a-z0-9]+", test)) - {"tests", "test", "py"}
    return len(words & set(re.findall("[a-z0-9]+", source.removeprefix(_SOURCES))) - {"py"})
