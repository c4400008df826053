"""A fresh ext4 on a loop device: the disk of a device, for measuring what fills it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.engines.docker import unmount_below

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("mkfs.ext4", "losetup", "mount", "umount")


@contextmanager
def ext4(path: str, size: int, *options: str) -> Iterator[str]:
    """Mount a fresh ext4 of `size` bytes at the new folder `path`; yields `path`.

    At the end it is unmounted, with all mounted below it, and detached.
    `options` go to mkfs.ext4.
    """
    with ExitStack() as cleanup:
        folder = tempfile.mkdtemp(prefix="lsext4-")
        cleanup.callback(shutil.rmtree, folder)
        image = os.path.join(folder, "image")
        with open(image, "wb") as file:
            file.truncate(size)
        # No lazy initialization: a kernel thread would be writing while we measure.
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options, image)
        device = _run("losetup", "--find", "--show", "--", image)
        cleanup.callback(_run, "losetup", "--detach", device)
        os.makedirs(path)
        cleanup.callback(os.rmdir, path)
        cleanup.callback(unmount_below, path, itself=True)
        _run("mount", "-t", "ext4", device, path)
        yield path


def used_bytes(path: str) -> int:
    """How many bytes of its file system at `path` are in use, all written out before.

    Blocks of delayed allocation count only once they are written, and freed
    ones until the journal commits.
    """
    os.sync()
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return done.stdout.strip()
