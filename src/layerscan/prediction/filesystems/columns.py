"""Sums over the columns of a layer's tree that the models of file systems share."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace

_Integer = TypeVar("_Integer", np.int32, np.int64)

_ACL_HEADER, _ACL_ENTRY = 4, 8
_ID = 4
# For the owner, the group, the mask and others; nearly always all four.
_ENTRIES_WITHOUT_ID = 4


def per_inode(
    inodes: NDArray[np.int32], values: "NDArray[np.integer[Any] | np.bool_]", count: int
) -> NDArray[np.int64]:
    """The sum of `values` for each of `count` inodes, where `inodes` says whose each is."""
    # In doubles: exact up to 2⁵³, far above what lengths and counts add up to.
    return np.bincount(inodes, weights=values, minlength=count).astype(np.int64)


def rounded_up(values: NDArray[_Integer], unit: int) -> NDArray[_Integer]:
    """Each of `values` rounded up to a multiple of `unit`."""
    rounded: NDArray[_Integer] = -(-values // unit) * unit
    return rounded


def values_with_short_acls(tree: LayerTree) -> NDArray[np.int64]:
    """Bytes of each attribute's value, where entries of ACLs have an id only if they need one."""
    values = tree.xattr_value_lengths.astype(np.int64)
    acls = tree.xattr_namespaces >= XattrNamespace.ACL_ACCESS
    entries = (values[acls] - _ACL_HEADER) // _ACL_ENTRY
    values[acls] -= _ID * np.minimum(entries, _ENTRIES_WITHOUT_ID)
    return values


def long_target(tree: LayerTree, most: int) -> str:
    """In words, that the target of a symlink is longer than `most` bytes; empty if none is."""
    longest = int(tree.sizes[tree.kinds == InodeKind.SYMLINK].max(initial=0))
    if longest <= most:
        return ""
    return f"a symbolic link has a target of {longest} bytes, and at most {most} can be"


def large_xattrs(taken: NDArray[np.int64], room: int) -> str:
    """In words, that an attribute, or an inode's, take more than there is room; else empty."""
    largest_taken = int(taken.max(initial=0))
    if largest_taken <= room:
        return ""
    return f"extended attributes take {largest_taken} bytes, and there is room for {room}"


def extremes(
    inodes: NDArray[np.int32], values: NDArray[_Integer], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and the largest of `values`, which are above 0, for each of `count` inodes."""
    least, most = np.full(count, np.iinfo(np.int64).max), np.zeros(count, dtype=np.int64)
    np.minimum.at(least, inodes, values)
    np.maximum.at(most, inodes, values)
    return least, most
