"""Several trees of which none counts again what one before it has counted, as du does it."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerscan import walk, walk_many
from tests.builders.tree import Dir, File, apply

if TYPE_CHECKING:
    from pathlib import Path


def du(paths: list[str]) -> dict[str, int]:
    """What du says of each path, in KiB; what it has counted before it leaves out."""
    done = subprocess.run(["du", "-sk", *paths], check=True, capture_output=True, text=True)
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {path: int(size) for size, path in lines}


@pytest.mark.parametrize("seed", range(10))
def test_it_is_what_du_says(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a tree, no secret
    folders, files = [str(tmp_path)], []
    for number in range(40):
        folders.append(f"{chance.choice(folders)}/d{number}")
        os.mkdir(folders[-1])
    for number in range(120):
        files.append(f"{chance.choice(folders)}/f{number}")
        with open(files[-1], "wb") as file:
            file.write(b"x" * chance.randrange(20_000))
    for number in range(40):
        os.link(chance.choice(files), f"{chance.choice(folders)}/h{number}")
    paths = chance.sample(folders, 8) + chance.sample(files, 4)
    found = walk_many(paths, count_once=True)
    told = {path: one.usage // 1024 for path, one in zip(paths, found, strict=True) if one.entries}
    assert told == du(paths)


def test_a_tree_with_all_below_it_counts_in_the_first(tmp_path: Path) -> None:
    apply(tmp_path, File("a/b/f", size=5000), Dir("a/c"), File("g", size=9000))
    inner, outer, again = walk_many([tmp_path / "a", tmp_path, tmp_path / "a/b"], count_once=True)
    assert inner == walk(tmp_path / "a")
    assert (outer.directories, outer.files, outer.size) == (1, 1, 9000)
    assert again.entries == 0
    assert inner.blocks + outer.blocks == walk(tmp_path).blocks
