"""Trees and stores to measure on: the same bytes from the same seed, anywhere.

A corpus is made once and kept; a mark beside it holds the hash of what was
made, and `make` refuses a folder whose mark is not what the recipe gives.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = ".corpus"


@dataclass(frozen=True)
class Recipe:
    """What a tree looks like.

    Attributes:
        shape: ``wide`` (folders of some 20 files, three levels), ``flat`` (one
            folder), ``deep`` (one chain of folders), ``linked`` (wide, with a
            second name for every file).
        files: how many regular files.
        seed: of sizes and of how many files each folder has.
    """

    shape: str
    files: int
    seed: int = 1

    @property
    def name(self) -> str:
        return f"{self.shape}-{self.files}-{self.seed}"


def make(recipe: Recipe, root: str) -> str:
    """The folder of the tree of `recipe` below `root`, made unless it is there."""
    folder = os.path.join(root, recipe.name)
    mark = folder + _MARK
    wanted = _digest(recipe)
    if os.path.exists(mark):
        with open(mark) as file:
            if file.read() == wanted:
                return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for path, size in _entries(recipe):
        _create(folder, path, size)
    with open(mark, "w") as file:
        file.write(wanted)
    os.sync()
    return folder


def _create(folder: str, path: str, size: int) -> None:
    whole = f"{folder}/{path}"
    if path.endswith("/"):
        os.mkdir(whole)
    elif path.endswith("~"):
        os.link(whole[:-1], whole)
    else:
        fd = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        if size:
            os.write(fd, b"x" * size)
        os.close(fd)


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256()
    for path, size in _entries(recipe):
        digest.update(f"{path}\0{size}\n".encode())
    return digest.hexdigest()


def _entries(recipe: Recipe) -> Iterator[tuple[str, int]]:
    """Each path and its size; a folder's ends in a slash, a second name's in a tilde."""
    dice = random.Random(recipe.seed)  # noqa: S311 - to be the same each time
    if recipe.shape == "flat":
        for number in range(recipe.files):
            yield f"file-{number:07d}", _size(dice)
    elif recipe.shape == "deep":
        path = ""
        for _ in range(recipe.files):
            path += "d/"
            yield path, 0
            yield path + "file", _size(dice)
    else:
        yield from _wide(recipe, dice)


def _wide(recipe: Recipe, dice: random.Random) -> Iterator[tuple[str, int]]:
    made = 0
    top = 0
    while made < recipe.files:
        yield f"{top:05d}/", 0
        for middle in range(30):
            if made >= recipe.files:
                return
            folder = f"{top:05d}/{middle:02d}/"
            yield folder, 0
            for number in range(min(dice.randint(1, 39), recipe.files - made)):
                path = f"{folder}{dice.getrandbits(32):08x}-{number}.py"
                yield path, _size(dice)
                if recipe.shape == "linked":
                    yield path + "~", 0
                made += 1
        top += 1


def _size(dice: random.Random) -> int:
    """Most files of the tree are empty: a walk reads no content."""
    return dice.randint(1, 4096) if dice.random() < 0.1 else 0
