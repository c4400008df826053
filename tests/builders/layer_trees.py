"""Layer trees made from folders on disk, for holding models of file systems against these.

The scanner makes the same trees from tar streams; here nothing but system calls
is between the folder and the tree.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace

AnyPath = str | bytes | os.PathLike[str]


class Found(NamedTuple):
    """An unpacked layer as it is on disk."""

    tree: LayerTree
    usage: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    """Bytes by ``st_blocks`` of each inode, in the order of the tree's."""
    paths: list[bytes]
    """The first path of each inode, below the root, which has an empty one."""


class _Walk:
    def __init__(self) -> None:
        self.kinds: list[InodeKind] = []
        self.sizes: list[int] = []
        self.usage: list[int] = []
        self.paths: list[bytes] = []
        self.names: list[tuple[int, int, int]] = []
        self.xattrs: list[tuple[int, int, int, int]] = []
        self._seen: dict[tuple[int, int], int] = {}

    def add(self, full: bytes, path: bytes) -> tuple[int, bool]:
        """The number of the inode at `full`, and whether it is new."""
        found = os.lstat(full)
        key = (found.st_dev, found.st_ino)
        if key in self._seen:
            return self._seen[key], False
        number = self._seen[key] = len(self.kinds)
        kind = _kind(found.st_mode)
        self.kinds.append(kind)
        self.sizes.append(found.st_size if kind in (InodeKind.FILE, InodeKind.SYMLINK) else 0)
        self.usage.append(found.st_blocks * 512)
        self.paths.append(path)
        for name in os.listxattr(full, follow_symlinks=False):
            value = os.getxattr(full, name, follow_symlinks=False)
            namespace, length = _attribute(os.fsencode(name))
            self.xattrs.append((number, namespace, length, len(value)))
        return number, True

    def folder(self, full: bytes, path: bytes, number: int) -> None:
        for name in sorted(os.listdir(full)):
            below = path + b"/" + name if path else name
            child, is_new = self.add(full + b"/" + name, below)
            self.names.append((number, child, len(name)))
            if is_new and self.kinds[child] == InodeKind.DIRECTORY:
                self.folder(full + b"/" + name, below, child)


def walked(path: AnyPath) -> Found:
    """The tree of the folder at `path`, names in the order of their bytes."""
    walk = _Walk()
    root = os.fsencode(Path(os.fsdecode(path)))
    number, _ = walk.add(root, b"")
    walk.folder(root, b"", number)
    names = np.array(walk.names, dtype=np.int32).reshape(-1, 3)
    xattrs = np.array(walk.xattrs, dtype=np.int32).reshape(-1, 4)
    tree = LayerTree(
        kinds=np.array(walk.kinds, dtype=np.uint8),
        sizes=np.array(walk.sizes, dtype=np.int64),
        name_directories=names[:, 0].copy(),
        name_inodes=names[:, 1].copy(),
        name_lengths=names[:, 2].copy(),
        xattr_inodes=xattrs[:, 0].copy(),
        xattr_namespaces=xattrs[:, 1].astype(np.uint8),
        xattr_name_lengths=xattrs[:, 2].copy(),
        xattr_value_lengths=xattrs[:, 3].copy(),
    )
    return Found(tree, np.array(walk.usage, dtype=np.int64), walk.paths)


def _kind(mode: int) -> InodeKind:
    if stat.S_ISREG(mode):
        return InodeKind.FILE
    if stat.S_ISDIR(mode):
        return InodeKind.DIRECTORY
    return InodeKind.SYMLINK if stat.S_ISLNK(mode) else InodeKind.OTHER


def _attribute(name: bytes) -> tuple[XattrNamespace, int]:
    acls = {
        b"system.posix_acl_access": XattrNamespace.ACL_ACCESS,
        b"system.posix_acl_default": XattrNamespace.ACL_DEFAULT,
    }
    if name in acls:
        return acls[name], 0
    prefix, _, rest = name.partition(b".")
    known = {
        b"user": XattrNamespace.USER,
        b"trusted": XattrNamespace.TRUSTED,
        b"security": XattrNamespace.SECURITY,
    }
    if prefix in known:
        return known[prefix], len(rest)
    return XattrNamespace.OTHER, len(name)
