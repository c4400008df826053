"""The targets of the design, as one table, and what it means to meet one.

Owns the bounds, and what stands in for the tools that cannot be had here.
Measures nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks import unpackers
from benchmarks.peers import Role
from benchmarks.results import Row, Standing
from benchmarks.settings import Size

FASTEST = "the fastest other tool"


class Measure(StrEnum):
    """What is bounded: the peer's time by ours, or the peak memory of ours in bytes."""

    RATIO = "ratio"
    PEAK = "peak"


@dataclass(frozen=True)
class Target:
    """A bound.

    Attributes:
        name: for the report and for a failure.
        group: in which it is measured.
        peer: against whom, or `FASTEST`.
        why: what it is for.
        at_least: the least that will do, or None.
        at_most: the most that will do, or None.
        measure: of what.
        sizes: at which it is judged; at others it is shown only.
        limit: the yardstick that nothing on this machine can beat, or None. Where
            it misses the bound too, the bound says nothing about us.
    """

    name: str
    group: str
    peer: str
    why: str
    at_least: float | None = None
    at_most: float | None = None
    measure: Measure = Measure.RATIO
    sizes: tuple[Size, ...] = (Size.LARGE,)
    limit: str | None = None

    def admits(self, value: float) -> bool:
        """Whether `value` is within the bound."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)

    def words(self, value: float) -> str:
        """`value` and the bound, for people."""
        unit, scale = ("MiB", 1 << 20) if self.measure is Measure.PEAK else ("x", 1)
        text = f"{value / scale:.2f} {unit}"
        if self.at_least is not None:
            text += f", at least {self.at_least / scale:.2f}"
        if self.at_most is not None:
            text += f", at most {self.at_most / scale:.2f}"
        return text


_BOTH = (Size.SMALL, Size.LARGE)
_BARE = "bare loop in C"
_OLD = "du twice per layer per image"

TARGETS: tuple[Target, ...] = (
    Target("warm walk, du", "walk, warm", "du -sk", "what people use", at_least=2.0),
    Target("warm walk, tools", "walk, warm", FASTEST, "what people could use", at_least=1.3),
    Target("warm walk, kernel", "walk, warm", _BARE, "nothing wasted", at_least=1 / 1.10),
    Target(
        "walk's memory",
        "walk, warm",
        "layerscan",
        "it runs beside builds; Python is in it",
        at_most=64 << 20,
        measure=Measure.PEAK,
        sizes=_BOTH,
    ),
    Target("flat walk, du", "walk, warm, flat", "du -sk", "huge folders", at_least=2.0),
    Target("flat walk, tools", "walk, warm, flat", FASTEST, "shared in a folder", at_least=1.25),
    Target(
        "cold walk, du",
        "walk, cold",
        "du -sk",
        "a store is rarely cached",
        at_least=3.3,
        limit=_BARE,
    ),
    Target(
        "cold walk, tools",
        "walk, cold",
        FASTEST,
        "queue depth, inode order",
        at_least=1.4,
        limit=_BARE,
    ),
    Target("cold walk, disk", "walk, cold", _BARE, "no request waits for us", at_least=1 / 1.10),
    Target("command, tools", "layerscan du", FASTEST, "Python's start-up in it", at_least=1.2),
    Target("scan, old script", "scan, one base", _OLD, "each layer walked once", at_least=20.0),
    Target(
        "start-up",
        "start-up",
        "python -c pass",
        "at most 5 times a bare Python",
        at_least=1 / 5,
        sizes=_BOTH,
    ),
    Target(
        "file table",
        "file table",
        "layerscan.file_table",
        "rows made in C: well under twice the walk",
        at_most=2.0,
    ),
    Target(
        "gzip layer, decompressor",
        "predict-one-layer, gzip",
        unpackers.BARE,
        "what is read is known as fast as it comes out",
        at_least=0.90,
    ),
    Target(
        "zstd layer, decompressor",
        "predict-one-layer, zstd",
        unpackers.BARE,
        "the same where it comes out faster",
        at_least=0.90,
    ),
    Target(
        "image, same work in one thread",
        "predict-image",
        unpackers.HASHED,
        "all cores are busy",
        at_least=1.2,
    ),
)
"""What `make bench` holds us to."""

SMALL_GATES: tuple[Target, ...] = (
    Target("warm walk, du", "walk, warm", "du -sk", "", at_least=1.5, sizes=_BOTH),
    Target("scan, old script", "scan, one base", _OLD, "", at_least=4.0, sizes=_BOTH),
    Target("start-up", "start-up", "python -c pass", "", at_least=1 / 6, sizes=_BOTH),
    Target(
        "gzip layer, decompressor",
        "predict-one-layer, gzip",
        unpackers.BARE,
        "",
        at_least=0.3,
        sizes=_BOTH,
    ),
    Target(
        "gzip layer, tarfile",
        "predict-one-layer, gzip",
        unpackers.TARFILE,
        "",
        at_least=0.8,
        sizes=_BOTH,
    ),
)
"""What ``make test`` holds us to, on trees and stores made in a second.

