"""Two contestants, the same work, in turns: who needs how long.

Owns what a contestant is, the alternation and the arithmetic of ratios. The
only figure that counts is a ratio of medians of runs that alternated; a time in
seconds is shown and never judged.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb, inf
from statistics import median, quantiles

from benchmarks import process


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        seconds: how long it took; of a contestant inside Python without its start-up.
        peak: the most memory of the whole process, in bytes.
        answer: what it found, to be held against others'.
        entries: directory entries it looked at, or None where it does not say.
    """

    seconds: float
    peak: int
    answer: object
    entries: int | None = None


@dataclass(frozen=True)
class Contestant:
    """Something that can be run again and again.

    Attributes:
        name: as in the report.
        command: the program and its arguments.
        answer: what the output of the program says.
        inside: whether the output is that of ``inside.py``, which has the time.
    """

    name: str
    command: tuple[str, ...]
    answer: Callable[[bytes], object]
    inside: bool = False

    def run(self) -> Outcome:
        """Run it and look at what it says."""
        done, seconds, found = self._run()
        return Outcome(seconds, done.peak, self.answer(done.output), found.get("entries"))

    def time(self) -> Outcome:
        """Run it; its answer is not read again."""
        done, seconds, _ = self._run()
        return Outcome(seconds, done.peak, None)

    def _run(self) -> tuple[process.Finished, float, dict[str, int]]:
        done = process.run(self.command)
        if not self.inside:
            return done, done.seconds, {}
        found = json.loads(done.output)
        return done, found["seconds"], found


@dataclass
class Duel:
    """Ours and a peer, in turns.

    Attributes:
        ours: the one that the ratio is to.
        peer: the other.
        prepare: done before each run, outside its time.
    """

    ours: Contestant
    peer: Contestant
    prepare: Callable[[], None] = lambda: None
    our_seconds: list[float] = field(default_factory=list)
    peer_seconds: list[float] = field(default_factory=list)
    our_peak: int = 0
    peer_peak: int = 0

    def run_ours(self) -> None:
        """The first half of a round."""
        self.prepare()
        done = self.ours.time()
        self.our_seconds.append(done.seconds)
        self.our_peak = max(self.our_peak, done.peak)

    def run_peer(self) -> None:
        """The second half of a round."""
        self.prepare()
        done = self.peer.time()
        self.peer_seconds.append(done.seconds)
        self.peer_peak = max(self.peer_peak, done.peak)
        global _measured  # noqa: PLW0603 - a clock is one for all
        _measured += done.seconds

    def more(self, rounds: int) -> None:
        """Run so many more rounds; who goes first alternates as well."""
        for number in range(rounds):
            order = (self.run_ours, self.run_peer)
            for run in order if number % 2 == 0 else reversed(order):
                run()

    @property
    def rounds(self) -> int:
        return len(self.peer_seconds)

    @property
    def ratio(self) -> float:
        """How many times as long as ours the peer takes: median by median of all rounds."""
        return median(self.peer_seconds) / median(self.our_seconds)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each whole round: an interrupt may leave half of one."""
        return [b / a for a, b in zip(self.our_seconds, self.peer_seconds, strict=False)]

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the ratios of the single rounds."""
        return middle_half(self.ratios)

    def until(self, met: Callable[[], bool], *, rounds: int, retries: int) -> bool:
        """Measure until `met`, with all rounds so far counting.

        A machine that is busy for a moment spoils some rounds. What helps is a
        median of more rounds, not a lower bound.

        Args:
            met: looks at the ratio.
            rounds: of each attempt; the first is left out where rounds were run.
            retries: further attempts.

        Returns:
            Whether it was met at last.
        """
        if not self.rounds:
            self.more(rounds)
        for _ in range(retries):
            if met():
                return True
            self.more(rounds)
        return met()


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """The lower and the upper quartile of `values`."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def sure_range(values: Sequence[float], doubt: float = 0.02) -> tuple[float, float]:
    """Where the median of many more values would be, all but for `doubt`.

    From the order of the values alone, whatever their distribution: of an even
    coin's throws, how many on one side are too few to be chance.
    """
    count, below, dropped = len(values), 0.0, 0
    while dropped < count // 2:
        below += comb(count, dropped) / 2**count
        if below > doubt / 2:
            break
        dropped += 1
    ordered = sorted(values)
    # The outermost values bound nothing where there are too few of them.
    if dropped == 0:
        return 0.0, inf
    return ordered[dropped - 1], ordered[-dropped]


_measured = 0.0


def measured_seconds() -> float:
    """A clock that stands still but while a peer is timed, for pytest-benchmark.

    So its figures are those of the stopwatch: without the stopwatch's start, and
    without Python's for what runs inside of it.
    """
    return _measured
