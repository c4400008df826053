"""Trees to measure on: the same names and lengths from the same seed, anywhere.

A tree is made once and kept. A mark beside it holds the hash of what its recipe
gives; before it is used, that hash is compared, and so are the names and
lengths of what is on disk. Whatever differs is made again.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MARK = ".corpus"

_CHAIN = 1000
"""Levels of a chain of folders: a path as long as the kernel takes has 4096 bytes."""


@dataclass(frozen=True)
class Recipe:
    """What a tree looks like.

    Attributes:
        shape: ``wide`` (folders of some 20 files, three levels), ``flat`` (one
            folder), ``deep`` (chains of a thousand folders, a file in each),
            ``linked`` (wide, with a second name for every file).
        files: how many regular files.
        seed: of lengths and of how many files each folder has.
    """

    shape: str
    files: int
    seed: int = 1

    @property
    def name(self) -> str:
        return f"{self.shape}-{self.files}-{self.seed}"


TREES = {
    "small": {
        "wide": Recipe("wide", 20_000),
        "flat": Recipe("flat", 20_000),
        "deep": Recipe("deep", 4_000),
        "linked": Recipe("linked", 10_000),
    },
    "large": {
        "wide": Recipe("wide", 1_000_000),
        "flat": Recipe("flat", 500_000),
        "deep": Recipe("deep", 50_000),
        "linked": Recipe("linked", 200_000),
    },
}
"""The trees by size and shape."""


def make(recipe: Recipe, root: str) -> str:
    """The folder of the tree of `recipe` below `root`, made unless it is there whole."""
    folder = os.path.join(root, recipe.name)
    mark = folder + MARK
    wanted = digest(recipe)
    content = listing_digest(_entries(recipe))
    if read_mark(mark) == wanted and listing_digest(listing(folder)) == content:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    _create(folder, _entries(recipe))
    if listing_digest(listing(folder)) != content:
        raise OSError(f"{folder}: is not what was written; does something else use it?")
    write_mark(mark, wanted)
    return folder


def digest(recipe: Recipe) -> str:
    """The hash of all that a recipe gives, in its order."""
    total = hashlib.sha256()
    for path, size in _entries(recipe):
        total.update(f"{path}\0{size}\n".encode())
    return total.hexdigest()


def read_mark(mark: str) -> str | None:
    """What a mark says, or None where there is none."""
    try:
        with open(mark, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write_mark(mark: str, text: str) -> None:
    """Mark what was made, once it is on disk."""
    os.sync()
    with open(mark, "w", encoding="utf-8") as file:
        file.write(text)


def listing(folder: str) -> Iterator[tuple[str, int]]:
    """Path and length of each entry on disk; a folder's path ends in a slash.

    As in a recipe folders have no length, and neither have second names (``~``).
    """
    pending = [""]
    while pending:
        inner = pending.pop()
        try:
            found = os.scandir(os.path.join(folder, inner))
        except FileNotFoundError:
            return
        with found:
            for entry in found:
                path = inner + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path + "/")
                    yield path + "/", 0
                else:
                    length = entry.stat(follow_symlinks=False).st_size
                    yield path, 0 if path.endswith("~") else length


def listing_digest(entries: Iterable[tuple[str, int]]) -> str:
    """A hash of names and lengths that does not depend on their order."""
    total = 0
    for path, size in entries:
        line = hashlib.blake2b(f"{path}\0{size}".encode(), digest_size=16)
        total += int.from_bytes(line.digest(), "big")
    return f"{total % (1 << 128):032x}"


def _create(folder: str, entries: Iterable[tuple[str, int]]) -> None:
    """Put `entries` on disk; folders come before what is in them."""
    inner, at = "", os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path, size in entries:
            parent, _, name = path.rstrip("/").rpartition("/")
            if parent != inner:
                # From here where it is below, or a long chain takes a time that is squared.
                start = at if parent.startswith(inner + "/") else None
                way = parent[len(inner) + 1 :] if start is not None else f"{folder}/{parent}"
                deeper = os.open(way, os.O_RDONLY | os.O_DIRECTORY, dir_fd=start)
                os.close(at)
                inner, at = parent, deeper
            _create_one(at, name, size, is_folder=path.endswith("/"))
    finally:
        os.close(at)


def _create_one(at: int, name: str, size: int, *, is_folder: bool) -> None:
    if is_folder:
        os.mkdir(name, dir_fd=at)
    elif name.endswith("~"):
        os.link(name[:-1], name, src_dir_fd=at, dst_dir_fd=at)
    else:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
        if size:
            os.write(fd, b"x" * size)
        os.close(fd)


def _entries(recipe: Recipe) -> Iterator[tuple[str, int]]:
    """Each path and its size; a folder's ends in a slash, a second name's in a tilde."""
    dice = random.Random(recipe.seed)  # noqa: S311 - to be the same each time
    if recipe.shape == "flat":
        for number in range(recipe.files):
            yield f"file-{number:07d}", _size(dice)
    elif recipe.shape == "deep":
        yield from _deep(recipe, dice)
    elif recipe.shape in {"wide", "linked"}:
        yield from _wide(recipe, dice)
    else:
        raise ValueError(f"there is no shape {recipe.shape!r}")


def _deep(recipe: Recipe, dice: random.Random) -> Iterator[tuple[str, int]]:
    path = ""
    for number in range(recipe.files):
        if number % _CHAIN == 0:
            path = f"{number // _CHAIN:05d}/"
        else:
            path += "d/"
        yield path, 0
        yield path + "file", _size(dice)


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