The bounds leave room for what is not ours there: of a small scan most is
Python's start-up, and the machine does other things at the same time.
"""


@dataclass(frozen=True)
class StandIn:
    """Times of a tool that cannot be had here, by ``du -sk`` on the same tree.

    They were measured once, on two cores: pdu 0.24 and diskus 0.8, on
    1,058,482 inodes and on a folder of 500,000 files.
    """

    warm: float
    flat: float
    cold: float

    def by_du(self, group: str) -> float | None:
        """The tool's time by du's in a group, or None where it was not measured."""
        by_group = {
            "walk, warm": self.warm,
            "walk, warm, flat": self.flat,
            "walk, cold": self.cold,
            "layerscan du": self.warm,
        }
        return by_group.get(group)


STAND_INS: Mapping[str, StandIn] = {
    "pdu": StandIn(warm=0.94 / 1.42, flat=0.63 / 0.76, cold=5.0 / 7.2),
    "diskus": StandIn(warm=1.00 / 1.42, flat=0.485 / 0.76, cold=3.1 / 7.2),
}
"""The fastest tools that were found; no registry here has them."""


def stand_in_ratio(tool: str, group: str, du_ratio: float) -> float | None:
    """How many times as long as ours `tool` would take, from du's ratio in the same run."""
    stand_in = STAND_INS.get(tool)
    factor = None if stand_in is None else stand_in.by_du(group)
    return None if factor is None else du_ratio * factor


@dataclass(frozen=True)
class Verdict:
    """What came of a target.

    Attributes:
        target: which.
        value: what was measured, or None where nothing was.
        row: whose figure it is.
        judged: whether it counts at this size.
        at_limit: the value that the target's limit has in the same run, or None.
    """

    target: Target
    value: float | None
    row: Row | None
    judged: bool
    at_limit: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value is not None and self.target.admits(self.value)

    @property
    def out_of_reach(self) -> bool:
        """Whether the target is missed by the yardstick that nothing here can beat."""
        return not self.met and self.at_limit is not None and not self.target.admits(self.at_limit)

    def __str__(self) -> str:
        if self.value is None or self.row is None:
            return f"{self.target.name}: not measured"
        whom = "" if self.row.standing is Standing.OURS else f" against {self.row.contestant}"
        words = f"{self.target.name}: {self.target.words(self.value)}{whom}"
        if not self.out_of_reach:
            return words
        return f"{words}; on this machine {self.target.limit} has {self.at_limit:.2f}"


def judge(target: Target, rows: Sequence[Row], size: Size) -> Verdict:
    """What `rows` say about `target`."""
    there = [row for row in rows if row.group == target.group and row.is_measured]
    judged = size in target.sizes
    if target.measure is Measure.PEAK:
        ours = [row for row in there if row.standing is Standing.OURS]
        return Verdict(target, ours[0].peak, ours[0], judged) if ours else _none(target, judged)
    if target.peer == FASTEST:
        there = [row for row in there if row.is_ranked and row.role is Role.TOOL]
    else:
        there = [row for row in there if row.contestant == target.peer and row.is_ranked]
    if not there:
        return _none(target, judged)
    least = min(there, key=lambda row: row.ratio or 0.0)
    return Verdict(target, least.ratio, least, judged, _at_limit(target, least, rows))


def _at_limit(target: Target, peer: Row, rows: Sequence[Row]) -> float | None:
    """The ratio of `peer` to the yardstick of `target`, in place of ours."""
    for row in rows:
        of_limit = (row.group, row.contestant) == (target.group, target.limit)
        if of_limit and row.ratio and peer.ratio:
            return peer.ratio / row.ratio
    return None


def _none(target: Target, judged: bool) -> Verdict:  # noqa: FBT001 - private
    return Verdict(target, None, None, judged)
