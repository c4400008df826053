"""Images of many kinds of inodes, for file systems to show what these take."""

from __future__ import annotations

import random
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from tests.builders import tars
from tests.builders.tree import (
    Device,
    Dir,
    Fifo,
    File,
    Link,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
    many,
    tar_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.builders.tree import Op

MEBIBYTE = 1 << 20


def folders(*sizes: int) -> Iterator[Op]:
    """Folders of so many names, which are of many lengths."""
    lengths = random.Random(1)  # noqa: S311 - no secret
    for names in sizes:
        for number in range(names):
            name = f"{number:x}" + "n" * lengths.randrange(40)
            yield File(f"of{names}/{name}", size=1 + lengths.randrange(3000), seed=number)


def small_files(mean: int) -> Iterator[Op]:
    sizes = random.Random(2)  # noqa: S311 - no secret
    for folder in range(200):
        for number in range(sizes.choice((1, 3, 10, 30, 60))):
            size = int(sizes.expovariate(1 / mean))
            yield File(f"small/{folder}/{number}-{'n' * (folder % 50)}", size=size, seed=number)


def grown_among_others() -> Iterator[Op]:
    """Folders whose blocks cannot lie in a row: other inodes take blocks meanwhile."""
    for number in range(500):
        yield Dir(f"among/folders/{number:04d}-a-name-of-some-length")
        yield Symlink(f"among/links/{number:04d}", "t" * (80 if number % 2 else 20))


def links(*targets: int) -> Iterator[Op]:
    yield from (Symlink(f"links/{length}", "t" * length) for length in targets)
    yield from many("links/files", 50, size=5000, seed=5)
    for number in range(2000):
        yield Link(f"links/more/{number}", f"links/files/f{number % 50:05d}")


def large_files() -> Iterator[Op]:
    # On ext4 with blocks of 1 KiB it needs a list of its pieces.
    yield Sparse("large/160", 160 * MEBIBYTE + 1)
    yield from many("large/more", 8, size=MEBIBYTE + 17, seed=6)


def taken_away() -> Iterator[Op]:
    """Of what other layers have."""
    yield from (Whiteout(f"of1000/{number:x}") for number in range(100))
    yield Opaque("links")
    yield File("links/new", size=3)
    yield Fifo("special/fifo")


ODD = (
    File(b"names/" + b"n" * 255, size=5000),
    File(b"names/new\nline \xff", size=5000),
    Device("special/null"),
)


def attributes_tar(*lengths: int) -> bytes:
    """Attributes that stay in their inodes, and such that do not; no two are alike."""
    entries = []
    for length in lengths:
        xattrs = ((b"user.x", b"v" * length),)
        entries.append(tars.Entry(b"attributes/f%d" % length, content=b"c", xattrs=xattrs))
        xattrs = ((b"user.y", b"v" * length),)
        entries.append(tars.Entry(b"attributes/d%d" % length, tars.DIR, xattrs=xattrs))
    return tars.tar(*entries)


class Shapes(NamedTuple):
    """What an image of many kinds of inodes is of.

    Attributes:
        name: of the image.
        trees: each makes a layer.
        attributes: lengths of those of another layer.
    """

    name: str
    trees: tuple[Callable[[], Iterable[Op]], ...]
    attributes: tuple[int, ...]

    def tars(self) -> Iterator[bytes]:
        for tree in self.trees:
            yield b"".join(tar_stream(tree()))
        yield attributes_tar(*self.attributes)


FOR_EXT4 = Shapes(
    "predict/ext4:1",
    (
        partial(folders, 1, 10, 100, 1000, 12_000),
        partial(small_files, 3000),
        grown_among_others,
        partial(links, 1, 59, 60, 61, 1000),
        lambda: chain(large_files(), [Sparse("large/20", 20 * MEBIBYTE, ((5, b"data"),))]),
        lambda: chain(taken_away(), ODD),
    ),
    (0, 20, 40, *range(60, 76), 100, 500, 800),
)
FOR_OTHERS = Shapes(
    "predict/others:1",
    (
        partial(folders, 1, 10, 20, 100, 1000, 12_000),
        partial(small_files, 6000),
        partial(links, 1, 336, 337, 1000),
        large_files,
        taken_away,
    ),
    (0, 20, 100, 200, 254, 255, 500, 3000, 5000),
)

FOR_SMALL_NODES = FOR_OTHERS._replace(
    name="predict/small-nodes:1",
    # A leaf of 4 KiB holds no longer one.
    attributes=tuple(length for length in FOR_OTHERS.attributes if length < 3900),
)
