"""The lists of pieces (extents) of ext4's files and folders.

See "The Contents of inode.i_block", "Extent Tree", in the kernel's documentation
"ext4 Data Structures and Algorithms".
"""

import numpy as np
from numpy.typing import NDArray

LONGEST_EXTENT = 32_768
"""Blocks of the longest piece."""

_IN_INODE = 4
"""So many pieces are listed in the inode itself, or so many blocks of the list."""

_EXTENT = 12
_HEADER = 12
"""Bytes of a piece in a block of the list, and before them."""


def extent_blocks(extents: NDArray[np.int64], block_size: int) -> NDArray[np.int64]:
    """How many blocks list the pieces of each inode, which has so many.

    Args:
        extents: pieces of each inode. Shape (inodes,).
        block_size: in bytes.
    """
    in_block = (block_size - _HEADER) // _EXTENT
    blocks = np.where(extents > _IN_INODE, -(-extents // in_block), 0)
    level = blocks
    while (level > _IN_INODE).any():
        level = np.where(level > _IN_INODE, -(-level // in_block), 0)
        blocks = blocks + level
    return blocks
