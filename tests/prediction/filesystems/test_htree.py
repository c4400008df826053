"""The growth of indexed folders in C against the same in plain Python.

That the plain one comes to what ext4 does, `tests/prediction/filesystems/test_ext4.py` shows.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.prediction.filesystems._htree import indexed_blocks
from tests.oracles.htree import blocks_of, entry_length, made_up, measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK_SIZES = (1024, 2048, 4096, 65536)


def means(*folders: Sequence[int], block_size: int = 4096, trials: int = 1) -> list[float]:
    lengths = np.array(list(chain(*folders)), dtype=np.int32)
    starts = np.cumsum([0, *map(len, folders)], dtype=np.int64)
    found = np.empty(len(folders))
    indexed_blocks(lengths, starts, found, trials=trials, **measures(block_size))
    return found.tolist()


@given(
    lengths=st.lists(st.integers(1, 255), min_size=1, max_size=600),
    times=st.sampled_from((1, 1, 1, 7)),
    block_size=st.sampled_from(BLOCK_SIZES),
)
def test_compiled_growth_is_the_plain_one(lengths: list[int], times: int, block_size: int) -> None:
    entries = [entry_length(one) for one in lengths * times]
    assert means(entries, block_size=block_size) == [blocks_of(made_up(entries), block_size)]


@pytest.mark.parametrize(("names", "block_size"), [(2000, 1024), (10_000, 4096)])
def test_levels_of_the_index(names: int, block_size: int) -> None:
    # So many that the index needs a level below its root, whose blocks are split.
    entries = [264] * names
    assert means(entries, block_size=block_size) == [blocks_of(made_up(entries), block_size)]


def test_mean_of_several_is_what_each_time_is_near() -> None:
    entries = [entry_length(20)] * 3000
    (once,), (often,) = means(entries), means(entries, trials=100)
    assert [often] == means(entries, trials=100)
    assert 0.85 * once < often < 1.15 * once


def test_leaves_full_of_the_shortest_names() -> None:
    entries = [entry_length(1)] * 12_000
    assert means(entries, block_size=65_536) == [blocks_of(made_up(entries), 65_536)]


def test_room_for_one_of_the_shortest_names_is_the_least() -> None:
    arguments = measures(4096)
    for room in (12, 13):
        found = np.empty(1)
        indexed_blocks(
            np.array([12], np.int32),
            np.array([0, 1], np.int64),
            found,
            trials=1,
            **arguments | {"linear_room": room},
        )
        assert found[0] >= 1


def test_several_folders_at_a_time() -> None:
    folders = [[12] * 3, [264] * 500, [entry_length(30)] * 102]
    small, large, split = means(*folders, trials=16)
    # Each has hashes of its own, so of a large one only about the same comes out.
    assert (small, split) == (1, 3)
    assert large == pytest.approx(means(folders[1], trials=16)[0], rel=0.1)


@pytest.mark.parametrize(
    ("starts", "wrong"),
    [
        ([0, 2], {}),
        ([1, 1], {}),
        ([0], {}),
        ([0, 0, 1], {}),
        ([0, 1], {"linear_room": 11}),
        ([0, 1], {"leaf_room": 65_537}),
        ([0, 1], {"root_limit": 1}),
        ([0, 1], {"node_limit": 500}),
        ([0, 1], {"trials": 0}),
    ],
)
def test_what_is_no_folder_is_refused(starts: list[int], wrong: dict[str, int]) -> None:
    arguments = {"trials": 1} | measures(4096) | wrong
    with pytest.raises(ValueError, match="folder"):
        indexed_blocks(
            np.array([12], dtype=np.int32),
            np.array(starts, dtype=np.int64),
            np.empty(max(1, len(starts) - 1)),
            **arguments,
        )


def test_starts_of_more_folders_than_there_are_means_are_refused() -> None:
    starts = np.array([0, 1, 1], dtype=np.int64)
    with pytest.raises(ValueError, match="starts do not fit"):
        indexed_blocks(ARRAYS[0], starts, ARRAYS[2], trials=1, **measures(4096))


ARRAYS = (np.array([12], np.int32), np.array([0, 1], np.int64), np.empty(1))


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, np.array([12], np.int64)),
        (0, np.array([12], np.float32)),
        (0, np.array([[12]], np.int32)),
        (0, np.array([12] * 4, np.int32)[::2]),
        (1, np.array([0, 1], np.int32)),
        (1, np.array([0, 1], np.uint64)),
        (2, np.empty(1, np.float32)),
        (2, np.frombuffer(bytes(8))),
    ],
)
def test_what_is_no_such_array_is_refused(place: int, wrong: NDArray[Any]) -> None:
    arrays: list[Any] = [*ARRAYS[:place], wrong, *ARRAYS[place + 1 :]]
    views: list[Any] = [memoryview(array) for array in arrays]
    with pytest.raises((ValueError, BufferError)):
        indexed_blocks(views[0], views[1], views[2], trials=1, **measures(4096))
    for view in views:
        # It would say so if its memory were still in use.
        view.release()
