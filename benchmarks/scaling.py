"""How cost grows: with the number of files, with threads, and with images that share their layers.

``make bench-scaling`` runs it with pytest. Prints what it measures, and fails where
the walk is not linear, its memory grows, or an image costs more for layers that
another has too. What fails is measured again, and all rounds count.
"""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from statistics import linear_regression, median

import pytest

from benchmarks import contestants as who
from benchmarks.contestants import Contestant
from benchmarks.corpus import Tree
from benchmarks.duel import Duel, Side
from benchmarks.report import seconds
from benchmarks.settings import CORPUS, SIZE, Size
from benchmarks.stores import ONE_BASE, Store

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

_TRIES = 4
_FILES = {
    Size.SMALL: (1_000, 3_000, 10_000, 30_000),
    Size.LARGE: (1_000, 10_000, 100_000, 1_000_000),
}
_LINEAR_FROM = {Size.SMALL: 1_000, Size.LARGE: 10_000}
_THREADS = (1, 2, 4, 8, 16, 32)
_IMAGES = (1, 4, 16, 64)


def exponent(line: Mapping[int, float]) -> float:
    """The slope of the straight line through the logarithms of the points, least squares."""
    logs = [(math.log(x), math.log(y)) for x, y in line.items()]
    return linear_regression(*zip(*logs, strict=True)).slope


@pytest.fixture(autouse=True)
def _new_line() -> None:
    print()


def _duel(ours: Contestant, peer: Contestant, path: str) -> Duel:
    return Duel(partial(ours.run, path), partial(peer.run, path))


def _measure(duels: Iterable[Duel], rounds: int) -> None:
    for _ in range(rounds):
        for duel in duels:
            duel.more(1)


def _tell(name: str, across: str, sides: Mapping[int, Side]) -> dict[int, float]:
    line = {at: median(side.seconds) for at, side in sides.items()}
    told = ", ".join(f"{at:,}: {seconds(y)}" for at, y in line.items())
    print(f"{name} by {across}: {told}")
    return line


def _power(name: str, sides: Mapping[int, Side]) -> float:
    line = _tell(name, "entries", sides)
    power = exponent({at: y for at, y in line.items() if at >= _LINEAR_FROM[SIZE]})
    print(f"    as entries to the power of {power:.3f}")
    return power


def test_a_walk_is_linear_and_its_memory_bounded() -> None:
    trees = [Tree("wide", files).make(CORPUS) for files in _FILES[SIZE]]
    by_du = {tree.entries or 0: _duel(who.OURS, who.DU, tree.path) for tree in trees}
    by_loop = {tree.entries or 0: _duel(who.OURS, who.BARE_LOOP, tree.path) for tree in trees}
    for _ in range(_TRIES):
        _measure([*by_du.values(), *by_loop.values()], rounds=5)
        _power("du -sk", {at: duel.peer for at, duel in by_du.items()})
        _power("bare loop in C", {at: duel.peer for at, duel in by_loop.items()})
        power = _power("layerscan", {at: duel.ours for at, duel in by_du.items()})
        peaks = [duel.ours.peak for duel in by_du.values()]
        print(f"    with {', '.join(f'{peak >> 10} KiB' for peak in peaks)} of memory")
        if power <= MOST_EXPONENT:
            break
    assert power <= MOST_EXPONENT
    assert peaks[-1] - peaks[0] <= MOST_GROWTH


def test_threads() -> None:
    path = Tree("wide", _FILES[SIZE][-1]).make(CORPUS).path
    duels = {
        threads: _duel(who.walk("layerscan", str(threads)), who.bare_loop(threads), path)
        for threads in _THREADS
    }
    _measure(duels.values(), rounds=5)
    _tell("layerscan", "threads", {at: duel.ours for at, duel in duels.items()})
    _tell("bare loop in C", "threads", {at: duel.peer for at, duel in duels.items()})


def test_an_image_on_the_same_layers_costs_next_to_nothing() -> None:
    base = ONE_BASE[SIZE].base_files
    stores = [Store(f"store-shared-{n}-{SIZE}", n, 1, base, ()) for n in _IMAGES]
    scans = [partial(who.SCAN.run, store.make(CORPUS).path) for store in stores]
    duels = [Duel(scans[0], scan) for scan in scans]
    for _ in range(_TRIES):
        _measure(duels, rounds=7)
        _tell("layerscan scan", "images", dict(zip(_IMAGES, (d.peer for d in duels), strict=True)))
        each = (duels[-1].ratio - 1) / (_IMAGES[-1] - 1)
        print(f"    each of them costs {each:.2%} of the first")
        if each <= MOST_FOR_AN_IMAGE:
            break
    assert each <= MOST_FOR_AN_IMAGE
