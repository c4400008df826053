"""The growth of a folder of ext4: its bytes are the lengths of names, as a layer may have them."""

from __future__ import annotations

import numpy as np

from layerscan.prediction.filesystems._htree import indexed_blocks
from tests.oracles.htree import entry_length, measures

LONGEST = 16 * 1024


def run(data: bytes) -> None:
    if not data:
        return
    lengths = np.array([entry_length(name) for name in data], np.int32)
    block_size = 1024 << data[0] % 3
    starts = np.array(sorted({0, len(data) // 2, len(data)}), np.int64)
    found, again = np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    for means in (found, again):
        indexed_blocks(lengths, starts, means, trials=2, **measures(block_size))
    assert (found == again).all()
    taken = np.add.reduceat(lengths, starts[:-1])
    assert (found >= 1).all()
    # A leaf that was split is half full at least, but for a name; and there are nodes above.
    assert (taken <= found * block_size).all()
    assert (found <= 3 + 3 * taken / (block_size // 2 - 264)).all()
