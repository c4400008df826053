"""The largest folders and files of a tree: what is given, by which rule, and within bounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from layerscan import walk
from layerscan.walking.largest import LargeEntry, TooManyEntriesError, largest
from layerscan.walking.walker import BLOCK
from tests.builders.tree import Dir, File, Link, Symlink, apply, many

if TYPE_CHECKING:
    from pathlib import Path


def flat(entries: tuple[LargeEntry, ...], above: str = "") -> dict[str, int]:
    found = {}
    for one in entries:
        found[above + one.name] = one.usage
        found |= flat(one.inside, f"{above}{one.name}/")
        assert sum(inner.usage for inner in one.inside) <= one.usage
        assert [inner.usage for inner in one.inside] == sorted(
            (inner.usage for inner in one.inside), reverse=True
        )
    return found


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = str(tmp_path / "tree")
    os.mkdir(root)
    apply(
        root,
        File("usr/lib/big", size=400_000),
        Link("usr/lib/again", "usr/lib/big"),
        File("usr/bin/tool", size=90_000),
        Symlink("lib", "usr/lib"),
        Dir("empty"),
        *many("small", 50, size=100),
    )
    return root


def test_it_counts_as_the_walk_does(root: str) -> None:
    found = largest([root], most=1000, most_entries=1000)
    usage = walk(root)
    assert found.usage == usage.blocks * BLOCK
    assert found.looked_at == usage.entries
    assert found.unread == 0
    entries = flat(found.entries)
    (big,) = {entries.get("usr/lib/big"), entries.get("usr/lib/again")} - {None}
    assert big == os.stat(f"{root}/usr/lib/big").st_blocks * BLOCK
    assert entries["usr"] == walk(f"{root}/usr").blocks * BLOCK
    # Less than a hundredth.
    assert "empty" not in entries
    assert "lib/big" not in entries


def test_the_largest_come_first_and_only_so_many(root: str) -> None:
    assert [*flat(largest([root], most=2, most_entries=1000).entries)] == ["usr", "usr/lib"]
    assert largest([root], most=0, most_entries=1000).entries == ()


def test_more_entries_than_may_be_looked_at_are_refused(root: str) -> None:
    number = largest([root], most=1, most_entries=1000).looked_at
    assert largest([root], most=1, most_entries=number).looked_at == number
    with pytest.raises(TooManyEntriesError):
        largest([root], most=1, most_entries=number - 1)


def test_several_paths_are_named_and_what_is_apart_is_not_looked_at(root: str) -> None:
    found = largest(
        [f"{root}/usr", f"{root}/small/f00000", f"{root}/gone"],
        apart=[f"{root}/usr/bin"],
        most=1000,
        most_entries=1000,
    )
    bins = walk(f"{root}/usr/bin").blocks * BLOCK
    small = os.stat(f"{root}/small/f00000").st_blocks * BLOCK
    assert found.usage == walk(f"{root}/usr").blocks * BLOCK - bins + small
    assert f"{root}/usr/lib" in flat(found.entries)


def test_very_deep_folders_are_left_out_and_counted(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=at)
        deeper = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    found = largest([str(tmp_path)], most=10, most_entries=10_000)
    assert found.unread == 1
    assert found.looked_at == 101


def test_what_may_not_be_read_is_counted(root: str) -> None:
    with mock.patch("os.open", side_effect=PermissionError):
        found = largest([root], most=10, most_entries=1000)
    assert (found.unread, found.entries) == (1, (LargeEntry(root, found.usage, is_folder=True),))
    with mock.patch("os.open", side_effect=FileNotFoundError):
        assert largest([root], most=10, most_entries=1000).entries == ()


def test_a_symbolic_link_in_a_folders_place_is_not_followed(root: str, tmp_path: Path) -> None:
    os.symlink(root, tmp_path / "link")
    found = largest([str(tmp_path / "link")], most=10, most_entries=1000)
    assert found.looked_at == 1
