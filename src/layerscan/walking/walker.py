"""The Python face of the walk: what a tree holds and what it takes of the disk.

Owns the result type, errors and progress; the walk itself is compiled (``_walk``).

The rules are GNU du's, as of ``du -x``: every inode of the tree counts,
directories and the root included, an inode with several names once per tree,
symlinks as themselves. Other file systems mounted in the tree are not entered.
"""

import os
import stat
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from layerscan.errors import LayerscanError
from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan._walk import Cancel, Fault, Tally, TreeFacts

BLOCK = 512
"""The unit of ``st_blocks`` in bytes, whatever the file system's, see stat(2)."""

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class WalkError(NamedTuple):
    """An entry that could not be read, and why, as in errno(3)."""

    # the root as it was given, and the way down from it; the bytes of the file system, which need
    # be no UTF-8
    path: bytes
    errno: int

    def __str__(self) -> str:
        """One printable line: what did not work, and why."""
        return f"{printable_path(self.path)}: {os.strerror(self.errno)}"


class Progress(NamedTuple):
    """How far a walk has come: directory entries looked at, and trees that are finished."""

    entries: int
    trees_done: int


class Usage(NamedTuple):
    """What a walk found in one tree.

    Attributes:
        blocks: sum of ``st_blocks``, in units of 512 bytes, see stat(2).
        size: sum of ``st_size`` in bytes of everything that is no directory;
            a symlink's is the length of its target. Docker records this size.
        files, directories, symlinks: each inode once, the root included.
        others: device nodes, FIFOs and sockets, each inode once.
        holes: bytes of regular files for which the file system keeps no block:
            what `blocks` would gain if they were copied as zeros.
        directory_size: sum of ``st_size`` in bytes of the directories, which
            is in no other figure; what it says is the file system's own affair.
        duplicates: further names of inodes that are counted already; a directory
            is one where it lies below itself, by a mount or on a FUSE file system.
        mounts: directories on which another file system is mounted; neither
            entered nor counted.
        vanished: entries that were gone when the walk came to them. The other
            figures are then those of a tree that was changing.
        errors: what could not be read, in the order of paths; not in the other
            figures. Of more than 100,000 in one walk only some are kept.
        error_count: how many there were.
        shared_blocks: of trees that count `apart`, those of `blocks` that belong to inodes
            with further names outside of the tree: its removal does not free them.
        child: the same for the child that was asked for, or None.
    """

    blocks: int
    size: int
    files: int
    directories: int
    symlinks: int
    others: int
    holes: int = 0
    directory_size: int = 0
    duplicates: int = 0
    mounts: int = 0
    vanished: int = 0
    errors: tuple[WalkError, ...] = ()
    error_count: int = 0
    child: "Usage | None" = None
    shared_blocks: int = 0

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
    cancel: "Cancel | None" = None,
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
        cancel: a `threading.Event`, or anything with an ``is_set``: ends the walk.

    Raises:
        OSError: `path` itself could not be read; whatever lies below is in
            `Usage.errors` instead.
        InterruptedError: `cancel` was set.
        LayerscanError: the compiled walk cannot be loaded.
        ValueError: `path` or `child` contains a NUL byte, or `threads` is less than 1.
    """
    (usage,) = walk_many(
        [path],
        child=child,
        threads=threads,
        one_file_system=one_file_system,
        on_progress=on_progress,
        cancel=cancel,
    )
    if not usage.entries and usage.errors:
        raise os_error(usage.errors[0].errno, path)
    return usage


def walk_many(
    paths: Iterable[AnyPath],
    *,
    child: str | bytes | None = None,
    threads: int | None = None,
    one_file_system: bool = True,
    count_once: bool = False,
    apart: bool = False,
    borders: Iterable[AnyPath] = (),
    on_progress: Callable[[Progress], object] | None = None,
    cancel: "Cancel | None" = None,
) -> list[Usage]:
    """Walk several trees in one pool of threads.

    Like `walk` for each of `paths`, but a root that cannot be read raises
    nothing: its `Usage` is all zeros, with the error in `Usage.errors`.

    Args, beside those of `walk`:
        paths: the roots.
        count_once: as du does with several arguments: the trees are walked in
            their order, and what one has counted, an inode or a directory with
            all below it, counts in no later one. The `Usage` of a root that
            was counted before is all zeros.
        apart: each inode counts in one tree: a tree ends where another of `paths` begins,
            and an inode with several names counts in the first of `paths` that has one.
        borders: of trees that count `apart`, where they end as well.

    Raises:
        InterruptedError: see `walk`.
        TypeError: `paths` is one path, and not several.
        ValueError: see `walk`; or two of `child`, `count_once` and `apart` are given, or
            `borders` without `apart`.

    Returns:
        One `Usage` for each of `paths`, in their order. It does not depend on
        the number of threads.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"walk_many takes several paths, not one: give [{paths!r}], or call walk")
    if (child is not None) + count_once + apart > 1:
        raise ValueError("walk_many takes one of child, count_once and apart, not two")
    roots = [os.fsencode(path) for path in paths]
    ends = [os.fsencode(path) for path in borders]
    if ends and not apart:
        raise ValueError("walk_many takes borders only with apart")
    name = None if child is None else os.fsencode(child)
    if name is not None and b"\0" in name:
        raise ValueError("the name of a child cannot contain a NUL byte")
    all_inodes = count_once and not all(map(_is_directory, roots))
    trees = run_compiled(
        "walk_trees",
        ([*roots, *ends], name, count_once, all_inodes, apart, len(ends)),
        threads=threads,
        one_file_system=one_file_system,
        on_progress=on_progress,
        cancel=cancel,
    )
    return [_usage(root, facts) for root, facts in zip(roots, trees, strict=False)]


def _is_directory(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
    except (OSError, ValueError):
        return False  # the walk will say so


def run_compiled(
    function: str,
    arguments: tuple[object, ...],
    *,
    threads: int | None,
    one_file_system: bool,
    on_progress: Callable[[Progress], object] | None,
    cancel: "Cancel | None",
) -> Any:  # noqa: ANN401 - see _walk.pyi
    """Call a function of the compiled walk; all but `arguments` is as for `walk`."""
    # A short walk would end before it looks.
    if cancel is not None and cancel.is_set():
        raise InterruptedError("the walk was cancelled")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    try:
        call = getattr(import_module("layerscan._walk"), function)
    except ImportError as error:
        raise LayerscanError(
            f"the compiled walk cannot be loaded ({error}): install layerscan again"
        ) from error
    told = None if on_progress is None else lambda *facts: on_progress(Progress(*facts))
    return call(*arguments, threads or 0, not one_file_system, told, cancel)


def os_error(error: int, path: AnyPath) -> OSError:
    """The exception for an errno of the root `path`."""
    return OSError(error, os.strerror(error), os.fspath(path))


def _usage(root: bytes, facts: "TreeFacts") -> Usage:
    root_error, whole, child, faults, shared_blocks = facts
    if root_error:
        return Usage(0, 0, 0, 0, 0, 0, errors=(WalkError(root, root_error),), error_count=1)
    child_usage = None
    if child is not None:
        child_usage = _from_tally(child, [fault for fault in faults if fault[2]], None)
    return _from_tally(whole, faults, child_usage)._replace(shared_blocks=shared_blocks)


def _from_tally(tally: "Tally", faults: "list[Fault]", child: Usage | None) -> Usage:
    errors = tuple(WalkError(path, errno) for path, errno, _ in faults)
    return Usage(*tally[:-1], errors=errors, error_count=tally[-1], child=child)
