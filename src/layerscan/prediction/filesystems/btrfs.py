"""Btrfs on one device, as arithmetic.

What items are in which tree, and their sizes, is from the documents of the
format ("On-disk Format" of the btrfs documentation), with what mkfs.btrfs makes
by default: data once with checksums of 4 bytes, files up to 2048 bytes inline in
their leaf (the mount option max_inline).

``st_blocks`` says little on btrfs, as its own documents warn: a folder has none,
and an inline file or a symlink shows a whole block that it does not take. The
true figure is in `overhead`, which is below zero where that block is the more.

How full leaves are is measured here, on Linux 6.18, with layers of all shapes and
nodes of 16 KiB. New inodes come one after the other and leave full leaves behind.
What comes in between later, a file's extent when its data is written out, halves
some of them. In smaller nodes inline files leave more of the end empty.
"""

import numpy as np
from numpy.typing import NDArray

from layerscan.prediction.filesystems.columns import large_xattrs, per_inode, rounded_up
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace

_BLOCK = 4096
_USUAL_NODE = 16384
_NODE_HEADER = 101
_COPIES = {"single": 1, "dup": 2}  # of each leaf, by the profile of metadata

_MAX_INLINE = 2048
_MAX_EXTENT = 128 << 20
# Bytes of an item's header, which all of the following have beside their own.
_ITEM = 25
_INODE = _ITEM + 160
# A name itself is in three items: a reference, and two of its folder.
_NAME = (_ITEM + 10) + 2 * (_ITEM + 30)
# Where another name of the same inode in the same folder has made the reference.
_FURTHER_NAME = 10 + 2 * (_ITEM + 30)
_XATTR = _ITEM + 30
_INLINE = _ITEM + 21
_EXTENT = _ITEM + 53
_EXTENT_RECORD = _ITEM + 53
_NODE_RECORD = _ITEM + 33
_CHECKSUM = 4
_EXTENTS_FULL = 0.9
_CHECKSUMS_FULL = 0.92
# How full leaves are, by the share of bytes in them that came later.
_LATER = (0.0, 0.1, 0.5, 0.65, 0.8, 1.0)
_FULL = (0.955, 0.82, 0.838, 0.857, 0.93, 0.955)
# How full they are at the most, by the names in a folder, on average. Names are put in
# where their folder is, before the inodes of what is in it. What comes later fills that
# up: the more there is of it, the less this counts.
_NAMES = (200, 500, 2000)
_FULL_OF_NAMES = (0.8, 0.87, 0.955)


class Btrfs(FileSystem):
    """Btrfs on one device, with leaves of `nodesize` bytes (``mkfs.btrfs -n``).

    A block is a sector: a page on most kernels. The `profile` is that of metadata (``-m``).
    """

    # Leaves are fuller one time than another, by what else the machine writes.
    margin = 0.001

    def __init__(
        self, block_size: int = _BLOCK, *, nodesize: int = _USUAL_NODE, profile: str = "dup"
    ) -> None:
        self.block_size = self.unit = block_size
        self._node = nodesize
        self._room = nodesize - _NODE_HEADER
        self._copies = _COPIES[profile]
        self.name = f"btrfs,block={block_size},nodesize={nodesize},profile={profile}"

    def inodes(self, tree: LayerTree) -> NDArray[np.int64]:
        """Bytes by ``st_blocks`` of each inode. Shape (inodes,)."""
        return rounded_up(tree.sizes, _BLOCK)

    def overhead(self, tree: LayerTree) -> int:
        """What the trees grow by, less the blocks that inline files do not take.

        Not in it: what btrfs sets aside for its own work, which grows with its
        trees once there are some gigabytes of data.
        """
        files = tree.sizes[tree.kinds == InodeKind.FILE]
        inline = files[files <= _MAX_INLINE]
        inline = inline[inline > 0]
        targets = tree.sizes[tree.kinds == InodeKind.SYMLINK]
        outside = files[files > _MAX_INLINE]
        blocks = int(rounded_up(outside, _BLOCK).sum()) // _BLOCK
        extents = int((-(-outside // _MAX_EXTENT)).sum())
        first = self._inodes_and_names(tree) + len(targets) * _INLINE + int(targets.sum())
        later = len(inline) * _INLINE + int(inline.sum()) + extents * _EXTENT
        full = self._full(tree, first, later)
        full *= 1 - self._left_empty(inline + _INLINE) / (first + later)
        leaves = (first + later) / full
        leaves += extents * _EXTENT_RECORD / _EXTENTS_FULL
        leaves += blocks * _CHECKSUM / _CHECKSUMS_FULL
        leaves /= self._room
        leaves *= 1 + _NODE_RECORD / _EXTENTS_FULL / self._room
        unused = int(rounded_up(inline, _BLOCK).sum()) + int(rounded_up(targets, _BLOCK).sum())
        return round(leaves * self._node * self._copies) - unused

    def refused(self, tree: LayerTree) -> str:
        """That an attribute is too large."""
        return large_xattrs(_xattrs(tree), self._room)

    def folder(self) -> int:
        """None, whatever is in it."""
        return 0

    def _left_empty(self, items: NDArray[np.int64]) -> float:
        """How much of leaves stays empty since inline files are not split, in bytes.

        Where one does not fit, half of it on average. Only that is said by which it
        is more than with nodes of 16 KiB, as `_FULL` was measured with these.
        """
        halves = float((items.astype(np.float64) ** 2).sum()) / 2
        return halves / self._room - halves / (_USUAL_NODE - _NODE_HEADER)

    def _inodes_and_names(self, tree: LayerTree) -> int:
        """Bytes of items that making the inodes makes, and their attributes."""
        further = _further_names(tree)
        names = len(tree.name_lengths) - further
        total = len(tree.kinds) * _INODE + names * _NAME + further * _FURTHER_NAME
        total += 3 * int(tree.name_lengths.sum())
        return total + int(_xattrs(tree).sum())

    def _full(self, tree: LayerTree, first: int, later: int) -> float:
        """How full the leaves are that `first` and then `later` bytes went into."""
        folders = int((tree.kinds == InodeKind.DIRECTORY).sum())
        names = len(tree.name_lengths) / folders
        share = later / (first + later)
        most = float(np.interp(names, _NAMES, _FULL_OF_NAMES))
        return min(float(np.interp(share, _LATER, _FULL)), most + (1 - most) * share)


def _xattrs(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of the item of each attribute."""
    prefixes = np.array([len(namespace.prefix) for namespace in XattrNamespace])
    names = prefixes[tree.xattr_namespaces] + tree.xattr_name_lengths
    return _XATTR + names + tree.xattr_value_lengths


def _further_names(tree: LayerTree) -> int:
    """How many names are of an inode that has another one in the same folder already."""
    counts = per_inode(tree.name_inodes, np.ones_like(tree.name_inodes), len(tree.kinds))
    linked = counts[tree.name_inodes] > 1
    pairs = np.stack((tree.name_directories[linked], tree.name_inodes[linked]))
    return int(linked.sum()) - len(np.unique(pairs, axis=1).T)
