"""Tars that have a path twice: noted where a tar-split is made of them."""

from __future__ import annotations

import posixpath
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.tar._tar import TarScanner
from tests.builders import tars
from tests.builders.repeated_case import CASES, Case, shared
from tests.builders.tar_case import in_chunks, same, scan
from tests.builders.tars import Entry, tar

if TYPE_CHECKING:
    from layerscan.tar.tree import LayerTree


def scan_for_split(data: bytes, *, seed: int | None = None) -> tuple[LayerTree, str]:
    """The tree of a tar, and the first path that it has twice."""
    scanner = TarScanner(tar_split=True)
    for chunk in [data] if seed is None else in_chunks(data, seed):
        scanner.feed(chunk)
        scanner.take_tar_split()
    return scanner.finish(), scanner.repeated


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_a_path_that_comes_twice_is_noted(case: Case) -> None:
    data = tar(*case.parts)
    tree, repeated = scan_for_split(data)
    assert same(tree, scan(data))
    assert repeated == (case.repeated or "")


def test_the_first_is_noted() -> None:
    data = tar(Entry(b"a", content=b"1"), Entry(b"b", tars.DIR), Entry(b"./a"), Entry(b"b"))
    assert scan_for_split(data)[1] == "a"


def test_without_a_tar_split_none_is_noted() -> None:
    scanner = TarScanner()
    scanner.feed(tar(Entry(b"a"), Entry(b"a")))
    scanner.finish()
    assert scanner.repeated == ""


@pytest.mark.parametrize("length", range(1, 26))
def test_each_bit_of_a_path_counts(length: int) -> None:
    path = b"a" * length
    near = [
        path[:at] + bytes([path[at] ^ 1 << bit]) + path[at + 1 :]
        for at in range(length)
        for bit in (1, 3, 4)
    ]
    assert scan_for_split(tar(*map(Entry, (path, *near))))[1] == ""


@pytest.mark.parametrize("count", [1, 767, 768, 769, 30_000])
def test_of_many_paths_none_is_taken_for_another(count: int) -> None:
    entries = b"".join(Entry(b"d%d/f%d" % (number % 7, number)).dump() for number in range(count))
    tree, repeated = scan_for_split(entries)
    assert (len(tree.kinds), repeated) == (count + min(count, 7) + 1, "")
    for again in {0, count // 2, count - 1}:
        path = b"d%d/f%d" % (again % 7, again)
        assert scan_for_split(entries + Entry(path).dump())[1] == path.decode()


def cleaned(path: str) -> str:
    """What Go's path.Clean makes of it."""
    clean = posixpath.normpath(path)
    # POSIX lets two slashes in front be something else.
    return clean[1:] if clean.startswith("//") else clean


PARTS = st.sampled_from(["a", "b", "..", ".", "", "..a"])
PATHS = st.lists(PARTS, max_size=6).map("/".join)


@given(st.lists(PATHS, max_size=6), st.integers(0, 5))
def test_any_paths_are_the_same_if_go_takes_them_for_the_same(paths: list[str], seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not a secret
    parts = [
        shared(path.encode()) if path and dice.random() < 0.2 else Entry(path.encode(), tars.DIR)
        for path in paths
    ]
    data = tar(*parts)
    tree, repeated = scan_for_split(data, seed=seed)
    assert same(tree, scan(data))
    assert bool(repeated) == (len({cleaned(path) for path in paths}) < len(paths))
