"""The model of ext4 against ext4: blocks of every inode of trees on loop devices."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.errors import LayerscanError
from layerscan.prediction.filesystems import FILE_SYSTEMS, file_system
from layerscan.prediction.filesystems.ext4 import BLOCK_SIZES, Ext4
from layerscan.prediction.filesystems.ext4_extents import LONGEST_EXTENT, extent_blocks
from layerscan.tar.tree import InodeKind, XattrNamespace
from tests.builders.layer_trees import walked
from tests.builders.model_case import (
    Disk,
    assert_refuses_what_the_disk_does,
    attributes_of_one,
    differences,
    folder_tree,
    put,
    trees,
)
from tests.builders.tree import Device, Dir, Fifo, File, Link, Symlink, Whiteout, apply
from tests.conftest import require_programs
from tests.engines import loop
from tests.oracles.htree import Entry, blocks_of, entry_length, real_hashes
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.builders.model_case import Attributes
    from tests.builders.tree import Op

MEBIBYTE = 1 << 20
DISK = 1024 * MEBIBYTE
MEASURED = (1024, 2048, 4096)


@pytest.fixture(scope="module", params=MEASURED)
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    require_root()
    require_programs(*loop.PROGRAMS, "dumpe2fs", "debugfs")
    path = tmp_path_factory.mktemp("disk") / "mounted"
    options = ("-b", str(request.param), "-N", "200000")
    with loop.ext4(str(path), DISK, *options) as mounted:
        found = Disk(mounted)
        require(found.block_size == request.param, f"no ext4 with blocks of {request.param}")
        yield found


def test_every_kind_of_inode(disk: Disk) -> None:
    folder = disk.folder()
    block = disk.block_size
    lengths = (0, 1, block - 1, block, block + 1, 10 * block, 12 * block + 7, 300 * block + 1)
    apply(
        folder,
        *(File(f"files/{length}", size=length, seed=1) for length in lengths),
        *(Symlink(f"links/{length}", "t" * length) for length in (1, 59, 60, 61, block - 1)),
        Link("files/again", "files/1"),
        Link("links/again", "links/60"),
        Dir("empty"),
        Fifo("fifo"),
        Device("null"),
        Whiteout("gone"),
    )
    assert differences(Ext4(disk.block_size), folder) == {}


@pytest.mark.parametrize("attribute", ["user.a", "user.abcd", "user.abcde", "trusted.overlay.x"])
def test_attributes_move_out_of_the_inode_when_it_is_full(disk: Disk, attribute: str) -> None:
    folder = disk.folder()
    for length in (0, 1, *range(44, 76), 200, disk.block_size - 100):
        for path in (f"{folder}/f{length}", f"{folder}/d{length}"):
            if path.startswith(f"{folder}/f"):
                with open(path, "wb") as file:
                    file.write(b"content")
            else:
                os.mkdir(path)
            os.setxattr(path, attribute, b"v" * length)
    assert differences(Ext4(disk.block_size), folder) == {}
    assert any(walked(folder).usage[1:] > disk.block_size)


def acl(named: int) -> bytes:
    """The value of ``system.posix_acl_access`` with so many named users."""
    users = ((0x02, 6, 1000 + user) for user in range(named))
    nobody = 0xFFFFFFFF
    mask = ((0x10, 7, nobody),) if named else ()
    entries = ((0x01, 6, nobody), *users, (0x04, 4, nobody), *mask, (0x20, 4, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.parametrize("named", [0, 1, 2, 5, 6, 7, 8, 9, 20])
def test_access_control_lists(disk: Disk, named: int) -> None:
    folder = disk.folder()
    # Nothing is kept of one that says no more than the mode, so a walk does not see it.
    os.mkdir(f"{folder}/both")
    os.setxattr(f"{folder}/both", "system.posix_acl_access", acl(named))
    os.mkdir(f"{folder}/default")
    os.setxattr(f"{folder}/default", "system.posix_acl_default", acl(named))
    os.setxattr(f"{folder}/default", "user.a", b"1234")
    assert differences(Ext4(disk.block_size), folder) == {}


A_FEW = attributes_of_one(st.integers(0, 120), 3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(longest_target=1000, most=24, values=A_FEW))
def test_any_small_tree(disk: Disk, tree: tuple[list[Op], Attributes]) -> None:
    folder = disk.folder()
    put(folder, *tree)
    # Of so few names no leaf is split twice, and nothing depends on their hashes.
    assert differences(Ext4(disk.block_size), folder) == {}


FOLDERS = [
    (1, 1, 10),
    (30, 20, 40),
    (100, 1, 255),
    (1000, 5, 40),
    (1000, 250, 255),
    (12_000, 6, 7),
    (12_000, 5, 60),
]


def device_of(path: str) -> str:
    number = os.stat(path).st_dev
    link = os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return f"/dev/{os.path.basename(link)}"


@pytest.mark.slow
@pytest.mark.parametrize(("names", "shortest", "longest"), FOLDERS)
def test_growth_of_a_folder_with_the_hashes_of_its_disk(
    disk: Disk, names: int, shortest: int, longest: int
) -> None:
    lengths = np.random.default_rng(names).integers(shortest, longest, names, endpoint=True)
    made = [f"{number:x}".ljust(length, "n") for number, length in enumerate(lengths)]
    folder = disk.folder()
    at = os.open(folder, os.O_RDONLY)
    for name in made:
        os.mknod(name, dir_fd=at)
    os.close(at)
    # Given the hashes, the rules say exactly how many blocks it has.
    hashes = real_hashes(device_of(folder), made)
    entries = [Entry(*one) for one in zip(hashes, map(entry_length, map(len, made)), strict=True)]
    blocks = os.stat(folder).st_size // disk.block_size
    assert blocks == blocks_of(entries, disk.block_size)
    # Without them, the model says the mean of all disks.
    dice = np.random.default_rng(2)
    grown = [
        blocks_of(
            [one._replace(hash=int(dice.integers(1 << 31)) << 1) for one in entries],
            disk.block_size,
        )
        for _ in range(8)
    ]
    told = Ext4(disk.block_size).tree(folder_tree([len(name) for name in made]))
    assert told / disk.block_size == pytest.approx(np.mean(grown), rel=0.05, abs=2)


def test_folder_whose_growth_others_interrupt_has_a_list_of_its_pieces(disk: Disk) -> None:
    folder = disk.folder()
    names = [f"{number:05d}-a-name-of-some-length" for number in range(2000)]
    for name in names:
        os.mkdir(os.path.join(folder, name))
    os.sync()
    found = os.stat(folder)
    beside = found.st_blocks * 512 - found.st_size
    assert beside >= disk.block_size
    tree = folder_tree([len(name) for name in names])
    alone = Ext4(disk.block_size).tree(tree)
    kinds = np.full_like(tree.kinds, InodeKind.DIRECTORY)
    among = Ext4(disk.block_size).tree(tree._replace(kinds=kinds)) - 2000 * disk.block_size
    assert 0 <= among - alone - beside <= 2 * disk.block_size


def test_large_file(disk: Disk) -> None:
    folder = disk.folder()
    size = 160 * MEBIBYTE
    with open(f"{folder}/file", "wb") as file:
        file.writelines(b"x" * MEBIBYTE for _ in range(size // MEBIBYTE))
    os.sync()
    taken = os.stat(f"{folder}/file").st_blocks * 512
    told = Ext4(disk.block_size).file(size)
    # It may lie in more pieces than it must.
    assert told <= taken <= told + 2 * disk.block_size
    os.unlink(f"{folder}/file")


@pytest.mark.parametrize(
    ("extents", "blocks"),
    [(0, 0), (1, 0), (4, 0), (5, 1), (84, 1), (85, 2), (336, 4), (337, 6), (84 * 84 * 4 + 1, 343)],
)
def test_list_of_pieces(extents: int, blocks: int) -> None:
    # 84 in a block of 1 KiB, and another level of it for more than four blocks.
    assert extent_blocks(np.array([extents]), 1024)[0] == blocks


def test_list_of_pieces_of_a_file() -> None:
    for block_size in BLOCK_SIZES:
        four = 4 * LONGEST_EXTENT * block_size
        model = Ext4(block_size)
        assert model.file(four) == four
        assert model.file(four + 1) == four + 2 * block_size


def test_parts_agree_with_the_tree() -> None:
    for block_size in BLOCK_SIZES:
        model = Ext4(block_size)
        sizes = (0, 1, 59, 60, 5000, 100_000)
        tree = folder_tree([3] * len(sizes))
        for kind, part in ((InodeKind.FILE, model.file), (InodeKind.SYMLINK, model.symlink)):
            kinds = np.array([InodeKind.DIRECTORY, *[kind] * len(sizes)], dtype=np.uint8)
            whole = tree._replace(kinds=kinds, sizes=np.array([0, *sizes]))
            parts = [part(size) for size in sizes if kind is InodeKind.FILE or size < block_size]
            told = model.inodes(whole)[1 : 1 + len(parts)]
            assert told.tolist() == parts
        assert model.folder() == model.tree(folder_tree([]))
        assert model.overhead(tree) == 0


def test_file_systems_by_name() -> None:
    for name in FILE_SYSTEMS:
        model = file_system(name)
        assert (model.name, model.block_size) == (name, 4096)
    assert file_system("ext4", 1024).block_size == 1024
    with pytest.raises(LayerscanError, match=r"no file system 'zfs': there are ext4, xfs, "):
        file_system("zfs")
    with pytest.raises(LayerscanError, match=r"no ext4 has blocks of 512 bytes, but of 1024, "):
        file_system("ext4", 512)


def test_what_it_cannot_hold_is_refused(disk: Disk) -> None:
    size = disk.block_size
    assert_refuses_what_the_disk_does(
        Ext4(size),
        disk,
        # Linux itself takes none of 4,096 bytes.
        targets=range(size - 3, min(size + 3, 4096)),
        values=range(size - 70, size - 30),
    )


def test_attributes_that_do_not_fit_together_are_refused(disk: Disk) -> None:
    third = disk.block_size // 3
    attributes = [(1, XattrNamespace.USER, 1, third) for _ in range(3)]
    assert Ext4(disk.block_size).refused(folder_tree([1], attributes=attributes[:2])) == ""
    told = Ext4(disk.block_size).refused(folder_tree([1], attributes=attributes))
    assert told.startswith("extended attributes take ")
    path = f"{disk.folder()}/file"
    with open(path, "xb"):
        pass
    os.setxattr(path, "user.a", b"v" * third)
    os.setxattr(path, "user.b", b"v" * third)
    with pytest.raises(OSError, match="No space left"):
        os.setxattr(path, "user.c", b"v" * third)
