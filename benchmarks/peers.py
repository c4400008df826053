"""Who else can say what a tree takes of the disk: how each is run and understood.

Owns the command lines and the reading of their outputs. Every answer is made
comparable: bytes of disk, rounded up to whole KiB as ``du -sk`` prints them.
Whether it is equal to ours is for the contest to see, before anything is timed.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from benchmarks import process
from benchmarks.contest import Contestant
from benchmarks.settings import HERE

INSIDE = os.path.join(HERE, "inside.py")


class Role(StrEnum):
    """What a peer is there for.

    A tool competes for being the fastest; a yardstick shows what is possible.
    """

    TOOL = "tool"
    YARDSTICK = "yardstick"


@dataclass(frozen=True)
class Peer:
    """A way to get the answer.

    Attributes:
        name: as in the report.
        command: the program and its arguments for a path.
        answer: bytes of disk from its output.
        counts: what is compared, in words.
        role: see `Role`.
        needs: a program on PATH, or a Python module if it is inside.
        inside: run by ``inside.py``.
        exact: that its answer differs from ours is a fault, not a property of it.
    """

    name: str
    command: Callable[[str], tuple[str, ...]]
    answer: Callable[[bytes], int]
    counts: str
    role: Role = Role.TOOL
    needs: str = ""
    inside: bool = False
    exact: bool = False

    @property
    def absent(self) -> str | None:
        """Why it cannot be run here, or None."""
        if self.inside:
            there = not self.needs or find_spec(self.needs) is not None
            return None if there else f"no Python module {self.needs} here"
        there = not self.needs or shutil.which(self.needs) is not None
        return None if there else f"no {self.needs} on PATH"

    def on(self, path: str) -> Contestant:
        """It as a contestant on the tree at `path`."""
        return Contestant(self.name, self.command(path), self.answer, inside=self.inside)


def round_up(size: int) -> int:
    """`size` bytes in whole KiB, in bytes."""
    return -(-size // 1024) * 1024


def inside_command(name: str, path: str, *threads: str) -> tuple[str, ...]:
    """The command line of a walk inside Python."""
    return (sys.executable, "-P", INSIDE, name, path, *threads)


def read_inside(output: bytes) -> int:
    """Bytes of disk from the output of ``inside.py``."""
    return int(json.loads(output)["usage"])


def read_kib(output: bytes) -> int:
    """From ``12156 <tab> path``: KiB."""
    return int(output.split()[0]) * 1024


def read_bytes(output: bytes) -> int:
    """The first number of the output, bytes: gdu, diskus, dua, dust."""
    found = re.search(rb"\d+", output)
    if found is None:
        raise process.FailedError(f"no number in {output[:100]!r}")
    return round_up(int(found[0]))


def read_blocks(output: bytes) -> int:
    """The sum of all lines, each a number of blocks of 512 bytes."""
    return round_up(sum(map(int, output.split())) * 512)


def read_pdu(output: bytes) -> int:
    """The root's size in pdu's JSON, bytes; the first, before those of its children."""
    document = json.loads(output)
    return round_up(int(document["tree"]["size"]))


def read_ncdu(output: bytes) -> int:
    """The sum of ncdu's export: an entry a line, those with several names once."""
    total = 0
    seen: set[int] = set()
    for line in output.splitlines()[1:]:
        start, end = line.find(b"{"), line.rfind(b"}")
        if start < 0:
            continue
        entry = json.loads(line[start : end + 1])
        if entry.get("hlnkc"):
            if entry["ino"] in seen:
                continue
            seen.add(entry["ino"])
        total += entry.get("dsize", 0)
    return round_up(total)


def threads() -> int:
    """As many as our walk starts by default."""
    return min(len(os.sched_getaffinity(0)) * 16, 256)


_HARD_LINKS_ONCE = "bytes of disk, hard links once"

OURS = Peer(
    "layerscan",
    lambda path: inside_command("layerscan", path),
    read_inside,
    _HARD_LINKS_ONCE,
    inside=True,
    exact=True,
)
DU = Peer(
    "du -sk",
    lambda path: ("du", "-sk", path),
    read_kib,
    _HARD_LINKS_ONCE,
    needs="du",
    exact=True,
)
BARE_LOOP = Peer(
    "bare loop in C",
    lambda path: (process.compiled("bare_loop"), str(threads()), path),
    lambda output: round_up(int(output) * 512),
    _HARD_LINKS_ONCE,
    role=Role.YARDSTICK,
    exact=True,
)
TOOLS: tuple[Peer, ...] = (
    Peer(
        "pdu",
        lambda path: (
            *("pdu", "--json-output", "--quantity=block-size", "--deduplicate-hardlinks"),
            *("--max-depth=1", path),
        ),
        read_pdu,
        _HARD_LINKS_ONCE,
        needs="pdu",
    ),
    Peer("diskus", lambda path: ("diskus", path), read_bytes, _HARD_LINKS_ONCE, needs="diskus"),
    Peer(
        "dust",
        lambda path: ("dust", "-d", "0", "-n", "1", "-c", "-b", "-P", "-o", "b", path),
        read_bytes,
        _HARD_LINKS_ONCE,
        needs="dust",
    ),
    Peer(
        "dua",
        lambda path: ("dua", "--threads", "8", "--format", "bytes", "aggregate", path),
        read_bytes,
        _HARD_LINKS_ONCE,
        needs="dua",
    ),
    Peer(
        "gdu",
        lambda path: (
            *("gdu", "--non-interactive", "--no-progress", "--no-color", "--no-prefix"),
            *("--summarize", path),
        ),
        read_bytes,
        _HARD_LINKS_ONCE,
        needs="gdu",
    ),
    Peer(
        "ncdu",
        lambda path: ("ncdu", "-0", "-o", "-", path),
        read_ncdu,
        f"{_HARD_LINKS_ONCE}; the sum of what it exports",
        needs="ncdu",
    ),
    Peer(
        "bfs",
        lambda path: ("bfs", path, "-printf", "%b\\n"),
        read_blocks,
        "bytes of disk, each name; the sum of what it prints",
        needs="bfs",
    ),
    Peer(
        "bfs -unique",
        lambda path: ("bfs", "-unique", path, "-printf", "%b\\n"),
        read_blocks,
        f"{_HARD_LINKS_ONCE}; the sum of what it prints",
        needs="bfs",
    ),
    Peer(
        "scandir-rs",
        lambda path: inside_command("scandir-rs", path),
        read_inside,
        "bytes of disk, each name; the root, which it leaves out, is added",
        needs="scandir_rs",
        inside=True,
    ),
    Peer(
        "os.scandir",
        lambda path: inside_command("os.scandir", path),
        read_inside,
        _HARD_LINKS_ONCE,
        inside=True,
        exact=True,
    ),
)
WALKERS: dict[str, Peer] = {peer.name: peer for peer in (DU, *TOOLS, BARE_LOOP)}
"""All that walk a tree, ours apart, by name."""
