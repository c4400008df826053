"""What every model of a file system gives: the space that things take on it."""

from typing import Protocol

from layerscan.tar.tree import LayerTree


class FileCosts(Protocol):
    """What single files and folders take on a file system."""

    @property
    def unit(self) -> int:
        """Bytes of the least that it gives out: a block, or a cluster."""

    def file(self, size: int) -> int:
        """Bytes by ``st_blocks`` of a file of `size` bytes."""

    def folder(self) -> int:
        """Bytes by ``st_blocks`` of a folder with few names or none."""


class FileSystem(FileCosts, Protocol):
    """A file system as arithmetic."""

    @property
    def name(self) -> str:
        """As ``--fs`` takes it, with all that the figures depend on; see `names`."""

    @property
    def margin(self) -> float:
        """By which share of what it says the truth may be more; the exact rule adds it."""

    @property
    def block_size(self) -> int:
        """Bytes of a block, what statvfs(3) gives as ``f_bsize``."""

    def tree(self, tree: LayerTree) -> int:
        """Bytes by ``st_blocks`` of all inodes of an unpacked layer, its root included."""

    def overhead(self, tree: LayerTree) -> int:
        """Bytes that the tree takes beside these: what no ``st_blocks`` shows.

        Inodes and other metadata, so far as they make the used bytes of the file
        system grow, see statvfs(3). Below zero where `tree` counts blocks that are
        not taken, as on btrfs for small files.
        """

    def overhead_of(self, inodes: int) -> int | None:
        """`overhead` of as many inodes, None where it takes more than their number to know it."""

    def refused(self, tree: LayerTree) -> str:
        """What the tree has that this file system cannot hold, in words; empty for nothing.

        Only what is certain: where it depends on the order in which an engine makes
        things, nothing is said.
        """

    def symlink(self, length: int) -> int:
        """Bytes by ``st_blocks`` of a symlink whose target has `length` bytes."""
