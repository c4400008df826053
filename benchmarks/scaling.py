"""How cost grows: ``python -m benchmarks.scaling`` (``make bench-scaling``).

With the number of files, with threads, and with the number of images that share
their layers. Prints what it measures, draws it, and fails where the walk is not
linear, its memory grows, or an image costs more for layers that another has too.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import corpus, peers, settings, stores
from benchmarks.contest import Contestant, Duel
from benchmarks.corpus import Recipe
from benchmarks.picture import Lines, draw_lines
from benchmarks.settings import Size

MOST_EXPONENT = 1.15
"""Seconds grow at most as entries to this power, from ten thousand files on.

Linear is 1. The margin: ten thousand inodes fit the processor's caches, a
million do not, for no walk; the bare loop's exponent is printed beside.
"""

MOST_GROWTH = 8 << 20
"""Bytes by which the peak memory may grow from the smallest tree to the largest."""

MOST_FOR_AN_IMAGE = 0.02
"""What a further image on the same layers may cost, by the cost of the first.

It is its config and metadata that are read. Were its layers walked again, it
would be near 1.
"""

_RETRIES = 3
_FILES = {
    Size.SMALL: (1_000, 3_000, 10_000, 30_000),
    Size.LARGE: (1_000, 10_000, 100_000, 1_000_000),
}
_LINEAR_FROM = {Size.SMALL: 1_000, Size.LARGE: 10_000}
_THREADS = (1, 2, 4, 8, 16, 32)
_IMAGES = (1, 4, 16, 64)
_BASES = {Size.SMALL: (1_200, 600, 200), Size.LARGE: (12_000, 6_000, 2_000, 200)}


@dataclass(frozen=True)
class Check:
    """Something that must hold; says so with its figure."""

    words: str
    holds: bool

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}: {self.words}"


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line through the logarithms of `points`, least squares."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    x_mean = sum(x for x, _ in logs) / len(logs)
    y_mean = sum(y for _, y in logs) / len(logs)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in logs)
    return covariance / sum((x - x_mean) ** 2 for x, _ in logs)


class Files:
    """The walk of wide trees of growing size, against du and the bare loop."""

    def __init__(self, size: Size, root: str) -> None:
        self.linear_from = _LINEAR_FROM[size]
        self.entries: dict[int, int] = {}
        self.by_du: dict[int, Duel] = {}
        self.by_loop: dict[int, Duel] = {}
        for files in _FILES[size]:
            path = corpus.make(Recipe("wide", files), root)
            self.entries[files] = peers.OURS.on(path).run().entries or files
            self.by_du[files] = Duel(peers.OURS.on(path), peers.DU.on(path))
            self.by_loop[files] = Duel(peers.OURS.on(path), peers.BARE_LOOP.on(path))

    def measure(self) -> None:
        """Some more rounds, each tree once in each."""
        for _ in range(5):
            for duel in (*self.by_du.values(), *self.by_loop.values()):
                duel.more(1)

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Seconds by entries."""
        return {
            "layerscan": self._points(self.by_du, lambda duel: duel.our_seconds),
            "du -sk": self._points(self.by_du, lambda duel: duel.peer_seconds),
            "bare loop in C": self._points(self.by_loop, lambda duel: duel.peer_seconds),
        }

    def _points(
        self, duels: dict[int, Duel], seconds: Callable[[Duel], list[float]]
    ) -> list[tuple[float, float]]:
        return [(self.entries[files], median(seconds(duel))) for files, duel in duels.items()]

    def checks(self) -> Iterator[Check]:
        """Linear, and memory bounded."""
        exponents = {
            name: exponent([point for point in points if point[0] >= self.linear_from])
            for name, points in self.lines().items()
        }
        ours = exponents.pop("layerscan")
        others = ", ".join(f"{name} {value:.3f}" for name, value in exponents.items())
        yield Check(
            f"seconds grow as entries to the power {ours:.3f}, at most {MOST_EXPONENT} ({others})",
            ours <= MOST_EXPONENT,
        )
        peaks = [duel.our_peak for duel in self.by_du.values()]
        growth = peaks[-1] - peaks[0]
        yield Check(
            f"peak memory grows by {growth / (1 << 20):.1f} MiB to {peaks[-1] / (1 << 20):.1f} MiB,"
            f" at most by {MOST_GROWTH / (1 << 20):.0f}",
            growth <= MOST_GROWTH,
        )


