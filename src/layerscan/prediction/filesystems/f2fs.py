"""F2FS as arithmetic.

The layout of inodes, of blocks of addresses and of folders is that of the
kernel's document "Flash-Friendly File System (F2FS)", with what mkfs.f2fs makes
by default and the mount options that are on by default: inline_data,
inline_dentry and inline_xattr. Sizes of its structures are from the kernel's
``include/linux/f2fs_fs.h``. All was held against F2FS of Linux 6.1.

``st_blocks`` counts blocks of data, of addresses and of attributes, not the one
that each inode is. What is inside of that counts as well, in units of 512 bytes.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems.columns import (
    extremes,
    large_xattrs,
    per_inode,
    rounded_up,
    values_with_short_acls,
)
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.tar.tree import InodeKind, LayerTree

_BLOCK = 4096
_SECTOR = 512
_INLINE_ADDRESSES = 923 - 50  # of an inode; 50 more give their room to attributes
_MAX_INLINE = 4 * (_INLINE_ADDRESSES - 1)
_ADDRESSES = 1018
_DIRECT = 2
_INDIRECT = 2
_XATTR_HEADER = 24
_XATTR_ENTRY = 4
_MAX_INLINE_XATTRS = 200
_SLOT = 8  # bytes of a name in each slot of a folder
_DOTS = 2
_INLINE_SLOTS = 182
_BLOCK_SLOTS = 214
_BUCKET_BLOCKS = 2


class F2fs(FileSystem):
    """F2FS with blocks of `block_size` bytes: 4,096, those of a page on most machines."""

    def __init__(self, block_size: int = _BLOCK) -> None:
        self.block_size = self.unit = block_size
        self.name = f"f2fs,block={block_size}"

    def inodes(self, tree: LayerTree) -> NDArray[np.int64]:
        """Bytes by ``st_blocks`` of each inode. Shape (inodes,)."""
        return self._outside(tree) + self._inside(tree)

    def overhead(self, tree: LayerTree) -> int:
        """Bytes of the inodes, a block each, less what ``st_blocks`` has of them already."""
        return len(tree.kinds) * _BLOCK - int(self._inside(tree).sum())

    def refused(self, tree: LayerTree) -> str:
        """That attributes take too much."""
        # Inside of the inode, and in one block with a footer of 24 bytes.
        return large_xattrs(_xattrs(tree), _MAX_INLINE_XATTRS + _BLOCK - 24)

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""
        if size <= _MAX_INLINE:
            return -(-size // _SECTOR) * _SECTOR
        return int(_with_nodes(np.array([size]))[0])

    def folder(self) -> int:
        """Bytes by ``st_blocks`` of a folder with few names or none."""
        return -(-_MAX_INLINE // _SECTOR) * _SECTOR

    def _inside(self, tree: LayerTree) -> NDArray[np.int64]:
        """What counts of each inode's own block."""
        inside = np.where(tree.sizes <= _MAX_INLINE, rounded_up(tree.sizes, _SECTOR), 0)
        inside[tree.kinds != InodeKind.FILE] = 0
        inline = (tree.kinds == InodeKind.DIRECTORY) & (self._slots(tree) <= _INLINE_SLOTS)
        inside[inline] = self.folder()
        return inside

    def _outside(self, tree: LayerTree) -> NDArray[np.int64]:
        outside = np.where(tree.sizes <= _MAX_INLINE, 0, _with_nodes(tree.sizes))
        outside[_xattrs(tree) > _MAX_INLINE_XATTRS] += _BLOCK
        slots = self._slots(tree)
        large = np.flatnonzero((tree.kinds == InodeKind.DIRECTORY) & (slots > _INLINE_SLOTS))
        if len(large):
            own = _name_slots(tree)
            least, most = extremes(tree.name_directories, own, len(slots))
            names = np.bincount(tree.name_directories, minlength=len(slots))
            for inode in large:
                mean = (int(slots[inode]) - _DOTS) / int(names[inode])
                lost = _BLOCK_SLOTS % mean if least[inode] == most[inode] else (mean - 1) / 2
                blocks = _folder_blocks(int(names[inode]), (_BLOCK_SLOTS - lost) / mean, mean)
                outside[inode] += blocks * _BLOCK
        return outside

    def _slots(self, tree: LayerTree) -> NDArray[np.int64]:
        """How many slots the names in each inode take, if it is a folder."""
        return _DOTS + per_inode(tree.name_directories, _name_slots(tree), len(tree.kinds))


class _Overflow(NamedTuple):
    """What the names are like that find no place before a level of a folder."""

    any: float  # how likely there are some for a bucket of it
    mean: float  # how many those are, where there are some
    variance: float

    def above(self, limit: float) -> float:
        """How likely there are more than `limit`."""
        if self.variance == 0:
            return self.any * (self.mean > limit)
        return self.any * 0.5 * (1 + math.erf((self.mean - limit) / math.sqrt(2 * self.variance)))

    def beyond(self, limit: float) -> "_Overflow":
        """Those of a bucket of the next level, where a bucket takes up to `limit`."""
        excess = self.mean - limit
        likely = self.above(limit)
        if likely == 0:
            return _Overflow(0, 0, 0)
        if self.variance == 0:
            mean, square = excess, excess**2
        else:
            # The moments of a normal distribution's part above the limit.
            deviation = math.sqrt(self.variance)
            density = math.exp(-(excess**2) / 2 / self.variance) / math.sqrt(2 * math.pi)
            share = self.any / likely
            mean = excess + share * deviation * density
            square = self.variance + excess**2 + share * excess * deviation * density
        # Each name's hash takes it to one of two buckets.
        some = likely * (1 - 2**-mean)
        return _Overflow(some, mean / 2, (square - mean**2 + mean) / 4)


def _folder_blocks(names: int, fit: float, slots: float) -> int:
    """How many blocks a folder takes, and their addresses, on average.

    A block holds `fit` names of `slots` slots. Level n of a folder has 2ⁿ buckets
    of two blocks; a name goes to the first level whose bucket, by its hash, has
    room for it.
    """
    bucket = _Overflow(1, names + _DOTS / slots, 0)
    blocks = 0.0
    level = 0
    while bucket.any * 2**level >= 0.5:  # noqa: PLR2004 - not one block on average
        blocks += 2**level * (bucket.any + bucket.above(fit))
        bucket = bucket.beyond(_BUCKET_BLOCKS * fit)
        level += 1
    # Hardly a block of addresses is left out, though folders may have holes.
    reach = _BUCKET_BLOCKS * (2**level - 1)
    return round(blocks) + int(_nodes(np.array([reach]))[0])


def _with_nodes(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the blocks of files, and of the blocks of their addresses."""
    blocks = rounded_up(sizes, _BLOCK) // _BLOCK
    return (blocks + _nodes(blocks)) * _BLOCK


def _nodes(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    direct = -(-np.maximum(0, blocks - _INLINE_ADDRESSES) // _ADDRESSES)
    indirect = -(-np.maximum(0, direct - _DIRECT) // _ADDRESSES)
    nodes: NDArray[np.int64] = direct + indirect + (indirect > _INDIRECT)
    return nodes


def _name_slots(tree: LayerTree) -> NDArray[np.int64]:
    slots: NDArray[np.int64] = rounded_up(tree.name_lengths.astype(np.int64), _SLOT) // _SLOT
    return slots


def _xattrs(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of each inode's attributes."""
    one = rounded_up(_XATTR_ENTRY + tree.xattr_name_lengths + values_with_short_acls(tree), 4)
    return _XATTR_HEADER + per_inode(tree.xattr_inodes, one, len(tree.kinds))
