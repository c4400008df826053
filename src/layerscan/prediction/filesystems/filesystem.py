"""What every model of a file system gives: the space that things take on it."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from layerscan.tar.tree import LayerTree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FileCosts(Protocol):
    """What single files and folders take on a file system."""

    @property
    def unit(self) -> int:
        """Bytes of the least that it gives out: a block, or a cluster."""

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""

    def folder(self) -> int:
        """Bytes by ``st_blocks`` of a folder with few names or none."""


class FileSystem(ABC):
    """A file system as arithmetic; a kind of `FileCosts`."""

    name: str  # as --fs takes it, with all that the figures depend on
    block_size: int  # bytes of a block, what statvfs(3) gives as f_bsize
    unit: int  # bytes of the least that it gives out
    margin = 0.0  # by which share of what it says the truth may be more: the exact rule adds it

    @abstractmethod
    def inodes(self, tree: LayerTree) -> "NDArray[np.int64] | NDArray[np.float64]":
        """Bytes by ``st_blocks`` of each inode of an unpacked layer. Shape (inodes,).

        A mean where it depends on what no model can know.
        """

    def tree(self, tree: LayerTree) -> int:
        """Bytes by ``st_blocks`` of all its inodes, its root included."""
        return int(self.inodes(tree).sum())

    @abstractmethod
    def overhead(self, tree: LayerTree) -> int:
        """Bytes that the tree takes beside these: what no ``st_blocks`` shows.

        Inodes and other metadata, so far as they make the used bytes of the file
        system grow, see statvfs(3). Below zero where `tree` counts blocks that are
        not taken, as on btrfs for small files.
        """

    def overhead_of(self, inodes: int) -> int | None:  # noqa: ARG002 - for those that can tell
        """`overhead` of as many inodes, None where it takes more than their number to know it."""
        return None

    @abstractmethod
    def refused(self, tree: LayerTree) -> str:
        """What the tree has that this file system cannot hold, in words; empty for nothing.

        Only what is certain: where it depends on the order in which an engine makes
        things, nothing is said.
        """

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""
        return -(-size // self.unit) * self.unit

    @abstractmethod
    def folder(self) -> int:
        """Bytes by ``st_blocks`` of a folder with few names or none."""
