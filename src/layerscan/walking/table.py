"""File tables: a row for each inode of a tree, as a NumPy structured array.

Owns the layout of the rows, and what can be asked of them: what the same tree
would take on a file system of another block size, and how files spread over
sizes. The walk fills the rows in C; nothing here loops over them in Python.
"""

import os
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from layerscan.extras import needed
from layerscan.text import printable_path
from layerscan.walking.walker import BLOCK, AnyPath, Progress, os_error, run_compiled

if TYPE_CHECKING:
    import numpy as np

    from layerscan._walk import Cancel

    ROW: np.dtype[np.void]
_FIELDS = {"inode": "u8", "size": "u8", "blocks": "u8", "nlink": "u4", "depth": "u4", "kind": "u1"}
"""Of `ROW`, which is the type of a row, 40 bytes in the machine's byte order:

==========  ======  ==========================================================
``inode``   uint64  inode number (``st_ino``)
``size``    uint64  length in bytes (``st_size``)
``blocks``  uint64  disk taken, in units of 512 bytes (``st_blocks``, stat(2))
``nlink``   uint32  names that the inode has on its file system
``depth``   uint32  steps below the root, which has depth 0; of an inode with
                    several names in the tree, that of one of them
``kind``    uint8   a `Kind`
==========  ======  ==========================================================
"""

BLOCK_SIZES = tuple(1024 << power for power in range(7))
"""The block sizes in bytes that `block_histogram` asks about: 1 KiB to 64 KiB."""

Table: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.void]]"


class Kind(IntEnum):
    """What an inode is; the values are those of ``d_type`` in readdir(3)."""

    FIFO = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 4
    BLOCK_DEVICE = 6
    FILE = 8
    SYMLINK = 10
    SOCKET = 12


def __getattr__(name: str) -> object:
    # Without NumPy the rest of the library's names are still to be had.
    if name != "ROW":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed("numpy"):
        import numpy as np
    return np.dtype([*_FIELDS.items()], align=True)


def file_table(
    path: AnyPath,
    *,
    threads: int | None = None,
    one_file_system: bool = True,
    on_progress: Callable[[Progress], object] | None = None,
    cancel: "Cancel | None" = None,
) -> Table:
    """Every inode of the tree at `path`, each once, the root included.

    The rules are those of `layerscan.walk`, and so are the arguments: the sum
    of ``blocks`` is `Usage.blocks`. An entry that is removed while the walk
    runs has no row, as if the walk had begun a moment later.

    Returns:
        Array of shape ``(n,)`` and dtype `ROW`, sorted by inode. It is yours
        to change.

    Raises:
        OSError: `path`, or an entry below it, could not be read: a table with
            rows missing would pass for a whole one.
        InterruptedError: `cancel` was set.
        ValueError: see `layerscan.walk`.
        MissingPackageError: there is no NumPy.
    """
    with needed("numpy"):
        import numpy as np

    (root_error, tally, _, faults, _), rows = run_compiled(
        "list_inodes",
        (os.fsencode(path),),
        threads=threads,
        one_file_system=one_file_system,
        on_progress=on_progress,
        cancel=cancel,
    )
    if root_error:
        raise os_error(root_error, path)
    if faults:
        first, errno, _ = faults[0]
        error = os_error(errno, printable_path(first))
        if tally[-1] > 1:
            error.add_note(f"and {tally[-1] - 1} more entries could not be read")
        raise error
    table: Table = np.frombuffer(rows, dtype=np.dtype([*_FIELDS.items()], align=True))
    # The order in which threads found them must not show.
    return table[np.argsort(table["inode"], kind="stable")]


def usage_with_block_size(table: Table, block_size: int) -> int:
    """Bytes of disk that the tree would take with another block size.

    Each regular file takes its length rounded up to whole blocks, holes not
    spared; each directory, and each symlink too long for its inode, what it
    takes now rounded up; everything else nothing. Fragments, compression and
    inline data are not modelled.

    Raises:
        ValueError: `block_size`, in bytes, is less than 1.
    """
    import numpy as np

    if block_size < 1:
        raise ValueError(f"a block has at least 1 byte, not {block_size}")
    is_file = table["kind"] == Kind.FILE
    taken = np.where(is_file, table["size"], table["blocks"] * np.uint64(BLOCK))
    block = np.uint64(block_size)
    blocks = taken // block + (taken % block != 0)
    # Python integers: sparse files can add up to more than 64 bits.
    low = int((blocks & np.uint64(0xFFFFFFFF)).sum())
    high = int((blocks >> np.uint64(32)).sum())
    return ((high << 32) + low) * block_size


def block_histogram(table: Table, block_sizes: Iterable[int] = BLOCK_SIZES) -> dict[int, int]:
    """`usage_with_block_size` for each of `block_sizes`, in bytes."""
    return {size: usage_with_block_size(table, size) for size in block_sizes}
