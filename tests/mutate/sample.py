"""All faults that can be made, and a sample of them by a seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.mutate.cython_faults import cython_faults
from tests.mutate.fault import Fault, Source
from tests.mutate.python_faults import python_faults
from tests.mutate.workplace import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("python", "compiled")
# The compiled core is a fifth of the lines. It gets some more of the sample, so that
# its percentage stands on enough faults.
_COMPILED = 4 / 15


def shares(sample: int) -> dict[str, int]:
    """How many faults of a sample each part gets."""
    compiled = round(sample * _COMPILED)
    return {"python": sample - compiled, "compiled": compiled}


def sources(part: str) -> Iterator[Source]:
    pattern = "*.py" if part == "python" else "*.p[yx][xd]"
    for path in sorted((PROJECT / "src" / "layerscan").rglob(pattern)):
        yield Source(str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8"))


def drawn(part: str, seed: int) -> list[Fault]:
    """The faults of a part in random order: first a line is drawn, then one of its faults.

    So a line with many faults comes up no more often than one with few. The order is
    that of hashes: what is changed in one source moves no fault of another.
    """
    make = python_faults if part == "python" else cython_faults
    by_line: dict[tuple[str, int], list[Fault]] = defaultdict(list)
    for source in sources(part):
        for fault in make(source):
            by_line[fault.file, fault.line].append(fault)
    ranked = []
    for line, faults in by_line.items():
        in_order = sorted(faults, key=lambda fault: _chance(seed, fault.place))
        rounds = enumerate(in_order)
        ranked += [(number, _chance(seed, (*line, number)), fault) for number, fault in rounds]
    return [fault for *_, fault in sorted(ranked, key=lambda each: each[:2])]


def _chance(seed: int, what: tuple[object, ...]) -> bytes:
    return hashlib.sha256(repr((seed, what)).encode()).digest()
