"""ext4 as arithmetic.

The formats are those of the kernel's documentation "ext4 Data Structures and
Algorithms", with what mke2fs makes by default: inodes of 256 bytes, extents,
indexed folders and checksums of metadata. Measured here, on Linux 6.18 and with
pulls by Docker onto fresh disks, is what that document leaves open:

- A regular file of less than some 30 MiB lies in at most four pieces, even if
  many are written at a time. Larger ones may be in more, and take a block more
  than is said here: the list of their pieces is counted as for a file in one.
- The inode tables are there from the start, so inodes take no space.
- Two inodes with the same attributes outside of them share one block. ``st_blocks``
  counts it for each of them, and so does this.
"""

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems.columns import (
    large_xattrs,
    long_target,
    per_inode,
    rounded_up,
    values_with_short_acls,
    xattr_lengths,
)
from layerscan.prediction.filesystems.ext4_extents import LONGEST_EXTENT, extent_blocks
from layerscan.prediction.filesystems.ext4_folders import Folders
from layerscan.tar.tree import InodeKind, LayerTree

BLOCK_SIZES = tuple(1024 << power for power in range(7))
"""Bytes of a block that mke2fs makes.

No block may be larger than the machine's pages, with kernels before 6.19.
"""

_INODE = 256
_FIXED_PART = 128
_EXTRA_PART = 32
"""Bytes of an inode before its attributes: the old layout, then ``i_extra_isize``."""

_XATTR_MAGIC = 4
_XATTR_END = 4
_XATTR_ROOM = _INODE - _FIXED_PART - _EXTRA_PART - _XATTR_MAGIC - _XATTR_END
"""Bytes for attributes in an inode; all of the others go to one block outside."""

_XATTR_HEADER = 32
"""Bytes of a block of attributes before the first."""

_XATTR_ENTRY = 16
"""Bytes of an attribute before its name; name and value fill multiples of 4."""

_INLINE_SYMLINK = 59
"""Bytes of the longest target that is in the inode: ``i_block`` has 60, one is a NUL."""


class Ext4:
    """ext4 with blocks of `block_size` bytes, one of `BLOCK_SIZES`."""

    name = "ext4"

    def __init__(self, block_size: int = 4096) -> None:
        self.block_size = block_size
        self._folders = Folders(block_size)

    def tree(self, tree: LayerTree) -> int:
        """Bytes by ``st_blocks`` of all inodes of an unpacked layer, its root included."""
        return round(float(self.inodes(tree).sum()) / self.block_size) * self.block_size

    def inodes(self, tree: LayerTree) -> NDArray[np.float64]:
        """Mean bytes by ``st_blocks`` of each inode. Shape (inodes,).

        Of all but large folders it is certain.
        """
        blocks = rounded_up(tree.sizes, self.block_size) // self.block_size
        is_folder, is_symlink = tree.kinds == InodeKind.DIRECTORY, tree.kinds == InodeKind.SYMLINK
        blocks[is_symlink & (tree.sizes <= _INLINE_SYMLINK)] = 0
        blocks += self._extent_blocks(blocks) + self._xattr_blocks(tree)
        # The blocks of files are chosen later, when they are written out.
        at_once = is_folder | ((tree.kinds != InodeKind.FILE) & (blocks > 0))
        folders = self._folders.blocks(tree, at_once)
        folders[~is_folder] = 0
        return (folders + blocks) * self.block_size

    def overhead(self, tree: LayerTree) -> int:  # noqa: ARG002 - all alike
        """Nothing: see the module."""
        return 0

    def refused(self, tree: LayerTree) -> str:
        """What of the tree cannot be on it; see `FileSystem.refused`."""
        room = self.block_size - _XATTR_HEADER - _XATTR_END
        return (
            # With a NUL, in one block.
            long_target(tree, self.block_size - 1)
            or large_xattrs(_xattrs(tree), room)
            or large_xattrs(_xattrs_of_inodes(tree), room + _XATTR_ROOM)
        )

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""
        blocks = np.array([-(-size // self.block_size)])
        return int((blocks + self._extent_blocks(blocks))[0]) * self.block_size

    def folder(self) -> int:
        """Bytes by ``st_blocks`` of a folder with few names or none."""
        return self.block_size

    def symlink(self, length: int) -> int:
        """Bytes by ``st_blocks`` of a symlink whose target has `length` bytes."""
        return 0 if length <= _INLINE_SYMLINK else self.block_size

    def _extent_blocks(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many blocks have the list of a file's pieces, which are as long as they can be."""
        return extent_blocks(-(-blocks // LONGEST_EXTENT), self.block_size)

    def _xattr_blocks(self, tree: LayerTree) -> NDArray[np.int64]:
        """For each inode 1 if it has a block of attributes, else 0."""
        return (_xattrs_of_inodes(tree) > _XATTR_ROOM).astype(np.int64)


def _xattrs(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of each attribute."""
    names, values = xattr_lengths(tree), values_with_short_acls(tree)
    return _XATTR_ENTRY + rounded_up(names, 4) + rounded_up(values, 4)


def _xattrs_of_inodes(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of the attributes of each inode."""
    return per_inode(tree.xattr_inodes, _xattrs(tree), len(tree.kinds))
