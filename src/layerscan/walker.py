"""The Python face of the walk: what a tree holds and what it takes of the disk.

Owns the result type, errors, progress, and the choice of implementation: the
compiled walk (``_walk``), or the plain Python one with the same rules
(``_pywalk``) where the environment asks for it with ``LAYERSCAN_WALK=python``.
The latter is for diagnosis and is never chosen silently: where the compiled
walk is missing, walking fails.

The rules are GNU du's, as of ``du -x``: every inode of the tree counts,
directories and the root included, an inode with several names once per tree,
symlinks as themselves. Other file systems mounted in the tree are not entered.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from layerscan._walk import Fault, Tally, TreeFacts

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# Seconds between two calls of on_progress.
_PROGRESS_INTERVAL = 0.1


class WalkError(NamedTuple):
    """An entry that could not be read.

    Attributes:
        path: the root as it was given, and the way down from it; the bytes of
            the file system, which need be no UTF-8.
        errno: why, as in errno(3).
    """

    path: bytes
    errno: int

    def __str__(self) -> str:
        """One printable line: what did not work, and why."""
        return f"{printable(self.path)}: {os.strerror(self.errno)}"


class Progress(NamedTuple):
    """How far a walk has come.

    Attributes:
        entries: directory entries looked at so far, in all trees.
        trees_done: trees that are finished.
    """

    entries: int
    trees_done: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a walk found in one tree.

    Attributes:
        blocks: sum of ``st_blocks``, in units of 512 bytes whatever the file
            system's block size, see stat(2).
        size: sum of ``st_size`` in bytes of everything that is no directory;
            a symlink's is the length of its target. Docker records this size.
        files: regular files, each inode once.
        directories: directories, the root included.
        symlinks: symbolic links, each inode once.
        others: device nodes, FIFOs and sockets, each inode once.
        holes: bytes of regular files for which the file system keeps no block:
            what `blocks` would gain if they were copied as zeros.
        duplicates: further names of inodes that are counted already.
        mounts: directories on which another file system is mounted; neither
            entered nor counted.
        vanished: entries that were gone when the walk came to them. The other
            figures are then those of a tree that was changing.
        errors: what could not be read, in the order of paths; not in the other
            figures. Of more than 100,000 in one walk only some are kept.
        error_count: how many there were.
        child: the same for the child that was asked for, or None.
    """

    blocks: int
    size: int
    files: int
    directories: int
    symlinks: int
    others: int
    holes: int = 0
    duplicates: int = 0
    mounts: int = 0
    vanished: int = 0
    errors: tuple[WalkError, ...] = ()
    error_count: int = 0
    child: "Usage | None" = None

    @property
    def usage(self) -> int:
        """Bytes of disk taken: `blocks` in bytes, rounded up to whole KiB like ``du -sk``."""
        return -(-self.blocks // 2) * 1024

    @property
    def entries(self) -> int:
        """Directory entries counted, the root included."""
        return self.files + self.directories + self.symlinks + self.others + self.duplicates


def walk(
    path: AnyPath,
    *,
    child: str | bytes | None = None,
    threads: int | None = None,
    one_file_system: bool = True,
    on_progress: Callable[[Progress], object] | None = None,
) -> Usage:
    """Walk the tree at `path`.

    The GIL is released for the whole walk; any number of walks may run at once.
    A KeyboardInterrupt ends it within a fraction of a second.

    Args:
        path: a directory, or anything else that then counts alone. A symlink
            is not followed.
        child: the name of an entry of `path` to be counted apart as well.
        threads: how many at the most; default: by the cores and the work at hand.
        one_file_system: do not enter other file systems mounted in the tree.
        on_progress: called about ten times a second, and at the end, from the
            calling thread. What it raises ends the walk.

    Raises:
        OSError: `path` itself could not be read; whatever lies below is in
            `Usage.errors` instead.
        LayerscanError: LAYERSCAN_WALK asks for a walk that does not exist, or
            the compiled walk cannot be loaded.
        ValueError: `path` contains a NUL byte, or `threads` is less than 1.
    """
    (usage,) = walk_many(
        [path],
        child=child,
        threads=threads,
        one_file_system=one_file_system,
        on_progress=on_progress,
    )
    if not usage.entries and usage.errors:
        error = usage.errors[0].errno
        raise OSError(error, os.strerror(error), os.fspath(path))
    return usage


def walk_many(
    paths: Iterable[AnyPath],
    *,
    child: str | bytes | None = None,
    threads: int | None = None,
    one_file_system: bool = True,
    on_progress: Callable[[Progress], object] | None = None,
) -> list[Usage]:
    """Walk several trees in one pool of threads.

    Like `walk` for each of `paths`, but a root that cannot be read raises
    nothing: its `Usage` is all zeros, with the error in `Usage.errors`. An
    inode that two of the trees share counts in both.

    Returns:
        One `Usage` for each of `paths`, in their order. It does not depend on
        the number of threads.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    walk_trees = _implementation()
    trees = walk_trees(
        [os.fsencode(path) for path in paths],
        None if child is None else os.fsencode(child),
        threads or 0,
        not one_file_system,
        None if on_progress is None else lambda *facts: on_progress(Progress(*facts)),
        _PROGRESS_INTERVAL,
    )
    return [_usage(root, facts) for root, facts in trees]


def implementation_name() -> str:
    """Which walk is in use: ``compiled``, or ``python`` where LAYERSCAN_WALK says so.

    Raises:
        LayerscanError: LAYERSCAN_WALK says something else.
    """
    name = os.environ.get("LAYERSCAN_WALK") or "compiled"
    if name not in ("compiled", "python"):
        raise LayerscanError(
            f"LAYERSCAN_WALK={name!r}: there is no such walk; unset it, or set it to "
            "'compiled' or 'python'"
        )
    return name


def printable(path: bytes | str) -> str:
    """`path` for a message: what is no printable text is escaped, no byte is lost."""
    text = os.fsdecode(path)
    return "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)


def _escape(c: str) -> str:
    if "\udc80" <= c <= "\udcff":
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode("ascii")


_WalkTrees: TypeAlias = Callable[
    [list[bytes], bytes | None, int, bool, Callable[[int, int], object] | None, float],
    "list[tuple[bytes, TreeFacts]]",
]


def _implementation() -> _WalkTrees:
    if implementation_name() == "python":
        from layerscan._pywalk import walk_trees
    else:
        try:
            from layerscan._walk import walk_trees
        except ImportError as error:
            raise LayerscanError(
                f"the compiled walk cannot be loaded ({error}): install layerscan again, or set "
                "LAYERSCAN_WALK=python to do with the slow one"
            ) from error
    return lambda paths, *rest: list(zip(paths, walk_trees(paths, *rest), strict=True))


def _usage(root: bytes, facts: "TreeFacts") -> Usage:
    root_error, whole, child, faults = facts
    if root_error:
        return Usage(0, 0, 0, 0, 0, 0, errors=(WalkError(root, root_error),), error_count=1)
    child_usage = None
    if child is not None:
        child_usage = _from_tally(child, [fault for fault in faults if fault[2]], None)
    return _from_tally(whole, faults, child_usage)


def _from_tally(tally: "Tally", faults: "list[Fault]", child: Usage | None) -> Usage:
    (
        blocks,
        size,
        holes,
        files,
        directories,
        symlinks,
        others,
        duplicates,
        mounts,
        vanished,
        errors,
    ) = tally
    return Usage(
        blocks=blocks,
        size=size,
        holes=holes,
        files=files,
        directories=directories,
        symlinks=symlinks,
        others=others,
        duplicates=duplicates,
        mounts=mounts,
        vanished=vanished,
        errors=tuple(WalkError(path, errno) for path, errno, _ in faults),
        error_count=errors,
        child=child,
    )
