"""What the compiled walk offers to Python; `walking.walker` and `walking.table` call it.

A tally is a tuple of twelve integers, in the order of `layerscan.walking.walker.Usage`,
which says what each is: from blocks to vanished, and in place of the errors their number.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from typing_extensions import Buffer

Tally: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
# Path, errno, and whether it is in the named child.
Fault: TypeAlias = tuple[bytes, int, bool]
# Root's errno or 0; the tree's tally; the named child's, if the tree has it; faults by path; of
# trees that count apart, the blocks of inodes with names outside of the tree.
TreeFacts: TypeAlias = tuple[int, Tally, Tally | None, list[Fault], int]

class Cancel(Protocol):
    def is_set(self) -> bool: ...

def walk_trees(
    paths: list[bytes],
    child: bytes | None,
    in_order: bool,
    all_inodes: bool,
    apart: bool,
    borders: int,
    threads: int,
    cross_mounts: bool,
    on_progress: Callable[[int, int], object] | None,
    cancel: Cancel | None,
) -> list[TreeFacts]:
    """Walk each of `paths` in one pool of threads, without the GIL.

    Args:
        paths: the roots, in file system encoding.
        child: name of an entry of each root to be counted apart as well.
        in_order: one tree after the other; what one has counted, a directory
            with all below it or an inode with several names, counts in no
            later one. A root counted before gives a tally of zeros.
        all_inodes: with `in_order`, look for inodes with one name as well:
            needed where a root is no directory.
        apart: a tree ends where another of `paths` begins, and an inode with several names
            counts in the first tree that has one. A root named twice counts the first time.
        borders: of trees that count apart, the last so many are only where others end.
        threads: how many; 0 chooses by the cores and the descriptors allowed.
        cross_mounts: enter other file systems that are mounted in a tree.
        on_progress: called every 0.1 seconds with the entries counted and the trees
            done so far, from the calling thread; what it raises ends the walk.
        cancel: looked at every 0.05 seconds: when it is set the walk ends.

    Raises:
        InterruptedError: `cancel` was set.
        MemoryError: there was not enough for the walk's own bookkeeping.
        ValueError: a path contains a NUL byte.
    """

class RowBuffer(Buffer):
    """Rows as `layerscan.walking.table.ROW` lays them out, in one piece of memory."""

def list_inodes(
    path: bytes,
    threads: int,
    cross_mounts: bool,
    on_progress: Callable[[int, int], object] | None,
    cancel: Cancel | None,
) -> tuple[TreeFacts, RowBuffer]:
    """Walk `path`, and keep a row for each inode, in no order.

    Arguments and errors are those of `walk_trees`.
    """
