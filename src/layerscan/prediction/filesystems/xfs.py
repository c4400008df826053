"""XFS, version 5, as arithmetic.

The formats are those of "XFS Algorithms & Data Structures" (the chapters on
inodes, directories, extended attributes and symlinks), with what mkfs.xfs makes
by default: CRCs, file types in directories. Measured here,
on Linux 6.18, is what that document leaves open:

- A new inode that is no symlink gets room for attributes at once, all but 192 of the
  bytes that these share. Linux does that since 5.13 wherever a security module, Landlock is one,
  keeps something for each file system; without any, folders stay in their inode
  a little longer.
- Blocks that XFS takes ahead of a growing file's end are given back when the
  file is closed. So a file takes its length, rounded up to blocks.
- Hashes spread the names of a folder evenly over its leaf blocks. Each of these
  is halved when it is full.
- Files lie in a few pieces, so that the inode has room for their list. Folders
  grow bit by bit, while other things are written: one of many blocks lies in
  pieces of some two, and takes a block for their list.
"""

import math

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems.columns import extremes, long_target, per_inode, rounded_up
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace

# In bytes.
_CORE = 176  # of an inode, before what its data and its attributes share
_DATA_FORK = 192  # of these, for data where there is room for attributes as well
_LEAST_DATA_FORK = 56
_LARGEST_SHORT_XATTR = 254
_HEADER = 64  # of any block of a folder
_LONGEST_TARGET = 1023  # XFS_SYMLINK_MAXLEN, less a NUL
_MAPPED_HEADER = 56  # of each block of a symlink's target, or of an attribute's value
_XATTR_LEAF_HEADER = 80
_HASH = 8  # of a name, in the blocks that find names by their hash
_DOTS = 2 * 16
_RECORD = 16  # of a chunk of inodes, in the B-tree of inodes

_CHUNK = 64  # inodes
_EXTENTS = _DATA_FORK // 16  # pieces that an inode lists; of more a block of its own has the list


