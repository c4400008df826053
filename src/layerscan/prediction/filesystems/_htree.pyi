"""How many blocks an indexed folder of ext4 has."""

import numpy as np
from numpy.typing import NDArray

def indexed_blocks(
    lengths: NDArray[np.int32],
    starts: NDArray[np.int64],
    means: NDArray[np.float64],
    *,
    linear_room: int,
    leaf_room: int,
    block_size: int,
    root_limit: int,
    node_limit: int,
    trials: int,
) -> None:
    """Grow each folder `trials` times, without the GIL; the same at each call.

    Args:
        lengths: bytes of each entry, at least 12, folder by folder, each in the
            order in which they are made. No folder is without any.
        starts: where each folder's entries start in `lengths`, and the last ends.
        means: receives the mean number of blocks of each folder.
        linear_room: bytes for entries while the folder has one block.
        leaf_room: bytes for entries in a leaf of the index, at most 65,536.
        block_size: in bytes.
        root_limit: leaves, or nodes, that the root of the index can have.
        node_limit: leaves that any other block of the index can have.
        trials: how often.

    Raises:
        BufferError: an array is not contiguous, or `means` cannot be written.
        MemoryError: there is none for the largest folder, some 25 bytes a name.
        ValueError: what is given cannot be.
    """
