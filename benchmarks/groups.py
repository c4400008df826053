"""What is measured: groups of contestants that do the same work.

Owns which groups there are, on what they run, who takes part, and the check
that all of them give the same answer. Making trees and stores is put off until
a group is opened.
"""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks import corpus, layouts, peers, stores, unpackers
from benchmarks.contest import Contestant
from benchmarks.peers import Role
from benchmarks.settings import HERE, Size


class RefusedError(Exception):
    """A group or a contestant cannot be measured here; says why."""


@dataclass(frozen=True)
class Entrant:
    """A contestant as it takes part in a group.

    Attributes:
        contestant: it.
        role: tool or yardstick.
        counts: what of its answer is compared with ours.
        exact: that it gives another answer than ours is a fault.
        part: of our answer, what it can be compared with.
    """

    contestant: Contestant
    role: Role
    counts: str
    exact: bool
    part: Callable[[Any], object] = lambda answer: answer


@dataclass(frozen=True)
class Ring:
    """A group, opened: what it is about is on disk.

    Attributes:
        ours: the one to which ratios are.
        entrants: the others that can be run, by name.
        absent: why the rest cannot be run, by name.
        path: of the tree or store, or None.
        prepare: done before each run, outside its time.
    """

    ours: Contestant
    entrants: Mapping[str, Entrant]
    absent: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Group:
    """Contestants that do the same work.

    Attributes:
        name: as in the report.
        about: what is timed.
        names: of the contestants beside ours.
        rounds: how often each runs, in turns with ours, by size.
        open: makes what is needed; raises `RefusedError` where it cannot be.
    """

    name: str
    about: str
    names: tuple[str, ...]
    rounds: Mapping[Size, int]
    open: Callable[[Size, str], Ring]


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


def _tree(shape: str, names: tuple[str, ...], *, cold: bool = False) -> Callable[[Size, str], Ring]:
    """The ring of the walks, timed without Python's start-up, on the tree of `shape`."""

    def ring(size: Size, root: str) -> Ring:
        if cold:
            drop_caches()
            _check_has_a_disk(root)
        path = corpus.make(corpus.TREES[size][shape], root)
        entrants, absent = _walkers(names, path)
        ours = peers.OURS.on(path)
        return Ring(ours, entrants, absent, path, drop_caches if cold else lambda: None)

    return ring


def _walkers(names: tuple[str, ...], path: str) -> tuple[dict[str, Entrant], dict[str, str]]:
    walkers = [peers.WALKERS[name] for name in names]
    absent = {peer.name: peer.absent for peer in walkers if peer.absent}
    entrants = {
        peer.name: Entrant(peer.on(path), peer.role, peer.counts, peer.exact)
        for peer in walkers
        if not peer.absent
    }
    return entrants, absent


_TMPFS = 0x01021994


def _check_has_a_disk(root: str) -> None:
    os.makedirs(root, exist_ok=True)
    # struct statfs begins with f_type, a long; no Python function has it.
    buffer = (ctypes.c_long * 64)()
    libc = ctypes.CDLL(None)
    if libc.statfs(os.fsencode(root), buffer) == 0 and buffer[0] == _TMPFS:
        raise RefusedError(f"{root} is in memory; set LAYERSCAN_BENCH_CORPUS to a folder on disk")


def _program(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "layerscan", *arguments)


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", os.path.join(HERE, name), *arguments)


def _whole_du(size: Size, root: str) -> Ring:
    path = corpus.make(corpus.TREES[size]["wide"], root)
    entrants, absent = _walkers(_WHOLE, path)
    return Ring(
        Contestant("layerscan du", _program("du", path), peers.read_kib), entrants, absent, path
    )


def _scan(recipes: Mapping[str, stores.StoreRecipe]) -> Callable[[Size, str], Ring]:
    def ring(size: Size, root: str) -> Ring:
        path = stores.make_store(recipes[size], root)
        command = _program("scan", "-s", "overlay2", "-d", path, "-o", "-")
        return Ring(
            Contestant("layerscan scan", command, json.loads),
            {
                _REPLACED: Entrant(
                    Contestant(_REPLACED, _script("replaced.py", path), json.loads),
                    Role.TOOL,
                    "the whole document",
                    exact=True,
                )
            },
            path=path,
        )

    return ring


def _merge(size: Size, root: str) -> Ring:
    files = stores.make_documents({Size.SMALL: 2_000, Size.LARGE: 50_000}[size], root)
    arguments = [f"{architecture}={file}" for architecture, file in files.items()]
    return Ring(
        Contestant("layerscan merge", _program("merge", *arguments), json.loads),
        {
            _PLAIN_MERGE: Entrant(
                Contestant(_PLAIN_MERGE, _script("plain_merge.py", *arguments), json.loads),
                Role.YARDSTICK,
                "the whole document",
                exact=True,
            )
        },
    )


def _start(size: Size, root: str) -> Ring:
    del size, root

    def nothing(_: bytes) -> None:
        """There is no answer to compare: one prints its version, the other nothing."""

    return Ring(
        Contestant("layerscan --version", _program("--version"), nothing),
        {
            _BARE_PYTHON: Entrant(
                Contestant(_BARE_PYTHON, (sys.executable, "-c", "pass"), nothing),
                Role.YARDSTICK,
                "nothing",
                exact=True,
            )
        },
    )