class Xfs(FileSystem):
    """XFS with blocks of `block_size` bytes, and inodes of `inode` bytes."""

    def __init__(self, block_size: int = 4096, *, inode: int = 512) -> None:
        self.block_size = self.unit = block_size
        self._inode = inode
        self._literal = inode - _CORE
        self._folder_block = max(4096, block_size)
        self.name = f"xfs,block={block_size},inode={inode}"

    def inodes(self, tree: LayerTree) -> NDArray[np.int64]:
        """Bytes by ``st_blocks`` of each inode. Shape (inodes,)."""
        usage = rounded_up(tree.sizes, self.block_size)
        is_symlink = tree.kinds == InodeKind.SYMLINK
        targets = tree.sizes[is_symlink]
        usage[is_symlink] = np.where(targets > self._literal, self._mapped(targets), 0)
        is_folder = tree.kinds == InodeKind.DIRECTORY
        short, outside = self._xattrs(tree)
        usage += outside
        usage[is_folder] += self._folders(tree, short)[is_folder]
        # What does not fit beside the other moves out: the target, if it is the larger.
        inline = is_symlink & (tree.sizes <= self._literal)
        crowded = (short > 0) & (rounded_up(tree.sizes, 8) + short > self._literal)
        crowded |= (tree.sizes > _DATA_FORK) & (outside > 0)
        usage[inline & crowded] += self.block_size
        return usage

    def overhead(self, tree: LayerTree) -> int:
        """Bytes of the inodes, of which 64 are made at a time: each one's part of that.

        The other B-trees of XFS grow within room that it has set aside, and that
        never counts as free.
        """
        return self.overhead_of(len(tree.kinds))

    def overhead_of(self, inodes: int) -> int:
        """The same, by their number alone."""
        return inodes * self._inode + inodes * _RECORD // _CHUNK

    def refused(self, tree: LayerTree) -> str:
        """That a symlink's target is too long."""
        return long_target(tree, _LONGEST_TARGET)

    def folder(self) -> int:
        """None: its inode has the names."""
        return 0

    def _mapped(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        room = self.block_size - _MAPPED_HEADER
        return rounded_up(lengths, room) // room * self.block_size

    def _xattrs(self, tree: LayerTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each inode: bytes of its attributes inside of it, and of blocks with them."""
        inodes, namespaces = tree.xattr_inodes, tree.xattr_namespaces
        names = tree.xattr_name_lengths.astype(np.int64)
        values = tree.xattr_value_lengths.astype(np.int64)
        acls = namespaces >= XattrNamespace.ACL_ACCESS
        # Named SGI_ACL_FILE and SGI_ACL_DEFAULT, and 12 bytes an entry in place of 8.
        names[acls] = np.where(namespaces[acls] == XattrNamespace.ACL_ACCESS, 12, 15)
        values[acls] = 4 + (values[acls] - 4) // 8 * 12
        count = len(tree.kinds)
        short = per_inode(inodes, 3 + names + values, count)
        short[short > 0] += 4
        too_long = np.maximum(names, values) > _LARGEST_SHORT_XATTR
        outside = short > self._literal - _LEAST_DATA_FORK
        outside |= per_inode(inodes, too_long, count) > 0
        mapped = np.zeros_like(short)
        if outside.any():
            local = 3 + names + values
            far = rounded_up(local, 4) >= self.block_size * 3 // 4
            entries = _HASH + np.where(far, rounded_up(9 + names, 4), rounded_up(local, 4))
            leaves = self._xattr_leaves(per_inode(inodes, entries, count))
            mapped = leaves + per_inode(inodes, np.where(far, self._mapped(values), 0), count)
        return np.where(outside, 0, short), np.where(outside, mapped, 0)

    def _xattr_leaves(self, used: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes of the blocks that have `used` bytes of attributes."""
        room = self.block_size - _XATTR_LEAF_HEADER
        many = 1 + np.ceil(used / (room * 2 / 3)).astype(np.int64)
        return np.where(used <= room, 1, many) * self.block_size

    def _folders(self, tree: LayerTree, xattrs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes by ``st_blocks`` of the names in each inode, if it is a folder."""
        count = len(tree.kinds)
        names = np.bincount(tree.name_directories, minlength=count)
        short = 6 + 8 * names + per_inode(tree.name_directories, tree.name_lengths, count)
        room = np.minimum(_DATA_FORK, (self._literal - xattrs) // 8 * 8)
        entries = rounded_up(tree.name_lengths + 12, 8)
        data = _DOTS + per_inode(tree.name_directories, entries, count)
        usage = np.where(short > room, self._folder_block, 0)
        one_block = _HEADER + data + _HASH * (names + 2) + 8
        large = np.flatnonzero((short > room) & (one_block > self._folder_block))
        if len(large):
            least, most = extremes(tree.name_directories, entries, count)
            for inode in large:
                blocks = self._data_blocks(int(data[inode]), int(least[inode]), int(most[inode]))
                blocks += self._index_blocks(int(names[inode]) + 2, blocks)
                listed = blocks > 2 * _EXTENTS
                usage[inode] = blocks * self._folder_block + listed * self.block_size
        return usage

    def _data_blocks(self, data: int, least: int, most: int) -> int:
        """How many blocks have the names of a folder; a name goes where it first fits."""
        room = self._folder_block - _HEADER
        wasted = room % most if least == most else (least - 8) // 2
        return max(1, -(-(data - wasted) // (room - wasted)))

    def _index_blocks(self, names: int, data_blocks: int) -> int:
        """How many blocks a folder of `data_blocks` takes beside them, to find `names`."""
        room = self._folder_block - _HEADER
        if _HASH * names + 2 * data_blocks + 4 <= room:
            return 1
        fan_out = room // _HASH
        blocks = round(_halved_leaves(names, fan_out))
        level = blocks
        while level > 1:
            level = -(-level // fan_out)
            blocks += level
        return blocks + -(-data_blocks // (room // 2))


def _halved_leaves(entries: int, fan_out: int) -> float:
    """How many leaves that are halved when full have so many entries, on average.

    A leaf that is the n-th generation of halves gets 2⁻ⁿ of the entries, give or
    take: each generation adds to the variance what drawing the entries of a full
    leaf at random does, 1 / `fan_out`.
    """
    leaves = 1.0
    for generation in range(64):
        share = entries / 2**generation / (fan_out + 1)
        deviation = math.sqrt(max(generation, 0.01) / fan_out)
        split = 0.5 * (1 + math.erf((share - 1) / deviation / math.sqrt(2)))
        leaves += split * 2**generation
        if share < 0.5:  # noqa: PLR2004 - no leaf of this generation is ever full
            break
    return leaves
