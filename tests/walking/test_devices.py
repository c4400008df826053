"""File systems whose devices differ in one number alone are others all the same."""

from __future__ import annotations

import fcntl
import os
import subprocess
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from layerscan import walk
from tests.builders.tree import Dir, File, Link, apply
from tests.builders.walk_case import in_python
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81
HIGHEST_BIT = 1 << 19
"""Of a device's minor number, which has 20 bits."""
TREE = (File("f", size=5000), Link("g", "f"))


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """A tmpfs; in it an ext4 with the same minor number; in that one with the same major."""
    require_root()
    require_programs(*loop.PROGRAMS)
    with ExitStack() as cleanup:
        outer = _tmpfs_with_free_number(tmp_path, cleanup)
        apply(outer, *TREE)
        minor = os.minor(outer.stat().st_dev)
        inner, innermost = outer / "inner", outer / "inner/innermost"
        _mount_loop(minor, inner, cleanup)
        _mount_loop(minor ^ HIGHEST_BIT, innermost, cleanup)
        yield outer, inner, innermost


def _control(request: int, number: int) -> None:
    with open("/dev/loop-control", "rb") as control:
        fcntl.ioctl(control, request, number)


def _tmpfs_with_free_number(folder: Path, cleanup: ExitStack) -> Path:
    """A tmpfs whose minor number is that of no loop device, which then is made."""
    for attempt in range(100):
        made = folder / str(attempt)
        made.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", made], check=True)
        cleanup.callback(subprocess.run, ["umount", str(made)], check=True)
        with suppress(FileExistsError):
            _control(LOOP_CTL_ADD, os.minor(made.stat().st_dev))
            return made
    raise AssertionError("all loop devices are taken")


def _mount_loop(number: int, folder: Path, cleanup: ExitStack) -> None:
    """Mount an ext4 of `TREE` from the loop device `number` on the new `folder`."""
    with suppress(FileExistsError):
        _control(LOOP_CTL_ADD, number)
    cleanup.callback(_control, LOOP_CTL_REMOVE, number)
    device, image = f"{folder}.device", f"{folder}.image"
    apply(folder.parent, Dir(folder.name))
    os.mknod(device, 0o60600, os.makedev(7, number))
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
    subprocess.run(["losetup", device, image], check=True)
    cleanup.callback(subprocess.run, ["losetup", "--detach", device], check=True)
    subprocess.run(["mount", "-t", "ext4", device, folder], check=True)
    cleanup.callback(subprocess.run, ["umount", str(folder)], check=True)
    apply(folder, *TREE)


def test_devices_that_share_a_number_are_not_taken_for_one(
    folders: tuple[Path, Path, Path],
) -> None:
    outer, inner, innermost = folders
    majors, minors = zip(
        *((os.major(path.stat().st_dev), os.minor(path.stat().st_dev)) for path in folders),
        strict=True,
    )
    assert majors[0] != majors[1] == majors[2]
    assert minors[0] == minors[1] != minors[2]
    assert (inner / "f").stat().st_ino == (innermost / "f").stat().st_ino
    for path, mounts in ((outer, 1), (inner, 1), (innermost, 0)):
        assert _of_both_walks(path, one_file_system=True) == (mounts, 1)
    # No file is taken for another name of that with the same inode number.
    assert _of_both_walks(outer, one_file_system=False) == (0, 3)


def _of_both_walks(path: Path, *, one_file_system: bool) -> tuple[int, int]:
    """Mounts and further names; not blocks, which ext4 takes only after a while."""
    found = walk(path, one_file_system=one_file_system)
    with in_python():
        oracle = walk(path, one_file_system=one_file_system)
    assert (found.entries, found.size) == (oracle.entries, oracle.size)
    assert (found.mounts, found.duplicates) == (oracle.mounts, oracle.duplicates)
    return found.mounts, found.duplicates
