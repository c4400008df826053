"""What came of each fault: one JSON line each in build/mutate/, and the table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING

from tests.mutate.judged import judged
from tests.mutate.workplace import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutate.fault import Fault

CAUGHT, SURVIVED, NOT_BUILT = "caught", "survived", "does not build"


@dataclass(frozen=True)
class Result:
    """What came of a fault; `by` is the test that caught it."""

    file: str
    name: str
    line: int
    kind: str
    before: str
    after: str
    came: str
    by: str
    seconds: float

    @property
    def place(self) -> tuple[str, int, str]:
        """As `Fault.place`."""
        return (self.file, self.line, self.after)

    @property
    def change(self) -> tuple[str, str, str, str]:
        """What remains when lines move, as in the file of those that change nothing."""
        return (self.file, self.name, self.before, self.after)


def result(fault: Fault, came: str, by: str, seconds: float) -> Result:
    return Result(
        *(fault.file, fault.name, fault.line, fault.kind, fault.before, fault.after),
        came=came,
        by=by,
        seconds=round(seconds, 1),
    )


class Results:
    """The results of a seed, which are kept from run to run."""

    def __init__(self, seed: int) -> None:
        self.file = OUTPUT / f"seed-{seed}.jsonl"
        self.known: dict[tuple[str, int, str], Result] = {}
        self.lock = Lock()
        if self.file.exists():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                self.keep(Result(**json.loads(line)))

    def keep(self, found: Result) -> None:
        self.known[found.place] = found

    def add(self, found: Result) -> None:
        """Keep a result; any thread may."""
        with self.lock, self.file.open("a", encoding="utf-8") as file:
            self.keep(found)
            file.write(json.dumps(asdict(found)) + "\n")

    def forget_survivors(self) -> None:
        """Have what nothing caught tried again, but for what changes nothing."""
        same = judged()
        self.known = {
            place: one
            for place, one in self.known.items()
            if one.came != SURVIVED or one.change in same
        }


@dataclass(frozen=True)
class Count:
    """The figures of a part."""

    caught: int
    survived: int
    same: int

    @property
    def percentage(self) -> float:
        """How many are caught of those that change what the program does."""
        return 100 * self.caught / max(self.caught + self.survived, 1)


def count(results: Iterable[Result]) -> Count:
    """What came of faults that can be built."""
    results, same = list(results), judged()
    caught = sum(each.came == CAUGHT for each in results)
    alike = sum(each.came == SURVIVED and each.change in same for each in results)
    return Count(caught, sum(each.came == SURVIVED for each in results) - alike, alike)


def report(seed: int, parts: dict[str, list[Result]]) -> str:
    """The table of a run, and the faults that nothing caught."""
    same = judged()
    lines = [f"{'seed':>6} {'part':<9} {'sample':>6} {'same':>5} {'caught':>6} {'survived':>8}"]
    left = []
    for part, results in parts.items():
        figures = count(results)
        lines.append(
            f"{seed:>6} {part:<9} {len(results):>6} {figures.same:>5} {figures.caught:>6} "
            f"{figures.survived:>8}  {figures.percentage:.1f} %"
        )
        left += [each for each in results if each.came == SURVIVED and each.change not in same]
    for each in left:
        lines += [
            f"\n{each.file}:{each.line}: {each.kind} in {each.name or 'the module'}, {each.by}",
            f"- {each.before}",
            f"+ {each.after}",
        ]
    return "\n".join(lines)
