"""Folders that are moved or covered while a walk with few descriptors is below them.

Such a walk has closed the folders above. It may only come back to the very ones that
it left, whatever has their place now.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerscan import Usage, walk
from tests.builders.tree import Dir, File, Sparse, apply
from tests.builders.walk_case import descriptors_limited, open_descriptors, remove_deep
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPTH = 400
ELSEWHERE = 1 << 40
"""Bytes of each file that no walk may count."""
MS_BIND = 4096


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, which may be made deeper than pytest can remove."""
    # In memory, if there is some: disks take seconds to remove it.
    memory = "/dev/shm" if os.path.ismount("/dev/shm") else None
    made = Path(tempfile.mkdtemp(prefix="layerscan-moved-", dir=memory))
    try:
        yield made
    finally:
        remove_deep(made)


def first_walked(folder: Path) -> tuple[Path, list[Path]]:
    """Of the folders in `folder` the one that is walked first, and the others."""
    inside = [path for path in folder.iterdir() if path.is_dir()]
    first, *others = sorted(inside, key=lambda path: path.stat().st_ino)
    return first, others


def make_top(top: Path) -> tuple[Path, list[Path]]:
    """A folder of three. Returns the one that is walked first, which is deep, and the others.

    Of each folder in it, the way down is walked first as well: so the walk comes back to all.
    """
    apply(top, *(File(f"{number}/f", size=1) for number in range(3)))
    deep, others = first_walked(top)
    below = deep
    for _ in range(DEPTH):
        apply(below, Dir("a"), Dir("b"))
        below, _ = first_walked(below)
    return deep, others


def walk_and_move(root: Path, deep: Path, move: Callable[[], object]) -> tuple[Usage, bool]:
    """Walk `root` with few descriptors, and `move` when that is far below `deep`.

    Also returns whether it came to that before the walk was over.
    """
    limit = open_descriptors() + 8
    far = re.compile(re.escape(os.fsencode(deep)) + rb"(/[ab]){20}")
    over = threading.Event()
    in_time = []

    def look() -> None:
        while not over.is_set():
            for number in range(limit):
                with suppress(OSError):
                    if far.match(os.readlink(b"/proc/self/fd/%d" % number)):
                        move()
                        in_time.append(not over.is_set())
                        return

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with descriptors_limited(limit):
            usage = walk(root, threads=1)
    finally:
        over.set()
        looking.join()
    return usage, in_time == [True]


def until_in_time(attempt: Callable[[Path], tuple[Usage, bool]], folder: Path) -> Usage:
    """What the walk of `attempt` found, once it was in time."""
    for number in range(50):
        inside = folder / str(number)
        inside.mkdir()
        usage, in_time = attempt(inside)
        if in_time:
            return usage
    pytest.fail("no folder could be moved in time")


def test_a_folder_that_moved_does_not_lead_into_what_it_is_in_now(folder: Path) -> None:
    def attempt(inside: Path) -> tuple[Usage, bool]:
        root, away = inside / "root", inside / "away"
        root.mkdir()
        deep, others = make_top(root)
        away.mkdir()
        apply(away, *(Sparse(f"{other.name}/f", ELSEWHERE) for other in others))
        return walk_and_move(root, deep, lambda: deep.rename(away / deep.name))

    usage = until_in_time(attempt, folder)
    assert (usage.size, usage.files, usage.errors) == (3, 3, ())
    assert (usage.directories, usage.vanished) == (4 + 2 * DEPTH, 0)


def test_a_folder_in_the_place_of_another_is_not_walked(folder: Path) -> None:
    def attempt(inside: Path) -> tuple[Usage, bool]:
        root, away, other = inside / "root", inside / "away", inside / "other"
        top = root / "top"
        top.mkdir(parents=True)
        deep, others = make_top(top)
        away.mkdir()
        other.mkdir()
        apply(other, *(Sparse(f"{one.name}/f", ELSEWHERE) for one in others))

        def move() -> None:
            deep.rename(away / "deep")
            top.rename(away / "top")
            other.rename(top)

        return walk_and_move(root, deep, move)

    usage = until_in_time(attempt, folder)
    assert (usage.size, usage.files, usage.errors) == (1, 1, ())
    assert usage.vanished == 2


def test_a_folder_of_another_device_with_the_same_inode_is_not_walked(folder: Path) -> None:
    require_root()
    mount = ctypes.CDLL(None, use_errno=True).mount
    mounted = []

    def attempt(inside: Path) -> tuple[Usage, bool]:
        root, other = inside / "root", inside / "other"
        for path in (root, other):
            path.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
            mounted.append(path)
        assert root.stat().st_ino == other.stat().st_ino
        deep, others = make_top(root)
        apply(other, *(Sparse(f"{one.name}/f", ELSEWHERE) for one in others))
        away = others[0] / "away"

        def move() -> None:
            # So that `..` of it is another than before.
            deep.rename(away)
            arguments = (os.fsencode(other), os.fsencode(root), None, MS_BIND, None)
            assert mount(*arguments) == 0, os.strerror(ctypes.get_errno())
            mounted.append(root)

        return walk_and_move(root, deep, move)

    try:
        usage = until_in_time(attempt, folder)
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", path], check=True)
    assert (usage.size, usage.files, usage.errors) == (1, 1, ())
    assert usage.vanished == 2
