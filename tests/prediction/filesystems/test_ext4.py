"""The model of ext4 against ext4: blocks of every inode of trees on loop devices."""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.prediction.filesystems import file_system
from layerscan.prediction.filesystems.ext4 import Ext4
from layerscan.prediction.filesystems.ext4_folders import LONGEST_EXTENT, extent_blocks
from layerscan.tar.tree import InodeKind, XattrNamespace
from tests.builders.layer_trees import walked
from tests.builders.model_case import (
    Disk,
    assert_refuses_what_the_disk_does,
    attributes_of_one,
    differences,
    folder_tree,
    fresh_disk,
    put,
    succeeds,
    trees,
)
from tests.builders.tree import Device, Dir, Fifo, File, Link, Symlink, Whiteout, apply
from tests.conftest import require_programs
from tests.oracles.htree import Entry, blocks_of, entry_length, real_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.builders.model_case import Attributes
    from tests.builders.tree import Op

pytestmark = pytest.mark.slow


MEBIBYTE = 1 << 20
DISK = 4096 * MEBIBYTE
BY_BLOCK = ("ext4,block=1024", "ext4,block=2048", "ext4,block=4096")
OTHER_SHAPES = (
    "ext4,block=4096,inode=128",
    "ext4,block=1024,inode=1024",
    "ext4,block=4096,cluster=16384",
    "ext4,block=1024,cluster=8192,inode=512",
    "ext4,block=4096,cluster=65536,inode=128",
)


@pytest.fixture(scope="module", params=[*BY_BLOCK, *OTHER_SHAPES])
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    require_programs("dumpe2fs", "debugfs")
    place = tmp_path_factory.mktemp("disk")
    with fresh_disk(request.param, place, DISK, "-N", "40000") as made:
        yield made


def named(name: str) -> Ext4:
    model = file_system(name)
    assert isinstance(model, Ext4)
    return model


def model_of(disk: Disk) -> Ext4:
    return named(disk.name)


def modelled() -> Iterator[Ext4]:
    return map(named, (*BY_BLOCK, *OTHER_SHAPES, "ext4,block=65536"))


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
    assert differences(model_of(disk), folder) == {}


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
    assert differences(model_of(disk), folder) == {}
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
    assert differences(model_of(disk), folder) == {}


A_FEW = attributes_of_one(st.integers(0, 120), 3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(longest_target=1000, most=24, values=A_FEW))
def test_any_small_tree(disk: Disk, tree: tuple[list[Op], Attributes]) -> None:
    folder = disk.folder()
    put(folder, *tree)
    # Of so few names no leaf is split twice, and nothing depends on their hashes.
    assert differences(model_of(disk), folder) == {}


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
    model = model_of(disk)
    told = model.tree(folder_tree([len(name) for name in made]))
    in_unit = model.unit // disk.block_size
    units = [-(-one // in_unit) for one in grown]
    assert told / model.unit == pytest.approx(np.mean(units), rel=0.05, abs=2)
    assert blocks > 1 or told == model.unit


def test_folder_whose_growth_others_interrupt_has_a_list_of_its_pieces(disk: Disk) -> None:
    folder = disk.folder()
    names = [f"{number:05d}-a-name-of-some-length" for number in range(2000)]
    for name in names:
        os.mkdir(os.path.join(folder, name))
    os.sync()
    found = os.stat(folder)
    model = model_of(disk)
    beside = found.st_blocks * 512 - -(-found.st_size // model.unit) * model.unit
    # Few clusters need no such list.
    assert (beside >= model.unit) == (found.st_size > 4 * model.unit)
    tree = folder_tree([len(name) for name in names])
    alone = model.tree(tree)
    kinds = np.full_like(tree.kinds, InodeKind.DIRECTORY)
    among = model.tree(tree._replace(kinds=kinds)) - 2000 * model.unit
    assert 0 <= among - alone - beside <= 2 * model.unit


def test_large_file(disk: Disk) -> None:
    folder = disk.folder()
    size = 160 * MEBIBYTE
    with open(f"{folder}/file", "wb") as file:
        file.writelines(b"x" * MEBIBYTE for _ in range(size // MEBIBYTE))
    os.sync()
    taken = os.stat(f"{folder}/file").st_blocks * 512
    told = model_of(disk).file(size)
    # It may lie in more pieces than it must.
    assert told <= taken <= told + 2 * model_of(disk).unit
    os.unlink(f"{folder}/file")


@pytest.mark.parametrize(
    ("extents", "blocks"),
    [(0, 0), (1, 0), (4, 0), (5, 1), (84, 1), (85, 2), (336, 4), (337, 6), (84 * 84 * 4 + 1, 343)],
)
def test_list_of_pieces(extents: int, blocks: int) -> None:
    # 84 in a block of 1 KiB, and another level of it for more than four blocks.
    assert extent_blocks(np.array([extents]), 1024)[0] == blocks


def test_list_of_pieces_of_a_file() -> None:
    for model in modelled():
        four = 4 * LONGEST_EXTENT * model.block_size
        assert model.file(four) == four
        assert model.file(four + 1) == four + 2 * model.unit


def test_parts_agree_with_the_tree() -> None:
    for model in modelled():
        sizes = (0, 1, 59, 60, 5000, 100_000)
        tree = folder_tree([3] * len(sizes))
        files = tree._replace(sizes=np.array([0, *sizes]))
        assert model.inodes(files)[1:].tolist() == [model.file(size) for size in sizes]
        links = folder_tree([3] * 2, kind=InodeKind.SYMLINK)._replace(sizes=np.array([0, 59, 60]))
        assert model.inodes(links)[1:].tolist() == [0, model.unit]
        assert model.folder() == model.tree(folder_tree([]))
        assert model.overhead(tree) == 0


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
    path = f"{disk.folder()}/file"
    apply(os.path.dirname(path), File("file"))
    fitted = 0
    while succeeds(partial(os.setxattr, path, f"user.{fitted}", b"v" * third)):
        fitted += 1
    assert fitted >= 2
    attributes = [(1, XattrNamespace.USER, 1, third)] * (fitted + 2)
    told = model_of(disk).refused(folder_tree([1], attributes=attributes[:fitted]))
    assert told == ""
    # One more may be lost since none is in two parts.
    told = model_of(disk).refused(folder_tree([1], attributes=attributes))
    assert told.startswith("extended attributes take ")
