"""Puts small faults into the code, one at a time, and looks if a test fails.

    python -m tests.mutate --seed 1 --sample 150

docs/explanation/development.md, "Small faults", says how it works. A run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.mutate.covering import covering, extensions_of
from tests.mutate.results import CAUGHT, NOT_BUILT, SURVIVED, Result, Results, report, result
from tests.mutate.sample import PARTS, drawn, shares
from tests.mutate.seen import look
from tests.mutate.workplace import PROJECT, Workplace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mutate.fault import Fault
    from tests.mutate.seen import Seen

# Files of tests run together up to this many seconds: each start of pytest takes one.
_TOGETHER = 12.0
# A run that takes this many times its time, and a while more, does not end.
_PATIENCE, _WHILE = 5, 40.0


class Trial:
    """The faults of a seed, tried in copies of the project."""

    def __init__(self, places: Sequence[Workplace], seen: Sequence[Seen], seed: int) -> None:
        self.seen = seen
        self.seed = seed
        self.results = Results(seed)
        self.count = len(places)
        self.free: SimpleQueue[Workplace] = SimpleQueue()
        for place in places:
            self.free.put(place)

    def part(self, part: str, sample: int) -> list[Result]:
        """The results of the first `sample` faults of a part that can be built."""
        order = drawn(part, self.seed)
        while True:
            chosen = list(islice(self.buildable(order), sample))
            unknown = [fault for fault in chosen if fault.place not in self.results.known]
            if not unknown:
                return [self.results.known[fault.place] for fault in chosen]
            threads = ThreadPoolExecutor(self.count)
            try:
                list(threads.map(self.one, unknown))
            finally:
                threads.shutdown(cancel_futures=True)

    def buildable(self, order: Sequence[Fault]) -> Iterator[Fault]:
        known = self.results.known
        for fault in order:
            if fault.place not in known or known[fault.place].came != NOT_BUILT:
                yield fault

    def one(self, fault: Fault) -> None:
        """Try a fault, and keep what came of it."""
        place, begun = self.free.get(), time.monotonic()
        try:
            came, by = self.tried(place, fault)
        finally:
            place.restore(fault.file)
            self.free.put(place)
        found = result(fault, came, by, time.monotonic() - begun)
        self.results.add(found)
        print(
            f"{found.came} in {found.seconds:.0f} s: {found.file}:{found.line} {found.kind}; "
            f"{found.by}",
            file=sys.stderr,
            flush=True,
        )

    def tried(self, place: Workplace, fault: Fault) -> tuple[str, str]:
        text = fault.applied((PROJECT / fault.file).read_text(encoding="utf-8"))
        if fault.file.endswith(".py"):
            try:
                compile(text, fault.file, "exec")
            except SyntaxError:
                return NOT_BUILT, ""
        place.write(fault.file, text)
        if not fault.file.endswith(".py") and not place.build(extensions_of(fault.file)):
            return NOT_BUILT, ""
        files = covering(fault, self.seen)
        for together in batches(files):
            seconds = sum(each.seconds for each in together)
            names = [each.file for each in together]
            outcome = place.test(names, seconds=_PATIENCE * seconds + _WHILE)
            if not outcome.passed:
                return CAUGHT, outcome.by
        return SURVIVED, f"{len(files)} files of tests run it"


def batches(files: Sequence[Seen]) -> Iterator[list[Seen]]:
    """Files that are run together."""
    together: list[Seen] = []
    for each in files:
        if together and sum(one.seconds for one in together) + each.seconds > _TOGETHER:
            yield together
            together = []
        together.append(each)
    if together:
        yield together


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default: 1)")
    parser.add_argument("--sample", type=int, default=150, help="how many (default: 150)")
    parser.add_argument("--only", choices=PARTS, help="faults of one part")
    parser.add_argument("--again", action="store_true", help="try what survived once more")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args()
    places = [Workplace(f"copy-{number}") for number in range(1, options.workers + 1)]
    for place in places:
        place.fill()
    print("which tests run which lines:", file=sys.stderr)
    trial = Trial(places, look(places), options.seed)
    if options.again:
        trial.results.forget_survivors()
    wanted = {
        part: number
        for part, number in shares(options.sample).items()
        if options.only in (None, part)
    }
    print(report(options.seed, {part: trial.part(part, n) for part, n in wanted.items()}))


if __name__ == "__main__":
    main()
