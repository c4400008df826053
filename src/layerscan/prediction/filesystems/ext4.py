"""ext4 as arithmetic.

The formats are those of the kernel's documentation "ext4 Data Structures and
Algorithms", with what mke2fs makes by default: extents, indexed folders and
checksums of metadata. Measured here, on Linux 6.18 and with
pulls by Docker onto fresh disks, is what that document leaves open:

- A regular file of less than some 30 MiB lies in at most four pieces, even if
  many are written at a time. Larger ones may be in more, and take a block more
  than is said here: the list of their pieces is counted as for a file in one.
- The inode tables are there from the start, so inodes take no space.
- Two inodes with the same attributes outside of them share one block. ``st_blocks``
  counts it for each of them, and so does this.
- With clusters (``bigalloc``), whatever takes a block takes a cluster: a piece of a
  file, a block of attributes, one that lists pieces. A folder's next blocks lie in
  the cluster of the last one while there is room.
"""

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems.columns import (
    large_xattrs,
    long_target,
    per_inode,
    rounded_up,
    values_with_short_acls,
)
from layerscan.prediction.filesystems.ext4_folders import LONGEST_EXTENT, Folders, extent_blocks
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.tar.tree import InodeKind, LayerTree

# In bytes. Before its attributes, an inode has the old layout, then i_extra_isize.
_FIXED_PART, _EXTRA_PART = 128, 32
_XATTR_MAGIC, _XATTR_END = 4, 4
_XATTR_HEADER = 32  # of a block of attributes, before the first
_XATTR_ENTRY = 16  # of an attribute before its name; name and value fill multiples of 4
_INLINE_SYMLINK = 59  # the longest target that is in the inode: i_block has 60, one is a NUL


class Ext4(FileSystem):
    """ext4 with blocks of `block_size` bytes, and inodes of `inode` bytes (``mke2fs -I``).

    `cluster` are the bytes of what it gives out at a time, where that is more than a block
    (``mke2fs -O bigalloc -C``).
    """

    def __init__(
        self, block_size: int = 4096, *, cluster: int | None = None, inode: int = 256
    ) -> None:
        self.block_size = block_size
        self.unit = cluster or block_size
        # Attributes go into the inode behind all else, and what does not fit to one block.
        taken = _FIXED_PART + _EXTRA_PART + _XATTR_MAGIC + _XATTR_END
        self._xattr_room = max(0, inode - taken)
        self._folders = Folders(block_size, self.unit)
        clusters = f"cluster={self.unit}," if self.unit != block_size else ""
        self.name = f"ext4,block={block_size},{clusters}inode={inode}"

    def tree(self, tree: LayerTree) -> int:
        """The same of all its inodes: whole blocks."""
        return round(float(self.inodes(tree).sum()) / self.unit) * self.unit

    def inodes(self, tree: LayerTree) -> NDArray[np.float64]:
        """Mean bytes by ``st_blocks`` of each inode; of all but large folders it is certain."""
        units = rounded_up(tree.sizes, self.unit) // self.unit
        is_folder, is_symlink = tree.kinds == InodeKind.DIRECTORY, tree.kinds == InodeKind.SYMLINK
        units[is_symlink & (tree.sizes <= _INLINE_SYMLINK)] = 0
        # What does not fit into the inode takes a block.
        has_block = _xattrs_of_inodes(tree) > self._xattr_room
        units += self._extent_blocks(tree.sizes) + has_block
        # The blocks of files are chosen later, when they are written out.
        at_once = is_folder | ((tree.kinds != InodeKind.FILE) & (units > 0))
        folders = self._folders.units(tree, at_once)
        folders[~is_folder] = 0
        return (folders + units) * self.unit

    def overhead(self, tree: LayerTree) -> int:  # noqa: ARG002 - all alike
        """Nothing: inodes have their place from the start."""
        return 0

    def overhead_of(self, inodes: int) -> int:  # noqa: ARG002 - all alike
        """The same."""
        return 0

    def refused(self, tree: LayerTree) -> str:
        """That a symlink's target is too long, or attributes take too much."""
        room = self.block_size - _XATTR_HEADER - _XATTR_END
        return (
            # With a NUL, in one block.
            long_target(tree, self.block_size - 1)
            or large_xattrs(_xattrs(tree), room)
            or large_xattrs(_xattrs_of_inodes(tree), room + self._xattr_room)
        )

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""
        return super().file(size) + int(self._extent_blocks(np.array([size]))[0]) * self.unit

    def folder(self) -> int:
        """One block."""
        return self.unit

    def _extent_blocks(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many blocks have the list of a file's pieces, which are as long as they can be."""
        return extent_blocks(-(-sizes // (LONGEST_EXTENT * self.block_size)), self.block_size)


def _xattrs(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of each attribute."""
    names, values = rounded_up(tree.xattr_name_lengths, 4), values_with_short_acls(tree)
    return _XATTR_ENTRY + names + rounded_up(values, 4)


def _xattrs_of_inodes(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of the attributes of each inode."""
    return per_inode(tree.xattr_inodes, _xattrs(tree), len(tree.kinds))
