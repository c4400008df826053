"""Trees that count apart: each inode in one of them, and together what du counts."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from layerscan import walk, walk_many

if TYPE_CHECKING:
    from pathlib import Path


def _tree(folder: Path, chance: random.Random) -> tuple[list[str], list[str]]:
    """Folders, files and hard links at random; the folders below `folder`, and the files."""
    folders, files = [str(folder)], []
    for number in range(120):
        folders.append(f"{chance.choice(folders)}/d{number}")
        os.mkdir(folders[-1])
    for number in range(600):
        files.append(f"{chance.choice(folders)}/f{number}")
        with open(files[-1], "wb") as file:
            file.write(b"x" * chance.randrange(20_000))
    for number in range(150):
        os.link(chance.choice(files), f"{chance.choice(folders)}/h{number}")
    return folders[1:], files


def _du(path: Path) -> int:
    done = subprocess.run(["du", "-sk", path], check=True, capture_output=True)
    return int(done.stdout.split()[0]) * 2


@pytest.mark.parametrize("seed", range(5))
def test_together_they_are_what_du_counts(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a tree, no secret
    folders, files = _tree(tmp_path, chance)
    for _ in range(5):
        roots = [*chance.sample(folders, 20), *chance.sample(files, 20), str(tmp_path)]
        chance.shuffle(roots)
        found = walk_many(roots, apart=True, threads=chance.choice([1, 2, 32]))
        assert sum(one.blocks for one in found) == _du(tmp_path)
        assert found == walk_many(roots, apart=True, threads=1)


def test_an_inode_counts_in_the_first_tree_that_names_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "c/file").write_bytes(b"x" * 5000)
    (tmp_path / "c/own").write_bytes(b"x" * 5000)
    os.link(tmp_path / "c/own", tmp_path / "c/again")
    os.link(tmp_path / "c/file", tmp_path / "b/file")
    os.link(tmp_path / "c/file", tmp_path / "b/again")
    empty = walk(tmp_path / "a")
    a, b, c = walk_many([tmp_path / name for name in "abc"], apart=True)
    assert a == empty
    assert (b.files, b.duplicates, b.size) == (1, 1, 5000)
    assert b.shared_blocks == b.blocks - empty.blocks == 16
    assert (c.files, c.duplicates, c.size) == (1, 2, 5000)
    assert c.shared_blocks == 0


def test_names_that_no_tree_has_are_shared_as_well(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"x" * 5000)
    os.link(tmp_path / "tree/file", tmp_path / "outside")
    for roots in ([tmp_path / "tree"], [tmp_path / "tree/file"]):
        (found,) = walk_many(roots, apart=True)
        assert found.files == 1
        assert found.shared_blocks == 16


def test_a_root_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000)
    first, second, third = walk_many([tmp_path, f"{tmp_path}/.", tmp_path / "file"], apart=True)
    assert (first.files, first.directories) == (0, 1)
    assert second.entries == 0
    assert not second.errors
    assert third.files == 1


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    gone, there = walk_many([tmp_path / "gone", tmp_path], apart=True)
    assert [error.errno for error in gone.errors] == [2]
    assert there.directories == 1


def test_borders_are_of_trees_that_count_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="borders only with apart"):
        walk_many([tmp_path], borders=[tmp_path / "x"])


def test_it_takes_no_other_way_of_counting_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of child, count_once and apart"):
        walk_many([tmp_path], apart=True, count_once=True)
    with pytest.raises(ValueError, match="one of child, count_once and apart"):
        walk_many([tmp_path], apart=True, child="x")


def test_a_root_that_is_exchanged_before_its_turn_is_told(tmp_path: Path) -> None:
    # One thread has enough to do in the first tree while the others are exchanged.
    many, one, other, aside = (tmp_path / name for name in ("many", "one", "other", "aside"))
    for folder in (many, one, other):
        folder.mkdir()
    for number in range(20_000):
        os.mknod(many / str(number))

    def exchange() -> None:
        time.sleep(0.002)
        one.rename(aside)
        other.rename(one)
        aside.rename(other)

    def told() -> list[int]:
        with ThreadPoolExecutor(1) as pool:
            exchanged = pool.submit(exchange)
            found = walk_many([many, one, other], threads=1, apart=True)
            exchanged.result()
        assert found[0].files == 20_000
        return [fault.errno for usage in found[1:] for fault in usage.errors]

    # Whether it was before their turn, the machine's load decides.
    assert any(told() == [errno.ENOENT] * 2 for _ in range(100))
