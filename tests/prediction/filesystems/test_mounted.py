"""What is known of a real file system is how mkfs made it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from layerscan.files.mounts import DataPlace, Mount, place_of
from layerscan.prediction.filesystems import mounted
from layerscan.prediction.filesystems.mounted import btrfs_writable, cluster_blocks, shape_of
from layerscan.prediction.filesystems.names import FileSystemShape, parse_file_system
from tests.builders.user import as_nobody
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 400 << 20
MIB, GIB = 1 << 20, 1 << 30
# Kinds of the chunks of btrfs: BTRFS_BLOCK_GROUP_* and BTRFS_SPACE_INFO_GLOBAL_RSV of the kernel.
DATA, SYSTEM, METADATA, RAID0, DUP, RESERVE = 1, 2, 4, 8, 32, 4 | 1 << 49

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


def as_btrfs(monkeypatch: pytest.MonkeyPatch, *spaces: tuple[int, int, int]) -> None:
    """Have every folder on a btrfs that has so many bytes of each kind, and so many in use."""
    monkeypatch.setattr(mounted, "_btrfs_sizes", lambda _: (16384, 4096))
    monkeypatch.setattr(mounted, "_btrfs_spaces", lambda _: list(spaces))


@pytest.mark.parametrize(
    ("kinds", "options", "parameters", "features"),
    [
        ([METADATA], [], {"profile": "single"}, ()),
        ([METADATA | DUP, DATA], ["rw"], {"profile": "dup"}, ()),
        ([METADATA | DUP, METADATA], [], {"profile": "dup"}, ()),
        ([METADATA | RAID0], [], {}, ("profile",)),
        ([METADATA | DUP, METADATA | RAID0], [], {}, ("profile",)),
        ([METADATA, DATA | RAID0], [], {"profile": "single"}, ()),
        ([METADATA | DATA], [], {"profile": "single"}, ("mixed",)),
        ([METADATA], ["rw", "compress=zstd:3"], {"profile": "single"}, ("compress",)),
        ([METADATA], ["compress-force=lzo"], {"profile": "single"}, ("compress",)),
        ([METADATA | DATA | RAID0], ["compress"], {}, ("profile", "mixed", "compress")),
    ],
)
def test_shapes_of_btrfs(
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[int],
    options: list[str],
    parameters: dict[str, int | str],
    features: tuple[str, ...],
) -> None:
    as_btrfs(monkeypatch, *((kind, 1, 0) for kind in kinds))
    mount = Mount("0:99", "/", "btrfs", tuple(options))
    known = {"block": 4096, "nodesize": 16384, **parameters}
    assert shape_of(DataPlace(mount, mount, "/", ())) == FileSystemShape("btrfs", known, features)


# 4 MiB of metadata are set aside, and of what is available a 32nd is enough.
@pytest.mark.parametrize(
    ("spaces", "total", "taken_off"),
    [
        ([(METADATA, 104 * MIB, 0)], 10 * GIB, 0),
        ([(METADATA, 105 * MIB, MIB)], 10 * GIB, 0),
        ([(METADATA, 104 * MIB, 1)], 10 * GIB, 256 * MIB),
        ([(METADATA | DUP, 104 * MIB, 1)], 10 * GIB, 512 * MIB),
        ([(METADATA, 120 * MIB, 0), (RESERVE, 16 * MIB, 0)], 10 * GIB, 0),
        ([(METADATA, 120 * MIB, 0), (RESERVE, 16 * MIB + 1, 0)], 10 * GIB, 256 * MIB),
        # What mixed chunks have is room for metadata.
        ([(METADATA | DATA, 104 * MIB, 0)], 10 * GIB, 0),
        ([(SYSTEM, 3000 * MIB, 0)], 10 * GIB, 256 * MIB),
        # A chunk is no larger than a tenth of it all, or than what is in none.
        ([], 2000 * MIB, 200 * MIB),
        ([(DATA, 3010 * MIB, 10 * MIB)], 10 * GIB, 200 * MIB),
        ([(DATA, 2000 * MIB, 0), (DATA, 1000 * MIB, 0)], 10 * GIB, 200 * MIB),
        # On a large disk it may have a gibibyte.
        ([], 50 * GIB, 256 * MIB),
        ([], 50 * GIB + 1, GIB),
        ([(METADATA | DUP, 0, 0)], 51 * GIB, 2 * GIB),
        # Without a chunk to be had, what metadata there is will do, if there is any.
        ([(DATA, 3200 * MIB, 0), (METADATA, 4 * MIB, 0)], 10 * GIB, 3200 * MIB),
        ([(DATA, 3300 * MIB, 0), (METADATA, 4 * MIB + 1, 0)], 10 * GIB, 0),
    ],
)
def test_what_can_be_written_to_btrfs(
    monkeypatch: pytest.MonkeyPatch,
    spaces: list[tuple[int, int, int]],
    total: int,
    taken_off: int,
) -> None:
    as_btrfs(monkeypatch, *spaces)
    assert btrfs_writable("/", total, 3200 * MIB) == 3200 * MIB - taken_off


@pytest.mark.parametrize(
    ("folders", "blocks"),
    [
        # Each has its device, its `st_blocks` and its length.
        ([(1, 8, 4096), (1, 8, 4096)], 1),
        ([(1, 128, 4096), (1, 128, 4096)], 16),
        ([(1, 65536, 4096)], 8192),
        # An access control list, or a second block, takes another cluster.
        ([(1, 256, 4096), (1, 128, 4096)], 16),
        ([(1, 128, 4096), (1, 256, 8192)], 16),
        ([(1, 64, 4097), (1, 128, 4096)], 16),
        ([(1, 128, 4096), (1, 0, 60)], 16),
        ([(1, 128, 4096), (2, 8, 4096)], 16),
        ([(1, 128, 4096), (2, 8, 4096), (1, 8, 4096)], 16),
        ([(1, 1, 4096)], 1),
        ([(1, 0, 4096)], 1),
        ([], 1),
    ],
)
def test_blocks_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch, folders: list[tuple[int, int, int]], blocks: int
) -> None:
    found = [SimpleNamespace(st_dev=d, st_blocks=b, st_size=s) for d, b, s in folders]
    paths = ["/a/b/c", "/a/b", "/a", "/"]

    def stat(path: object) -> object:
        try:
            return found[paths.index(str(path))]
        except IndexError:
            raise FileNotFoundError from None

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        answer = cluster_blocks("/a/b/c", 4096)
    assert answer == blocks


@pytest.mark.parametrize("blocks", [1, 2, 16])
def test_a_cluster_of_ext4_shows_where_its_disk_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    monkeypatch.setattr(mounted, "cluster_blocks", lambda *_: blocks)
    block = os.statvfs(tmp_path).f_frsize
    mount = Mount("0:99", "/", "ext4", ("rw",))
    cluster = {} if blocks == 1 else {"cluster": blocks * block}
    found = shape_of(DataPlace(mount, mount, str(tmp_path), ()))
    assert found == FileSystemShape("ext4", {"block": block, **cluster})