def _table(size: Size, root: str) -> Ring:
    path = corpus.make(corpus.TREES[size]["wide"], root)
    table = Contestant(
        _TABLE, peers.inside_command("file_table", path), peers.read_inside, inside=True
    )
    entrant = Entrant(table, Role.YARDSTICK, "the sum of its blocks", exact=True)
    return Ring(peers.OURS.on(path), {_TABLE: entrant}, path=path)


def _one_layer(packing: str) -> Callable[[Size, str], Ring]:
    """The ring of those that read one layer, timed without Python's start-up."""

    def ring(size: Size, root: str) -> Ring:
        layout = layouts.make_layout(layouts.ONE_LAYER[packing][size], root)
        ours = unpackers.reader("layerscan", "layerscan", layout, inside=True)
        return Ring(ours, *_unpackers(layout, inside=True), path=layout.path)

    return ring


def _image(size: Size, root: str) -> Ring:
    layout = layouts.make_layout(layouts.IMAGE[size], root)
    command = _program("predict", f"oci:{layout.path}", "--format", "json")
    entrants, absent = _unpackers(layout, inside=False)
    entrants[unpackers.ONE_WORKER] = Entrant(
        Contestant(unpackers.ONE_WORKER, (*command, "--threads", "1"), unpackers.read_report),
        Role.YARDSTICK,
        "the figures of each layer",
        exact=True,
    )
    ours = Contestant("layerscan predict", command, unpackers.read_report)
    return Ring(ours, entrants, absent, layout.path)


def _unpackers(
    layout: layouts.Layout, *, inside: bool
) -> tuple[dict[str, Entrant], dict[str, str]]:
    absent = {name: why for name, one in unpackers.UNPACKERS.items() if (why := one.absent(layout))}
    entrants = {
        name: Entrant(
            one.on(layout, inside=inside),
            one.role,
            one.counts,
            exact=True,
            part=partial(one.part, layout),
        )
        for name, one in unpackers.UNPACKERS.items()
        if name not in absent
    }
    return entrants, absent


_REPLACED = "du twice per layer per image"
_PLAIN_MERGE = "json module, nothing checked"
_BARE_PYTHON = "python -c pass"
_TABLE = "layerscan.file_table"

_ELSEWHERE = ("pdu", "diskus", "dust", "dua")
_WHOLE = ("du -sk", *_ELSEWHERE, "gdu", "ncdu", "bfs")
_ALL = (*_WHOLE, "scandir-rs", "os.scandir", "bare loop in C")
_FEW = ("du -sk", *_ELSEWHERE, "gdu", "bfs", "scandir-rs", "bare loop in C")
# The bare loop is no limit there: it has one lock for all hard links, and opens
# each folder by its whole path.
_ODD = ("du -sk", *_ELSEWHERE, "gdu", "ncdu", "bfs -unique", "scandir-rs", "os.scandir")


def _rounds(small: int, large: int) -> Mapping[Size, int]:
    return {Size.SMALL: small, Size.LARGE: large}


GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        Group(
            "walk, warm",
            "folders of some 20 files, three levels",
            _ALL,
            _rounds(9, 7),
            _tree("wide", _ALL),
        ),
        Group(
            "walk, warm, flat",
            "one folder with all files",
            _ALL,
            _rounds(9, 7),
            _tree("flat", _ALL),
        ),
        Group(
            "walk, cold",
            "the tree of 'walk, warm', page cache dropped before each run",
            _FEW,
            _rounds(3, 3),
            _tree("wide", _FEW, cold=True),
        ),
        Group(
            "walk, warm, deep",
            "chains of 1,000 folders, a file in each",
            _ODD,
            _rounds(5, 5),
            _tree("deep", _ODD),
        ),
        Group(
            "walk, warm, linked",
            "each file has two names",
            _ODD,
            _rounds(5, 5),
            _tree("linked", _ODD),
        ),
        Group(
            "layerscan du",
            "whole processes on the tree of 'walk, warm'",
            _WHOLE,
            _rounds(9, 7),
            _whole_du,
        ),
        Group(
            "scan, one base",
            "a store of 32 images on one base, whole processes",
            (_REPLACED,),
            _rounds(5, 5),
            _scan(stores.ONE_BASE),
        ),
        Group(
            "scan, many images",
            "a store of many images on a few bases, whole processes",
            (_REPLACED,),
            _rounds(3, 3),
            _scan(stores.MANY),
        ),
        Group("start-up", "whole processes", (_BARE_PYTHON,), _rounds(21, 31), _start),
        Group(
            "merge",
            "three documents of thousands of layers, whole processes",
            (_PLAIN_MERGE,),
            _rounds(5, 5),
            _merge,
        ),
        Group(
            "file table",
            "a row for each inode, against the walk alone",
            (_TABLE,),
            _rounds(7, 7),
            _table,
        ),
        Group(
            "predict-one-layer, gzip",
            "an OCI layout with one layer",
            tuple(unpackers.UNPACKERS),
            _rounds(9, 7),
            _one_layer(layouts.GZIP),
        ),
        Group(
            "predict-one-layer, zstd",
            "the same tar, packed with zstd",
            tuple(unpackers.UNPACKERS),
            _rounds(9, 7),
            _one_layer(layouts.ZSTD),
        ),
        Group(
            "predict-image",
            "an OCI layout with several layers, whole processes",
            (*unpackers.UNPACKERS, unpackers.ONE_WORKER),
            _rounds(5, 5),
            _image,
        ),
    )
}
"""The groups by name, in the order of the report."""
