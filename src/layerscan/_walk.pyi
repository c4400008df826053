"""What the compiled walk offers to Python; `layerscan.walker` is its only caller.

A tally is a tuple of eleven integers: blocks (of 512 bytes), size and holes
(bytes), files, directories, symlinks, others, duplicates, mounts, vanished,
errors; `layerscan.walker.Usage` says what each is.
"""

from collections.abc import Callable
from typing import TypeAlias

Tally: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int]
# Path, errno, and whether it is in the named child.
Fault: TypeAlias = tuple[bytes, int, bool]
# Root's errno or 0; the tree's tally; the named child's, if the tree has it; faults by path.
TreeFacts: TypeAlias = tuple[int, Tally, Tally | None, list[Fault]]

def walk_trees(
    paths: list[bytes],
    child: bytes | None,
    threads: int,
    cross_mounts: bool,
    on_progress: Callable[[int, int], object] | None,
    interval: float,
) -> list[TreeFacts]:
    """Walk each of `paths` in one pool of threads, without the GIL.

    Args:
        paths: the roots, in file system encoding.
        child: name of an entry of each root to be counted apart as well.
        threads: how many; 0 chooses by the cores and the descriptors allowed.
        cross_mounts: enter other file systems that are mounted in a tree.
        on_progress: called with the entries counted and the trees done so far,
            from the calling thread; what it raises ends the walk.
        interval: seconds between two such calls, in steps of 0.05.

    Raises:
        MemoryError: there was not enough for the walk's own bookkeeping.
        ValueError: a path contains a NUL byte.
    """
