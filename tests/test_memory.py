"""The compiled parts give back all memory that they take, also when they fail."""

from __future__ import annotations

import ctypes
import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from layerscan.prediction.filesystems._htree import indexed_blocks
from layerscan.tar._tar import TarFault, TarScanner
from layerscan.walking.table import file_table
from layerscan.walking.walker import walk_many
from tests.builders import tars
from tests.builders.tars import Entry, header, record, special
from tests.builders.tree import Link, apply, many
from tests.requirements import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIMES = 40
# What Python and the C library keep meanwhile.
SPARE = 24 << 10


class Figures(ctypes.Structure):
    """The C library's `struct mallinfo2`; see mallinfo(3)."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def in_use() -> int:
    """Bytes that the C library has given out, those mapped apart included."""
    library = ctypes.CDLL(None)
    require(hasattr(library, "mallinfo2"), "the C library does not tell what it has given out")
    library.mallinfo2.restype = Figures
    gc.collect()
    figures = library.mallinfo2()
    return int(figures.uordblks) + int(figures.hblkhd)


def assert_gives_back(run: Callable[[], object]) -> None:
    for _ in range(3):
        run()
    before = in_use()
    for _ in range(TIMES):
        run()
    assert in_use() - before < SPARE


def stream(*more: bytes) -> bytes:
    """A layer with what the scanner has a table for, each large enough to grow."""
    pieces = tuple((place * 10, 5) for place in range(500))
    return b"".join(
        (
            *(Entry(b"d/f%d" % n).dump() for n in range(700)),
            *(Entry(b"d%d/" % n, tars.DIR).dump() for n in range(100)),
            *(Entry(b"x%d" % n, xattrs=((b"user.a", b"b"),)).dump() for n in range(100)),
            *(Entry(b"s%d" % n, tars.SYMLINK, link=b"t" * 200).dump() for n in range(100)),
            tars.sparse_0(b"0", 1 << 20, pieces),
            tars.sparse_1(b"1", 1 << 20, pieces),
            *more,
        )
    )


def scanned(data: bytes, *, tar_split: bool) -> None:
    scanner = TarScanner(tar_split=tar_split)
    scanner.feed(data)
    scanner.take_tar_split()
    scanner.finish()


@pytest.mark.slow
@pytest.mark.parametrize("tar_split", [False, True])
def test_scanner_of_a_whole_stream(tar_split: bool) -> None:  # noqa: FBT001
    data = stream(tars.END)
    assert_gives_back(lambda: scanned(data, tar_split=tar_split))


@pytest.mark.slow
@pytest.mark.parametrize("tar_split", [False, True])
@pytest.mark.parametrize(
    "last",
    [
        header(b"n" * 90, type=b"7"),
        special(b"x", record(b"path", b"p" * 5000)) + header(),
        header(b"cut off", size=5),
    ],
    ids=["refused", "too long", "cut off"],
)
def test_scanner_of_a_stream_that_is_refused(last: bytes, tar_split: bool) -> None:  # noqa: FBT001
    data = stream(last)

    def refused() -> None:
        with pytest.raises(TarFault):
            scanned(data, tar_split=tar_split)

    assert_gives_back(refused)


LONG = b"/".join([b"n" * 200] * 15)
LONG_LINK = b"/".join([b"t" * 200] * 15)


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        special(b"x", record(b"path", LONG) + record(b"linkpath", LONG_LINK)),
        special(b"L", LONG + b"\0") + special(b"K", LONG_LINK + b"\0"),
    ],
    ids=["pax", "gnu"],
)
def test_scanner_of_a_long_path_that_comes_twice(before: bytes) -> None:
    # All that it keeps of names is longer than what one may keep meanwhile.
    data = (before + header(b"n", type=tars.SYMLINK)) * 2 + tars.END

    def repeated() -> None:
        scanner = TarScanner(tar_split=True)
        scanner.feed(data)
        scanner.finish()
        assert scanner.repeated.startswith("n" * 200)

    assert_gives_back(repeated)


@pytest.mark.slow
def test_scanner_that_is_given_up() -> None:
    data = stream()
    assert_gives_back(lambda: TarScanner(tar_split=True).feed(data))


@pytest.mark.slow
def test_growth_of_a_folder() -> None:
    lengths = np.full(3000, 20, dtype=np.int32)
    starts = np.array([0, 3000], dtype=np.int64)
    measures = {"linear_room": 4084, "leaf_room": 4084, "block_size": 4096}
    limits = {"root_limit": 508, "node_limit": 511, "trials": 2}

    def grown(**more: int) -> None:
        indexed_blocks(lengths, starts, np.zeros(1), **{**measures, **limits, **more})

    assert_gives_back(grown)

    def refused() -> None:
        with pytest.raises(ValueError, match="measures"):
            grown(leaf_room=1 << 20)

    assert_gives_back(refused)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_walks(tmp_path: Path, threads: int) -> None:
    root = str(tmp_path)
    apply(root, *many("a", 600, size=1), *many("a/b/c/d", 600, size=1))
    apply(root, *(Link(f"l{n}", f"a/f{n:05}") for n in range(400)))

    def walked() -> None:
        walk_many([root, f"{root}/a"], child="a", threads=threads)
        walk_many([root, f"{root}/a"], threads=threads, count_once=True)
        file_table(root, threads=threads)

    assert_gives_back(walked)
