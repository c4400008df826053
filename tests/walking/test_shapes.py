"""Trees that are deep, wide, flat or many, with few descriptors."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerscan import walk, walk_many
from layerscan.walking.walker import Progress, WalkError
from tests.builders.tree import Dir, File, apply, many
from tests.builders.user import as_nobody
from tests.builders.walk_case import (
    descriptors_limited,
    du,
    in_python,
    open_descriptors,
    remove_deep,
)


def make_comb(root: Path, depth: int) -> int:
    """A chain of folders, each with two more in it. Returns how many folders there are.

    Such a tree keeps every folder of the chain waiting for a sub-folder.
    """
    at = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=at)
        os.mkdir("z", dir_fd=at)
        os.mkdir("m", dir_fd=at)
        below = os.open("m", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    return 3 * depth + 1


@pytest.fixture(scope="module")
def comb() -> Iterator[tuple[Path, int]]:
    """A deep comb, and how many folders it has."""
    # Not among pytest's folders: what a killed run leaves there, the next one
    # removes by recursion.
    root = Path(tempfile.mkdtemp(prefix="layerscan-comb-"))
    try:
        yield root, make_comb(root, 2000)
    finally:
        remove_deep(root)


@pytest.mark.parametrize("spare", [8, 40, 900])
@pytest.mark.parametrize("threads", [1, 8, None])
def test_depth_costs_no_descriptors(
    comb: tuple[Path, int], spare: int, threads: int | None
) -> None:
    root, folders = comb
    before = open_descriptors()
    with descriptors_limited(before + spare):
        usage = walk(root, threads=threads)
    assert (usage.directories, usage.errors, usage.vanished) == (folders, (), 0)
    assert open_descriptors() == before


def test_errors_deeper_than_path_max_have_their_path(open_path: Path) -> None:
    name = "d" * 250
    at = os.open(open_path, os.O_RDONLY)
    for _ in range(40):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.mkdir("closed", mode=0, dir_fd=at)
    os.close(at)
    usage = as_nobody(lambda: walk(open_path))
    path = os.fsencode(open_path) + b"/" + b"/".join([name.encode()] * 40) + b"/closed"
    assert usage.errors == (WalkError(path, errno.EACCES),)
    remove_deep(open_path)


def test_a_wide_tree_under_a_low_limit(tmp_path: Path) -> None:
    for number in range(300):
        apply(tmp_path, *(Dir(f"{number}/{inner}/x") for inner in range(5)))
    with in_python():
        expected = walk(tmp_path)
    with descriptors_limited(open_descriptors() + 12):
        for threads in (1, 4, 32):
            assert walk(tmp_path, threads=threads) == expected


def test_what_is_below_a_folder_of_which_the_rest_is_still_to_be_read(tmp_path: Path) -> None:
    # The names of `tmp_path` take several buffers. Folders in it were closed and are opened
    # again by way of it, while its own descriptor must stay for the names that are left.
    names = [f"{number:0200}" for number in range(100)]
    apply(tmp_path, *(Dir(f"{name}/{way}") for name in names for way in ("a/a", "a/b", "b/a")))
    folders = 1 + 6 * len(names)

    def look(progress: Progress) -> None:
        # Who lost the place in a folder reads it again and again.
        assert progress.entries <= folders

    with descriptors_limited(open_descriptors() + 8):
        usage = walk(tmp_path, threads=1, on_progress=look)
    assert (usage.directories, usage.errors, usage.vanished) == (folders, (), 0)


def test_one_large_folder(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 12_000))
    for number in range(0, 12_000, 3):
        os.link(tmp_path / f"flat/f{number:05d}", tmp_path / f"flat/l{number:05d}")
    usage = walk(tmp_path, child="flat")
    assert (usage.files, usage.duplicates, usage.directories) == (12_000, 4_000, 2)
    assert usage == walk(tmp_path, child="flat", threads=1)
    assert usage.usage == du(tmp_path) * 1024


def test_many_small_roots(tmp_path: Path) -> None:
    apply(tmp_path, *(File(f"r{number}/f", size=number) for number in range(2000)))
    roots = [tmp_path / f"r{number}" for number in range(2000)]
    usages = walk_many(roots)
    assert [usage.size for usage in usages] == list(range(2000))
    assert all(usage.files == usage.directories == 1 for usage in usages)


@contextlib.contextmanager
def descriptors_taken(left: int) -> Iterator[list[int]]:
    """All descriptors but `left` are held by others; they are those that it yields."""
    held: list[int] = []

    def close() -> None:
        for descriptor in held:
            os.close(descriptor)

    with descriptors_limited(open_descriptors() + left + 4), contextlib.ExitStack() as closing:
        closing.callback(close)
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/", os.O_RDONLY))
        for _ in range(left):
            os.close(held.pop())
        yield held


@pytest.mark.parametrize("left", [2, 3, 4])
def test_a_walk_goes_on_with_the_two_descriptors_that_others_leave(
    comb: tuple[Path, int], left: int
) -> None:
    root, folders = comb
    with descriptors_taken(left):
        usage = walk(root)
    assert (usage.directories, usage.errors, usage.vanished) == (folders, (), 0)


@pytest.mark.parametrize("left", [0, 1])
def test_a_walk_waits_for_descriptors_that_others_hold(tmp_path: Path, left: int) -> None:
    apply(tmp_path, File("a/b/f", size=5))
    with descriptors_taken(left) as held, ThreadPoolExecutor(1) as pool:
        walking = pool.submit(walk, tmp_path)
        # None is to be had meanwhile: this is a call that needs none.
        with pytest.raises(TimeoutError):
            walking.result(timeout=0.1)
        while held:
            os.close(held.pop())
        usage = walking.result()
    assert (usage.size, usage.directories, usage.errors) == (5, 3, ())


def test_without_a_descriptor_to_be_had_the_walk_says_so(tmp_path: Path) -> None:
    apply(tmp_path, File("a/f", size=5))
    with descriptors_taken(0):
        usage = walk(tmp_path)
    assert usage.errors == (WalkError(os.fsencode(tmp_path), errno.EMFILE),)
