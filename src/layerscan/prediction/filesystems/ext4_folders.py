"""Folders of ext4: how their entries fill blocks, and when there is an index; lists of pieces.

The layout is in the kernel's documentation "ext4 Data Structures and Algorithms",
sections "Directory Entries" and, of pieces, "Extent Tree"; how an index grows, in
``fs/ext4/namei.c``.
"""

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems._htree import indexed_blocks
from layerscan.prediction.filesystems.columns import per_inode
from layerscan.tar.tree import LayerTree

# In bytes.
_ENTRY_HEADER = 8  # of an entry before its name: inode, lengths, kind
_ALIGNMENT = 4  # of entries: their lengths are multiples of it
_DOTS = 12 + 12  # of the entries "." and "..", in a folder's first block only
_TAIL = 12  # of each block of entries, for its checksum (metadata_csum)
_INDEX_ENTRY, _INDEX_TAIL = 8, 8  # of an entry in a block of the index, and of its checksum
_ROOT_INFO = 8  # before the entries in the root of the index, after the dots
_FAKE_ENTRY = 8  # before the entries in its other blocks
_LONGEST_NAME = 255
_EXTENT, _EXTENTS_HEADER = 12, 12  # of a piece in a block of the list, and before them

LONGEST_EXTENT = 32_768  # blocks of the longest piece
_IN_INODE = 4  # pieces that are listed in the inode itself, or blocks of the list

# An index is grown several times for a mean, but over so many entries in all.
_MOST_TRIALS = 16
_ENTRIES_TRIED = 200_000


def extent_blocks(extents: NDArray[np.int64], block_size: int) -> NDArray[np.int64]:
    """How many blocks list the pieces of each file or folder, which has so many."""
    in_block = (block_size - _EXTENTS_HEADER) // _EXTENT
    blocks = level = np.where(extents > _IN_INODE, -(-extents // in_block), 0)
    while (level > _IN_INODE).any():
        level = np.where(level > _IN_INODE, -(-level // in_block), 0)
        blocks = blocks + level
    return blocks


class Folders:
    """Counts what a tree's folders take, in units: blocks, or clusters where there are some.

    - An entry takes 8 bytes and its name, rounded up to a multiple of 4.
    - Entries fill one block after ``.`` and ``..``, up to the tail for a checksum.
    - With the first entry that does not fit, the folder gets an index
      (``dir_index``): the first block becomes its root, and two leaves have the
      entries. A leaf that an entry does not fit into is split by the hashes of
      its names, half of the bytes to each side; so leaves are some 70 % full.
    - The root points to 507 leaves of 4 KiB, or to 123 of 1 KiB. Beyond that a
      level of blocks comes between, which split in the middle when they are full.

    What is not known is the hash: each file system has a seed of its own. See
    `layerscan.prediction.filesystems._htree`.

    A folder whose blocks are not in a row has a list of its pieces, as a file. That
    they are not, where other inodes take blocks meanwhile, was measured here.
    """

    def __init__(self, block_size: int, unit: int) -> None:
        self._block_size = block_size
        self._in_unit = unit // block_size

    def units(self, tree: LayerTree, at_once: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean number of units of each inode, were it a folder. Shape (inodes,).

        `at_once` says which inodes take blocks when they are made. Shape (inodes,).
        """
        inodes = len(tree.kinds)
        lengths = np.clip(tree.name_lengths, 1, _LONGEST_NAME)
        entries = (lengths + (_ENTRY_HEADER + _ALIGNMENT - 1)) & -_ALIGNMENT
        filled = per_inode(tree.name_directories, entries, inodes)
        units = np.ones(inodes)
        (large,) = np.nonzero(filled > self._block_size - _TAIL - _DOTS)
        if len(large):
            names, starts = _names_of(large, tree.name_directories, inodes)
            means = self._indexed(entries[names], starts)
            if self._in_unit > 1:
                means = np.ceil(np.rint(means) / self._in_unit)
            taken = np.cumsum(at_once[tree.name_inodes], dtype=np.int64)
            extents = _extents(np.rint(means).astype(np.int64), taken[names], starts)
            units[large] = means + extent_blocks(extents, self._block_size)
        return units

    def _indexed(
        self, entries: NDArray[np.int32], starts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Mean number of blocks, by what is in them, of each folder of several."""
        means = np.empty(len(starts) - 1)
        indexed_blocks(
            np.ascontiguousarray(entries, dtype=np.int32),
            starts,
            means,
            linear_room=self._block_size - _TAIL - _DOTS,
            leaf_room=self._block_size - _TAIL,
            block_size=self._block_size,
            root_limit=(self._block_size - _DOTS - _ROOT_INFO - _INDEX_TAIL) // _INDEX_ENTRY,
            node_limit=(self._block_size - _FAKE_ENTRY - _INDEX_TAIL) // _INDEX_ENTRY,
            trials=max(1, min(_MOST_TRIALS, _ENTRIES_TRIED // len(entries))),
        )
        return means


def _names_of(
    large: NDArray[np.intp], directories: NDArray[np.int32], inodes: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The names in each of some folders, in the order in which they are made.

    As indices, folder by folder; and where in them each folder starts, and the last ends.
    """
    is_large = np.zeros(inodes, dtype=bool)
    is_large[large] = True
    (names,) = np.nonzero(is_large[directories])
    names = names[np.argsort(directories[names], kind="stable")]
    starts = np.searchsorted(directories[names], large)
    return names, np.append(starts, len(names)).astype(np.int64)


def _extents(
    units: NDArray[np.int64], taken: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """In how many pieces each folder lies.

    A folder's units come one by one, as its names do. The next one lies behind the
    last unless another inode has taken that place meanwhile: `taken` has for each name
    how many inodes had taken blocks until it came.
    """
    whose = np.repeat(np.arange(len(units)), units)
    number = np.arange(len(whose)) - np.repeat(np.cumsum(units) - units, units)
    names = np.diff(starts)
    came = starts[:-1][whose] + number * names[whose] // units[whose]
    is_apart = np.append(False, np.diff(taken[came]) > 0) & (number > 0)
    return per_inode(whose.astype(np.int32), is_apart, len(units)) + 1
