"""What a layer's tar stream makes when it is unpacked: a tree, as columns.

The tar scanner (`layerscan.tar._tar`) fills it, and the models of file systems read
it. It has what decides about space, and no names: their lengths are enough.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class InodeKind(IntEnum):
    """What an inode is."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    OTHER = 3
    """A device, FIFO or whiteout."""


class XattrNamespace(IntEnum):
    """The part before the first dot of an extended attribute's name."""

    OTHER = 0
    USER = 1
    TRUSTED = 2
    SECURITY = 3
    ACL_ACCESS = 4
    """``system.posix_acl_access``, the whole name."""
    ACL_DEFAULT = 5
    """``system.posix_acl_default``, the whole name."""

    @property
    def prefix(self) -> str:
        """What names in it begin with; empty for those in no other."""
        acls = ("system.posix_acl_access", "system.posix_acl_default")
        return ("", "user.", "trusted.", "security.", *acls)[self]


class LayerTree(NamedTuple):
    """The tree of one unpacked layer. Inode 0 is its root folder, which has no name.

    Inodes, names and attributes each are in the order in which unpacking makes
    them; what a later entry of the stream replaces is not there.
    """

    kinds: "NDArray[np.uint8]"  # a `InodeKind` for each inode
    # ``st_size`` of each inode in bytes: a file's length, that of a symlink's target, 0 for
    # everything else
    sizes: "NDArray[np.int64]"
    name_directories: "NDArray[np.int32]"  # for each name the inode of the folder that it is in
    # for each name the inode that it is of; hard links have several
    name_inodes: "NDArray[np.int32]"
    name_lengths: "NDArray[np.int32]"  # bytes of each name
    xattr_inodes: "NDArray[np.int32]"  # for each extended attribute its inode
    # a `XattrNamespace` for each. No ACL says only what the mode says.
    xattr_namespaces: "NDArray[np.uint8]"
    # bytes of each name after its namespace and the dot, 0 for ACLs
    xattr_name_lengths: "NDArray[np.int32]"
    xattr_value_lengths: "NDArray[np.int32]"  # bytes of each value

    @property
    def size(self) -> int:
        """Bytes of content, by Docker's rule: ``st_size`` of all that is no directory."""
        return int(self.sizes.sum())
