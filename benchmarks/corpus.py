"""Trees to measure on: the same names and lengths from the same seed, anywhere."""

import os
import random
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from benchmarks.settings import Size

_CHAIN = 1000
"""Levels of a chain of folders: a path as long as the kernel takes has 4096 bytes."""


@dataclass(frozen=True)
class Made:
    """What is measured on: its folder, and its directory entries where they are counted."""

    path: str
    entries: int | None = None


class Recipe(Protocol):
    """How something to measure on is made."""

    def make(self, root: str) -> Made:
        """Make it below `root`, unless it is there."""


def kept(root: str, name: str, fill: Callable[[str], int | None]) -> Made:
    """The folder `name` below `root`, filled unless a run before did it to the end.

    Whoever changes what is made gives it another name, or figures are compared
    that cannot be.
    """
    path = os.path.join(root, name)
    mark = path + ".made"
    if not os.path.exists(mark):
        # Not shutil.rmtree, which goes into deep trees by recursion.
        subprocess.run(["rm", "-rf", path], check=True)
        os.makedirs(path)
        entries = fill(path)
        os.sync()
        with open(mark, "w", encoding="ascii") as file:
            file.write(str(entries or ""))
    with open(mark, encoding="ascii") as file:
        return Made(path, int(file.read() or 0) or None)


@dataclass(frozen=True)
class Tree:
    """A tree of empty and short files.

    Attributes:
        shape: ``wide`` (folders of some 20 files, three levels), ``flat`` (one
            folder), ``deep`` (chains of a thousand folders, a file in each),
            ``linked`` (wide, with a second name for every file).
        files: how many regular files.
    """

    shape: str
    files: int

    def make(self, root: str) -> Made:
        """The tree below `root`."""
        name = f"{self.shape}-{self.files}-1"
        return kept(root, name, lambda folder: _create(folder, self.entries()))

    def entries(self) -> Iterator[tuple[str, int]]:
        """Each path and its size; a folder's ends in a slash, a second name's in a tilde."""
        dice = random.Random(1)  # noqa: S311 - to be the same each time
        if self.shape == "flat":
            for number in range(self.files):
                yield f"file-{number:07d}", _size(dice)
        elif self.shape == "deep":
            for number in range(self.files):
                path = f"{number // _CHAIN:05d}/" + "d/" * (number % _CHAIN)
                yield path, 0
                yield path + "file", _size(dice)
        else:
            yield from _wide(self, dice)


TREES = {
    shape: {Size.SMALL: Tree(shape, small), Size.LARGE: Tree(shape, large)}
    for shape, small, large in (
        ("wide", 20_000, 1_000_000),
        ("flat", 20_000, 500_000),
        ("deep", 4_000, 50_000),
        ("linked", 10_000, 200_000),
    )
}


def _create(folder: str, entries: Iterable[tuple[str, int]]) -> int:
    """Put `entries` on disk, folders before what is in them; how many, with the root."""
    inner, at, made = "", os.open(folder, os.O_RDONLY | os.O_DIRECTORY), 1
    for path, size in entries:
        parent, _, name = path.rstrip("/").rpartition("/")
        if parent != inner:
            # From here where it is below, or a long chain takes a time that is squared.
            start = at if parent.startswith(inner + "/") else None
            way = parent[len(inner) + 1 :] if start is not None else f"{folder}/{parent}"
            deeper = os.open(way, os.O_RDONLY | os.O_DIRECTORY, dir_fd=start)
            os.close(at)
            inner, at = parent, deeper
        if path.endswith("/"):
            os.mkdir(name, dir_fd=at)
        elif name.endswith("~"):
            os.link(name[:-1], name, src_dir_fd=at, dst_dir_fd=at)
        else:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
            os.write(fd, b"x" * size)
            os.close(fd)
        made += 1
    os.close(at)
    return made


def _wide(tree: Tree, dice: random.Random) -> Iterator[tuple[str, int]]:
    made = 0
    for number in count():
        top, middle = divmod(number, 30)
        if made >= tree.files:
            return
        if middle == 0:
            yield f"{top:05d}/", 0
        folder = f"{top:05d}/{middle:02d}/"
        yield folder, 0
        for which in range(min(dice.randint(1, 39), tree.files - made)):
            path = f"{folder}{dice.getrandbits(32):08x}-{which}.py"
            yield path, _size(dice)
            if tree.shape == "linked":
                yield path + "~", 0
            made += 1


def _size(dice: random.Random) -> int:
    """Most files of the tree are empty: a walk reads no content."""
    return dice.randint(1, 4096) if dice.random() < 0.1 else 0