def measure_threads(size: Size, root: str) -> Lines:
    """Seconds of ours and the bare loop by the number of threads, on the largest tree."""
    path = corpus.make(Recipe("wide", _FILES[size][-1]), root)
    ours: list[tuple[float, float]] = []
    loop: list[tuple[float, float]] = []
    for threads in map(str, _THREADS):
        duel = Duel(
            Contestant(
                "layerscan",
                peers.inside_command("layerscan", path, threads),
                peers.read_inside,
                inside=True,
            ),
            Contestant("bare loop in C", (*peers.BARE_LOOP.command(path)[:1], threads, path), int),
        )
        duel.more(5)
        ours.append((int(threads), median(duel.our_seconds)))
        loop.append((int(threads), median(duel.peer_seconds)))
    return {"layerscan": ours, "bare loop in C": loop}


class Images:
    """The scan of stores whose images all have the same layers, against one image."""

    def __init__(self, size: Size, root: str) -> None:
        self.duels: dict[int, Duel] = {}
        scans = {}
        for images in _IMAGES:
            name = f"store-shared-{images}-{size}"
            recipe = stores.StoreRecipe(name, images, 1, _BASES[size], ())
            path = stores.make_store(recipe, root)
            command = (sys.executable, "-m", "layerscan", "scan", "-s", "overlay2", "-d", path)
            scans[images] = Contestant(name, (*command, "-o", "-"), json.loads)
        for images, scan in scans.items():
            self.duels[images] = Duel(scans[1], scan)

    def measure(self) -> None:
        """Some more rounds."""
        for _ in range(7):
            for duel in self.duels.values():
                duel.more(1)

    def lines(self) -> Lines:
        """Seconds by images."""
        return {
            "layerscan scan": [
                (images, median(duel.peer_seconds)) for images, duel in self.duels.items()
            ]
        }

    def checks(self) -> Iterator[Check]:
        """A further image costs next to nothing."""
        most = max(self.duels)
        each = (self.duels[most].ratio - 1) / (most - 1)
        yield Check(
            f"each of {most} images on the same layers costs {each:.2%} of the first, "
            f"at most {MOST_FOR_AN_IMAGE:.0%}",
            each <= MOST_FOR_AN_IMAGE,
        )


def settled(part: Files | Images) -> list[Check]:
    """Measure until all checks hold; what fails is measured again, all rounds count."""
    for _ in range(1 + _RETRIES):
        part.measure()
        checks = list(part.checks())
        if all(check.holds for check in checks):
            break
    return checks


def main() -> int:
    """Measure, draw, judge; returns the exit status."""
    size, root = settings.size(), settings.corpus_root()
    files, images = Files(size, root), Images(size, root)
    checks = settled(files)
    threads = measure_threads(size, root)
    checks += settled(images)
    panels = [
        ("Files", "entries", "seconds", files.lines()),
        ("Threads", "threads", "seconds", threads),
        ("Images on the same layers", "images", "seconds", images.lines()),
    ]
    for title, across, _, lines in panels:
        for name, points in lines.items():
            told = ", ".join(f"{x:,.0f}: {y * 1000:.1f} ms" for x, y in points)
            print(f"{title}: {name} by {across}: {told}")
    in_docs = size is Size.LARGE and settings.may_write_docs()
    folder = os.path.join(settings.CHECKOUT, "docs", "measurements") if in_docs else settings.OUT
    path = os.path.join(folder, "scaling.svg")
    draw_lines(panels, path, logarithmic=(True, False, False))
    print(f"drawn: {os.path.relpath(path, settings.CHECKOUT)}")
    for check in checks:
        print(check)
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
