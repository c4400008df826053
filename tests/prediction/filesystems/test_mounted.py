"""What is known of a real file system is how mkfs made it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layerscan.files.mounts import DataPlace, Mount, place_of
from layerscan.prediction.filesystems.mounted import shape_of
from layerscan.prediction.filesystems.names import FileSystemShape, parse_file_system
from tests.builders.user import as_nobody
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 400 << 20

NAMES = [
    "ext4,block=1024,inode=128",
    "ext4,block=4096,inode=256",
    "ext4,block=4096,cluster=65536,inode=512",
    "xfs,block=4096,inode=512",
    "xfs,block=4096,inode=1024",
    "btrfs,nodesize=16384,profile=dup",
    "btrfs,nodesize=4096,profile=single",
]


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_what_mkfs_made(open_path: Path, name: str) -> None:
    require_root()
    require_programs(*loop.PROGRAMS, *loop.BTRFS_PROGRAMS, "mkfs.xfs")
    with loop.named(name, str(open_path / "disk"), SIZE) as folder:
        os.mkdir(f"{folder}/data")
        found = shape_of(place_of(f"{folder}/data"))
        seen = as_nobody(lambda: shape_of(place_of(f"{folder}/data")))
    assert found is not None
    assert found.features == ()
    assert found.name.replace("btrfs,block=4096", "btrfs") == name
    # Only root can see the inodes of ext4.
    assert seen is not None
    lacks_inode = name.startswith("ext4")
    assert seen.name == (name.partition(",inode")[0] if lacks_inode else found.name)


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "options", "feature"),
    [("ext4", ("-O", "inline_data"), "inline_data"), ("btrfs", ("--mixed",), "mixed")],
)
def test_features_that_no_model_knows(
    tmp_path: Path, kind: str, options: tuple[str, ...], feature: str
) -> None:
    require_root()
    require_programs(*loop.PROGRAMS, *loop.BTRFS_PROGRAMS)
    make = {"ext4": loop.ext4, "btrfs": loop.btrfs}[kind]
    with make(str(tmp_path / "disk"), SIZE, *options) as folder:
        found = shape_of(place_of(folder))
    assert found is not None
    assert found.features == (feature,)


def test_kinds_without_a_model(tmp_path: Path) -> None:
    def shape(kind: str) -> FileSystemShape | None:
        mount = Mount("0:99", "/", kind, ("rw",))
        return shape_of(DataPlace(mount, mount, str(tmp_path), ()))

    assert shape("zfs") == FileSystemShape("zfs", {})
    assert shape("f2fs") == FileSystemShape("f2fs", {"block": os.statvfs(tmp_path).f_frsize})
    # Asked in a way that another file system does not answer, nothing is made up.
    assert shape("xfs") == FileSystemShape("xfs", {})
    assert shape("btrfs") == FileSystemShape("btrfs", {})
    assert shape("") is None
    assert shape("overlay") is None


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("ext4", "ext4,block=4096,inode=128", False),
        ("ext4,inode=256", "ext4,inode=128", True),
        ("ext4,block=4096", "ext4,block=4096,cluster=65536", True),
        ("ext4,block=4096,cluster=4096", "ext4,block=4096", False),
        ("ext4", "ext4,cluster=65536", False),
        ("ext4", "xfs", True),
        ("btrfs,profile=dup", "btrfs,profile=single", True),
        ("btrfs,profile=dup", "btrfs,nodesize=4096", False),
    ],
)
def test_what_contradicts(one: str, other: str, answer: bool) -> None:  # noqa: FBT001 - a parameter
    first, second = parse_file_system(one), parse_file_system(other)
    assert first.contradicts(second) is second.contradicts(first) is answer
