"""The disk that a store's layers are on: its blocks, and what ``st_blocks`` leaves out.

On XFS, btrfs and F2FS inodes and small files take space that no ``st_blocks`` shows, or
less than it shows. The models that predict images know how much
(`layerscan.prediction.filesystems`); here a layer that is on the disk is put to them.
"""

import os
import stat
from array import array
from functools import cached_property
from typing import TYPE_CHECKING

from layerscan.extras import needed
from layerscan.files.mounts import place_of
from layerscan.prediction.filesystems import FILE_SYSTEMS, file_system
from layerscan.prediction.filesystems.mounted import shape_of
from layerscan.prediction.filesystems.names import FileSystemShape
from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace

if TYPE_CHECKING:
    from layerscan.prediction.filesystems.filesystem import FileSystem

# Where inodes have their place from the start, and ``st_blocks`` says all.
_ALL_IN_BLOCKS = ("ext2", "ext3", "ext4")

_KINDS = {
    stat.S_IFREG: InodeKind.FILE,
    stat.S_IFDIR: InodeKind.DIRECTORY,
    stat.S_IFLNK: InodeKind.SYMLINK,
}


class LayerDisk:
    """The file system of a layer's folder."""

    def __init__(self, folder: str) -> None:
        self.block_size = os.statvfs(folder).f_bsize  # bytes
        self._folder = folder

    @cached_property
    def shape(self) -> FileSystemShape | None:
        """What is known of it."""
        return shape_of(place_of(self._folder))

    @property
    def cluster(self) -> int:
        """Bytes of the least that it gives out."""
        known = {} if self.shape is None else self.shape.parameters
        return int(known.get("cluster", self.block_size))

    @property
    def unknown(self) -> str:
        """What is to be said of exact figures there; empty for nothing."""
        kind = "an unknown file system" if self.shape is None else self.shape.kind
        if self._model is not None or kind in _ALL_IN_BLOCKS:
            return ""
        return f"what inodes take on {kind} is not known: usage has their blocks alone"

    @cached_property
    def _model(self) -> "FileSystem | None":
        # Where blocks say all there is no need of numpy, which the models have.
        shape = self.shape
        if shape is None or shape.kind not in FILE_SYSTEMS or shape.kind in _ALL_IN_BLOCKS:
            return None
        return file_system(shape.name)

    def taken(self, blocks: int, content: str, inodes: int) -> int:
        """Bytes that the files in `content` take, with what their `blocks` leave out.

        The folder itself is one of the `inodes`. Raises as `tree_on_disk`.
        """
        if self._model is None:
            return blocks
        known = self._model.overhead_of(inodes)
        taken = blocks + (self._model.overhead(tree_on_disk(content)) if known is None else known)
        return taken + round(taken * self._model.margin)


def tree_on_disk(folder: str) -> LayerTree:
    """The tree of a layer that is on the disk, in no particular order.

    Raises OSError where something in it cannot be read or is gone, and MissingPackageError
    where there is no numpy.
    """
    with needed("numpy"):
        import numpy as np

    kinds, sizes = array("B"), array("q")
    # For each name and each attribute a row of all that is known of it.
    names, xattrs = array("i"), array("i")
    known: dict[int, int] = {}

    def add(path: str, status: os.stat_result) -> int:
        number = len(kinds)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), InodeKind.OTHER)
        kinds.append(kind)
        sizes.append(status.st_size if kind in (InodeKind.FILE, InodeKind.SYMLINK) else 0)
        for name in os.listxattr(path, follow_symlinks=False):
            namespace = max(one for one in XattrNamespace if name.startswith(one.prefix))
            length = len(os.fsencode(name)) - len(namespace.prefix)
            value = len(os.getxattr(path, name, follow_symlinks=False))
            xattrs.extend((number, namespace, length, value))
        return number

    root = os.lstat(folder)
    folders = [(folder, add(folder, root))]
    while folders:
        path, within = folders.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev != root.st_dev:
                    # Something is mounted there, which the walk does not enter.
                    continue
                number = known.get(status.st_ino)
                if number is None:
                    number = add(entry.path, status)
                    if status.st_nlink > 1:
                        known[status.st_ino] = number
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, number))
                names.extend((within, number, len(os.fsencode(entry.name))))
    named = np.array(names, dtype=np.int32).reshape(-1, 3).T
    attributes = np.array(xattrs, dtype=np.int32).reshape(-1, 4).T
    return LayerTree(
        kinds=np.array(kinds, dtype=np.uint8),
        sizes=np.array(sizes, dtype=np.int64),
        name_directories=named[0],
        name_inodes=named[1],
        name_lengths=named[2],
        xattr_inodes=attributes[0],
        xattr_namespaces=attributes[1].astype(np.uint8),
        xattr_name_lengths=attributes[2],
        xattr_value_lengths=attributes[3],
    )
