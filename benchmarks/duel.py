"""Two that do the same work, in turns: who needs how long.

The only figure that counts is a ratio of medians of runs that alternated. A
time in seconds is shown and never judged.
"""

from collections.abc import Callable
from statistics import median, quantiles

from benchmarks.process import Finished

Run = Callable[[], Finished]


class Side:
    """One of the two.

    Attributes:
        run: runs it once.
        seconds: of each run so far.
        peak: the most memory of all runs, in bytes.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seconds: list[float] = []
        self.peak = 0


class Duel:
    """Ours and a peer, in turns.

    Args:
        ours: the one that the ratio is to.
        peer: the other.
        prepare: done before each run, outside its time.
    """

    def __init__(self, ours: Run, peer: Run, prepare: Callable[[], None] = lambda: None) -> None:
        self.ours, self.peer = Side(ours), Side(peer)
        self._prepare = prepare

    def turn(self, side: Side) -> None:
        """One run of one side: half a round."""
        self._prepare()
        done = side.run()
        side.seconds.append(done.seconds)
        side.peak = max(side.peak, done.peak)
        if side is self.peer:
            global _measured  # noqa: PLW0603 - a clock is one for all
            _measured += done.seconds

    def more(self, rounds: int) -> None:
        """Run so many more rounds; who goes first alternates as well."""
        for _ in range(rounds):
            sides = (self.ours, self.peer)
            for side in sides if len(self.peer.seconds) % 2 == 0 else reversed(sides):
                self.turn(side)

    @property
    def ratio(self) -> float:
        """How many times as long as ours the peer takes: median by median of all rounds."""
        return median(self.peer.seconds) / median(self.ours.seconds)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        return [b / a for a, b in zip(self.ours.seconds, self.peer.seconds, strict=True)]

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the ratios of the single rounds, of two or more."""
        low, _, high = quantiles(self.ratios, n=4, method="inclusive")
        return low, high


_measured = 0.0


def measured_seconds() -> float:
    """A clock that stands still but while a peer is timed, for pytest-benchmark.

    So its figures are those of the stopwatch: without the stopwatch's start, and
    without Python's for what runs inside of it.
    """
    return _measured
