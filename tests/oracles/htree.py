"""How a folder of ext4 grows, in plain Python, written to be obviously right.

The oracle of `filesystems._htree`, which has the same rules in C. Given the hashes
that a file system really has for its names, it must come to the very number of
blocks that the folder there has.
"""

from __future__ import annotations

import bisect
import re
import subprocess
import tempfile
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DOTS = 24
_TAIL = 12


class Entry(NamedTuple):
    """A name in a folder: its hash, and the bytes that it takes."""

    hash: int
    length: int


def entry_length(name_length: int) -> int:
    return 8 + (name_length + 3) // 4 * 4


def measures(block_size: int) -> dict[str, int]:
    """The measures of folders on a file system with blocks of that size."""
    return {
        "linear_room": block_size - 36,
        "leaf_room": block_size - 12,
        "block_size": block_size,
        "root_limit": (block_size - 40) // 8,
        "node_limit": (block_size - 16) // 8,
    }


class _Leaf:
    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.first = entries[0].hash if entries else 0

    def takes(self, entry: Entry, room: int) -> bool:
        return sum(one.length for one in self.entries) + entry.length <= room

    def split(self, block_size: int) -> _Leaf:
        """Keep the lower part; the upper one as a new leaf."""
        # The entry that is the last in its block has what is free behind it, too.
        last = self.entries[-1]
        free = block_size - _TAIL - sum(one.length for one in self.entries)
        whole = [*self.entries[:-1], last._replace(length=last.length + free)]
        ordered = sorted(whole, key=lambda one: one.hash)
        size = 0
        at = len(ordered)
        while at > 0 and size + ordered[at - 1].length // 2 <= block_size // 2:
            at -= 1
            size += ordered[at].length
        first = ordered[at or len(ordered) // 2].hash
        upper = [one for one in self.entries if one.hash >= first]
        self.entries = [one for one in self.entries if one.hash < first]
        return _Leaf(sorted(upper, key=lambda one: one.hash))


def blocks_of(entries: Iterable[Entry], block_size: int) -> int:
    """Blocks of a folder that got `entries` in this order."""
    root_limit = (block_size - _DOTS - 8 - 8) // 8
    node_limit = (block_size - 8 - 8) // 8
    # One node is the root of the index itself; several stand below it.
    nodes = [[_Leaf([])]]
    has_level = False
    for entry in entries:
        is_linear = len(nodes[0]) == 1 and not has_level
        room = block_size - _TAIL - (_DOTS if is_linear else 0)
        node, leaf = _find(nodes, entry.hash)
        if not leaf.takes(entry, room):
            if not has_level and len(node) == root_limit:
                has_level = True
            elif has_level and len(node) == node_limit:
                half = len(node) // 2
                nodes.insert(nodes.index(node) + 1, node[half:])
                del node[half:]
                node, leaf = _find(nodes, entry.hash)
            node.insert(node.index(leaf) + 1, leaf.split(block_size))
            _, leaf = _find(nodes, entry.hash)
        leaf.entries.append(entry)
    leaves = sum(map(len, nodes))
    return 1 if leaves == 1 else 1 + leaves + len(nodes) * has_level


def _find(nodes: list[list[_Leaf]], hashed: int) -> tuple[list[_Leaf], _Leaf]:
    firsts = [node[0].first for node in nodes]
    node = nodes[max(0, bisect.bisect_right(firsts, hashed) - 1)]
    return node, node[max(0, bisect.bisect_right([one.first for one in node], hashed) - 1)]


def made_up(lengths: Iterable[int]) -> list[Entry]:
    """Entries of these lengths with the hashes that `filesystems._htree` makes up."""
    return list(starmap(Entry, ((_mixed(number), one) for number, one in enumerate(lengths))))


def _mixed(number: int) -> int:
    mask = (1 << 64) - 1
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return (mixed ^ mixed >> 31) >> 33


def real_hashes(device: str, names: Sequence[str]) -> list[int]:
    """The hashes of `names`, plain ASCII, on the ext4 at `device`, as debugfs says them."""
    superblock = _run("dumpe2fs", "-h", device)
    found = re.search(r"^Directory Hash Seed:\s+(\S+)$", superblock, re.MULTILINE)
    assert found, superblock
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as commands:
        commands.writelines(f"dx_hash -h half_md4 -s {found[1]} {name}\n" for name in names)
        commands.flush()
        said = _run("debugfs", "-f", commands.name)
    return [int(one, 16) for one in re.findall(r"^Hash of .* is (0x\w+) ", said, re.MULTILINE)]


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
