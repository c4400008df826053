"""A fresh file system on a loop device: the disk of a device, for measuring what fills it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from layerscan.prediction.filesystems import names
from tests.engines.engine import unmount_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

PROGRAMS = ("mkfs.ext4", "losetup", "mount", "umount")
XFS_PROGRAMS = ("mkfs.xfs", *PROGRAMS[1:])
BTRFS_PROGRAMS = ("mkfs.btrfs", *PROGRAMS[1:])


def ext4(path: str, size: int, *options: str) -> AbstractContextManager[str]:
    """Mount a fresh ext4 of `size` bytes at the new folder `path`; yields `path`.

    At the end it is unmounted, with all mounted below it, and detached.
    `options` go to mkfs.ext4.
    """
    # No lazy initialization: a kernel thread would be writing while we measure.
    eager = ("-E", "lazy_itable_init=0,lazy_journal_init=0")
    return _fresh("ext4", path, size, "mkfs.ext4", "-q", *eager, *options)


def xfs(path: str, size: int, *options: str) -> AbstractContextManager[str]:
    """Like `ext4`; `size` at least 300 MiB, which is the least that mkfs.xfs takes."""
    return _fresh("xfs", path, size, "mkfs.xfs", "-q", *options)


def btrfs(path: str, size: int, *options: str) -> AbstractContextManager[str]:
    """Like `ext4`."""
    return _fresh("btrfs", path, size, "mkfs.btrfs", "-q", *options)


def named(name: str, path: str, size: int, *options: str) -> AbstractContextManager[str]:
    """A fresh file system of the kind and with the parameters that `name` says, as `ext4`."""
    kind, parameters, _ = names.parse_file_system(name)
    make = {"ext4": ext4, "xfs": xfs, "btrfs": btrfs}[kind]
    return make(path, size, *mkfs_options(kind, parameters), *options)


def mkfs_options(kind: str, parameters: Mapping[str, object]) -> list[str]:
    """What tells mkfs of `kind` the parameters of a file system's name."""
    return [part.format(value) for key, value in parameters.items() for part in _MKFS[kind, key]]


_MKFS = {
    ("ext4", "block"): ("-b", "{}"),
    ("ext4", "cluster"): ("-O", "bigalloc", "-C", "{}"),
    ("ext4", "inode"): ("-I", "{}"),
    ("xfs", "block"): ("-b", "size={}"),
    ("xfs", "inode"): ("-i", "size={}"),
    ("btrfs", "nodesize"): ("-n", "{}"),
    ("btrfs", "profile"): ("-m", "{}", "-d", "single"),
}


@contextmanager
def _fresh(kind: str, path: str, size: int, *mkfs: str) -> Iterator[str]:
    with ExitStack() as cleanup:
        folder = tempfile.mkdtemp(prefix=f"ls{kind}-")
        cleanup.callback(shutil.rmtree, folder)
        image = os.path.join(folder, "image")
        with open(image, "wb") as file:
            file.truncate(size)
        _run(*mkfs, image)
        device = _run("losetup", "--find", "--show", "--", image)
        cleanup.callback(_run, "losetup", "--detach", device)
        os.makedirs(path)
        cleanup.callback(os.rmdir, path)
        cleanup.callback(unmount_below, path, itself=True)
        _run("mount", "-t", kind, device, path)
        yield path


def used_bytes(path: str) -> int:
    """How many bytes of its file system at `path` are in use, all written out before.

    Blocks of delayed allocation count only once they are written, and freed
    ones until the journal commits.
    """
    # Of this file system alone: others on the machine may be busy.
    _run("sync", "--file-system", path)
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def used_inodes(path: str) -> int:
    """How many inodes of its file system at `path` are in use; not of a btrfs."""
    found = os.statvfs(path)
    return found.f_files - found.f_ffree


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return done.stdout.strip()
