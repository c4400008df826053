"""File tables: the same inodes as the walk, in columns."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan import Kind, block_histogram, file_table, usage_with_block_size, walk, walk_many
from layerscan.walking.table import BLOCK_SIZES, ROW
from tests.builders.tree import Dir, Fifo, File, Link, Sparse, Symlink, apply, many
from tests.builders.user import as_nobody


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    apply(
        tmp_path,
        File("a/f", size=5000),
        Link("a/g", "a/f"),
        File("a/b/c/deep", size=1),
        Sparse("sparse", 1 << 30),
        Symlink("link", "x" * 200),
        Fifo("fifo"),
        *many("many", 3000, size=3),
    )
    return tmp_path


def expected_rows(root: Path) -> set[tuple[int, int, int, int, int, int]]:
    """The rows as plain Python finds them, an inode's least depth counting."""
    rows: dict[int, tuple[int, int, int, int, int, int]] = {}
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        here = [(Path(folder), depth)] if depth == 0 else []
        for path, at in [*here, *((Path(folder) / name, depth + 1) for name in folders + files)]:
            found = path.lstat()
            rows[found.st_ino] = (
                found.st_ino,
                found.st_size,
                found.st_blocks,
                found.st_nlink,
                at,
                found.st_mode >> 12,
            )
    return set(rows.values())


@pytest.mark.parametrize("threads", [1, 32, None])
def test_a_row_for_each_inode(tree: Path, threads: int | None) -> None:
    table = file_table(tree, threads=threads)
    assert {tuple(row) for row in table.tolist()} == expected_rows(tree)
    assert table.dtype == ROW
    assert (np.diff(table["inode"].astype(np.int64)) > 0).all()
    usage = walk(tree)
    assert int(table["blocks"].sum()) == usage.blocks
    assert int(table["size"][table["kind"] != Kind.DIRECTORY].sum()) == usage.size
    assert len(table) == usage.entries - usage.duplicates


def test_the_table_is_the_callers_own(tree: Path) -> None:
    table = file_table(tree)
    table["size"] = 0
    assert table.flags.writeable
    assert file_table(tree)["size"].any()


def test_a_root_that_is_a_file_is_one_row(tree: Path) -> None:
    table = file_table(tree / "a/f")
    assert len(table) == 1
    assert table[0]["depth"] == 0
    assert table[0]["kind"] == Kind.FILE


def test_entries_are_looked_at_in_the_order_of_their_inodes(tmp_path: Path) -> None:
    # Disks keep neighbours together. Names do not come in that order: they are hashed.
    for number in range(500):
        os.mknod(tmp_path / str(number))
    inodes = file_table(tmp_path, threads=1)["inode"][1:].tolist()
    assert inodes == sorted(inodes)


def test_a_missing_root_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_table(tmp_path / "nowhere")


def test_a_table_with_rows_missing_is_none(open_path: Path) -> None:
    apply(open_path, Dir("x", mode=0), Dir("y", mode=0))

    def refused() -> tuple[str, list[str]]:
        with pytest.raises(PermissionError) as caught:
            file_table(open_path)
        return str(caught.value.filename), caught.value.__notes__

    assert as_nobody(refused) == (f"{open_path}/x", ["and 1 more entries could not be read"])


def test_tables_and_walks_in_several_threads_at_once(tree: Path) -> None:
    expected, usage = file_table(tree), walk(tree)
    with ThreadPoolExecutor(8) as pool:
        tables = [pool.submit(file_table, tree) for _ in range(8)]
        walks = [pool.submit(walk, tree) for _ in range(8)]
    for table in tables:
        # Of an inode with several names, the depth is that of one of them.
        assert (table.result()["inode"] == expected["inode"]).all()
        assert (table.result()["blocks"] == expected["blocks"]).all()
    assert {done.result() for done in walks} == {usage}


def test_another_thread_can_cancel(tree: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(InterruptedError, match="cancelled"):
        walk_many([tree] * 100_000, cancel=cancel)
    assert time.monotonic() - started < 3
    with pytest.raises(InterruptedError, match="cancelled"):
        file_table(os.path.dirname(os.__file__), cancel=cancel)


def test_the_same_tree_with_other_blocks(tree: Path) -> None:
    table = file_table(tree)
    histogram = block_histogram(table)
    assert tuple(histogram) == BLOCK_SIZES == (1024, 2048, 4096, 8192, 16384, 32768, 65536)
    for size in BLOCK_SIZES:
        expected = 0
        for row in table:
            is_file = row["kind"] == Kind.FILE
            taken = int(row["size"]) if is_file else int(row["blocks"]) * 512
            expected += -(-taken // size) * size
        assert histogram[size] == usage_with_block_size(table, size) == expected


def test_blocks_of_what_files_take_now_give_what_they_take_now(tmp_path: Path) -> None:
    apply(tmp_path, *many("f", 500, size=3000), File("large", size=100_000))
    block_size = os.statvfs(tmp_path).f_bsize
    assert usage_with_block_size(file_table(tmp_path), block_size) == walk(tmp_path).usage


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, (1 << 63) - 1), max_size=20), block_size=st.integers(1, 1 << 40)
)
def test_usage_is_exact_whatever_the_figures(sizes: list[int], block_size: int) -> None:
    table = np.zeros(len(sizes), ROW)
    table["size"] = sizes
    table["kind"] = Kind.FILE
    expected = sum(-(-size // block_size) * block_size for size in sizes)
    assert usage_with_block_size(table, block_size) == expected


def test_a_block_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        usage_with_block_size(file_table(tmp_path), 0)
