"""What is measured: groups of contestants that do the same work, and the bounds they are held to.

Owns the order of things in a group: what is needed is made, all give their
answer and are held to be equal, and only then anything is timed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial

from benchmarks import contestants as who
from benchmarks import layouts, machine, stores
from benchmarks.contestants import Answer, Contestant
from benchmarks.corpus import TREES, Made, Recipe
from benchmarks.duel import Duel
from benchmarks.settings import Size


class RefusedError(Exception):
    """A group or a contestant cannot be measured here; says why."""


@dataclass(frozen=True)
class Gate:
    """The least that a ratio may be.

    Attributes:
        large: at `Size.LARGE`.
        small: at `Size.SMALL`; nothing where it would say nothing.
        limit: a contestant that nothing on this machine can beat, or "". Where it
            misses the bound too, the bound says nothing about us.
    """

    large: float = 0.0
    small: float = 0.0
    limit: str = ""

    def least(self, size: Size) -> float:
        """The bound at `size`, or nothing."""
        return self.large if size is Size.LARGE else self.small


TOOLS = "each other tool"
"""In the place of a name: whoever is no yardstick and has no gate of its own."""


@dataclass(frozen=True, eq=False)
class Group:
    """Contestants that do the same work.

    Attributes:
        name: as in the report.
        on: what is measured on.
        ours: the one to which ratios are.
        others: who runs in turns with it.
        rounds: how often, at least.
        gates: what is held, by the name of the contestant or `TOOLS`.
        memory: bytes that ours may have at most, or None.
        cold: caches are dropped before each run.
    """

    name: str
    on: Mapping[Size, Recipe]
    ours: Contestant
    others: tuple[Contestant, ...]
    rounds: int
    gates: Mapping[str, Gate] = field(default_factory=dict)
    memory: int | None = None
    cold: bool = False

    def gate(self, contestant: Contestant) -> Gate:
        """What the ratio of `contestant` is held to."""
        own = self.gates.get(contestant.name)
        return own or (Gate() if contestant.yardstick else self.gates.get(TOOLS, Gate()))

    def verdict(self, contestant: Contestant, ratios: Mapping[str, float], size: Size) -> str:
        """The gate of `contestant` and what came of it, or nothing where nothing is held.

        Ends in ``MISSED`` or ``out of reach`` where the gate is not met.
        """
        gate, ratio = self.gate(contestant), ratios[contestant.name]
        least = gate.least(size)
        if ratio >= least:
            return f"≥ {least:.2f}" if least else ""
        in_reach = gate.limit not in ratios or ratio / ratios[gate.limit] >= least
        return f"≥ {least:.2f} {'MISSED' if in_reach else 'out of reach'}"


@cache
def opened(group: Group, size: Size, root: str) -> tuple[Made, Answer]:
    """What `group` is measured on, and our answer.

    Raises:
        RefusedError: it cannot be measured here.
    """
    if group.cold:
        drop_caches()
        if machine.file_system(root) == "tmpfs":
            raise RefusedError("in memory; set LAYERSCAN_BENCH_CORPUS to a folder on a disk")
    made = group.on[size].make(root)
    return made, group.ours.answer(made.path)


def start(group: Group, contestant: Contestant, size: Size, root: str) -> Duel:
    """The duel of ours with `contestant`; both gave the same answer.

    Raises:
        RefusedError: it cannot be measured here, or gives another answer.
        AssertionError: it gives another answer, and must not.
    """
    if not contestant.is_here:
        raise RefusedError(f"{contestant.needs} is not installed")
    made, answer = opened(group, size, root)
    theirs = contestant.answer(made.path)
    # Who reads less knows less.
    ours = {key: answer.get(key) for key in theirs}
    if theirs != ours:
        told = f"not equal: gives {str(theirs)[:60]}, ours {str(ours)[:60]}"
        raise AssertionError(told) if contestant.exact else RefusedError(told)
    return Duel(
        partial(group.ours.run, made.path),
        partial(contestant.run, made.path),
        drop_caches if group.cold else lambda: None,
    )


def drop_caches() -> None:
    """Forget what was read of disks.

    Raises:
        RefusedError: this process may not.
    """
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3\n")
    except OSError as error:
        raise RefusedError(f"caches cannot be dropped: {error.strerror}; run as root") from error


_WHOLE = (who.DU, who.GDU, who.NCDU, who.BFS)
_WALKS = (who.BARE_LOOP, *_WHOLE, who.SCANDIR_RS, who.OS_SCANDIR)
_COLD = (who.BARE_LOOP, who.DU, who.GDU, who.BFS, who.SCANDIR_RS)
# Not the bare loop: it counts each name, and opens each folder by its whole path.
_ODD = (who.DU, who.GDU, who.NCDU, who.BFS_UNIQUE, who.SCANDIR_RS, who.OS_SCANDIR)
_LAYERS = (who.BARE, who.HASHED, who.TAR, who.TARFILE)
_PROCESSES = (*(replace(one, inside=False) for one in _LAYERS), who.ONE_AT_A_TIME)
_LIMIT = who.BARE_LOOP.name
_NEAR = Gate(1 / 1.05)

GROUPS = (
    Group(
        "walk, warm",
        TREES["wide"],
        who.OURS,
        _WALKS,
        rounds=9,
        gates={_LIMIT: _NEAR, who.DU.name: Gate(2.0, 1.5, limit=_LIMIT), TOOLS: Gate(1.3)},
        memory=64 << 20,
    ),
    Group(
        "walk, warm, flat",
        TREES["flat"],
        who.OURS,
        _WALKS,
        rounds=9,
        gates={who.DU.name: Gate(2.0), TOOLS: Gate(1.25)},
    ),
    Group(
        "walk, cold",
        TREES["wide"],
        who.OURS,
        _COLD,
        rounds=3,
        gates={_LIMIT: _NEAR, who.DU.name: Gate(4.0, limit=_LIMIT), TOOLS: Gate(1.4, limit=_LIMIT)},
        cold=True,
    ),
    Group("walk, warm, deep", TREES["deep"], who.OURS, _ODD, rounds=5),
    Group("walk, warm, linked", TREES["linked"], who.OURS, _ODD, rounds=5),
    Group(
        "layerscan du", TREES["wide"], who.LAYERSCAN_DU, _WHOLE, rounds=9, gates={TOOLS: Gate(1.2)}
    ),
    Group(
        "scan, one base",
        stores.ONE_BASE,
        who.SCAN,
        (who.REPLACED,),
        rounds=5,
        gates={TOOLS: Gate(35.0, 4.0)},
    ),
    Group("scan, many images", stores.MANY, who.SCAN, (who.REPLACED,), rounds=3),
    Group(
        "df",
        stores.FULL,
        who.LEDGER,
        (who.OURS_ALONE, who.DU),
        rounds=7,
        gates={who.OURS_ALONE.name: Gate(1 / 1.15), who.DU.name: Gate(1.7)},
        memory=64 << 20,
    ),
    Group(
        "start-up",
        stores.DOCUMENTS,  # neither looks at them
        who.VERSION,
        (who.BARE_PYTHON,),
        rounds=21,
        gates={who.BARE_PYTHON.name: Gate(1 / 2, 1 / 2)},
    ),
    Group("merge", stores.DOCUMENTS, who.MERGE, (who.PLAIN_MERGE,), rounds=5),
    Group(
        "file table",
        TREES["wide"],
        who.FILE_TABLE,
        (who.OURS_ALONE,),
        rounds=7,
        gates={who.OURS_ALONE.name: Gate(1 / 2)},
    ),
    Group(
        "predict-one-layer, gzip",
        layouts.ONE_LAYER[layouts.GZIP],
        who.OUR_READER,
        _LAYERS,
        rounds=9,
        gates={who.BARE.name: Gate(0.95, 0.3), who.TARFILE.name: Gate(small=0.8)},
    ),
    Group(
        "predict-one-layer, zstd",
        layouts.ONE_LAYER[layouts.ZSTD],
        who.OUR_READER,
        _LAYERS,
        rounds=9,
        gates={who.BARE.name: Gate(0.95)},
    ),
    Group(
        "predict-image",
        layouts.IMAGE,
        who.PREDICT,
        _PROCESSES,
        rounds=5,
        gates={who.HASHED.name: Gate(1.2)},
    ),
)
"""In the order of the report."""
