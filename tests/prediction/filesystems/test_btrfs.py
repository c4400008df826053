"""The model of btrfs against btrfs: blocks of every inode, and what trees take of the disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from layerscan.prediction.filesystems import file_system
from layerscan.prediction.filesystems.btrfs import Btrfs
from layerscan.prediction.filesystems.names import parse_file_system
from layerscan.tar.tree import InodeKind, XattrNamespace
from tests.builders.layer_trees import walked
from tests.builders.model_case import (
    Disk,
    assert_refuses_what_the_disk_does,
    differences,
    folder_tree,
    fresh_disk,
    many_names,
    put,
    trees,
)
from tests.builders.tree import Device, Dir, Fifo, File, Link, Symlink, Whiteout, apply, many
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.images import debian_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.builders.model_case import Attributes
    from tests.builders.tree import Op

pytestmark = [pytest.mark.root, pytest.mark.slow]

SIZE = 4 << 30
NODE = 2 * 16384


SHAPES = (
    "btrfs",
    "btrfs,profile=single",
    "btrfs,nodesize=4096,profile=single",
    "btrfs,nodesize=4096",
    "btrfs,nodesize=65536",
)


@pytest.fixture(scope="module", params=SHAPES)
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    with fresh_disk(request.param, tmp_path_factory.mktemp("disk"), SIZE) as made:
        yield made


def model_of(disk: Disk) -> Btrfs:
    model = file_system(disk.name)
    assert isinstance(model, Btrfs)
    return model


def is_usual(disk: Disk) -> bool:
    """Whether its nodes are those that the model was measured with."""
    return "nodesize" not in disk.name


def test_every_kind_of_inode(disk: Disk) -> None:
    folder = disk.folder()
    lengths = (0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 1_000_000)
    apply(
        folder,
        *(File(f"files/{length}", size=length, seed=1) for length in lengths),
        *(Symlink(f"links/{length}", "t" * length) for length in (1, 100, 3000)),
        Link("files/again", "files/1"),
        Dir("empty"),
        Fifo("fifo"),
        Device("null"),
        Whiteout("gone"),
    )
    many_names(f"{folder}/empty", [10] * 2000)
    assert differences(model_of(disk), folder) == {}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(longest_target=3000))
def test_any_small_tree(disk: Disk, tree: tuple[list[Op], Attributes]) -> None:
    folder = disk.folder()
    put(folder, *tree)
    assert differences(model_of(disk), folder) == {}


def grown(disk: Disk, folder: str, before: int) -> tuple[int, int]:
    """By how much the used bytes have grown for `folder`, and by how much the model says."""
    # Blocks of a tree's older state count until another transaction is over.
    loop.used_bytes(disk.path)
    taken = loop.used_bytes(disk.path) - before
    tree = walked(folder).tree
    return taken, model_of(disk).tree(tree) + model_of(disk).overhead(tree)


def test_distribution(disk: Disk) -> None:
    require_programs("debootstrap")
    before = loop.used_bytes(disk.path)
    folder = disk.folder()
    subprocess.run(["tar", "-C", folder, "-xf", debian_tar()], check=True)
    taken, told = grown(disk, folder, before)
    # A few nodes more or less are filled in two runs of the same: of 64 KiB that shows.
    nodes = 10 * 2 * int(parse_file_system(disk.name).parameters.get("nodesize", 16384))
    assert told == pytest.approx(taken, rel=0.002 if is_usual(disk) else 0.003, abs=nodes)


# The leaves of the same tree are fuller one time than another, see the module: that
# is the more of the whole, the less there is of other data.
MANY = [(0, 0.2), (100, 0.15), (700, 0.1), (1500, 0.1), (3000, 0.04), (9000, 0.02)]


@pytest.mark.parametrize(("size", "share"), MANY)
def test_many_files(disk: Disk, size: int, share: float) -> None:
    before = loop.used_bytes(disk.path)
    folder = disk.folder()
    apply(folder, *(file for part in range(100) for file in many(f"d{part}", 80, size=size)))
    taken, told = grown(disk, folder, before)
    if not is_usual(disk):
        share = 2 * share
    assert told == pytest.approx(taken, rel=share, abs=8 * NODE)


@pytest.mark.slow
def test_large_file(disk: Disk) -> None:
    before = loop.used_bytes(disk.path)
    folder = disk.folder()
    with open(f"{folder}/file", "wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(200))
    taken, told = grown(disk, folder, before)
    assert told == pytest.approx(taken, rel=0.001)
    assert told > 200 << 20


def test_inline_files_take_less_than_they_show() -> None:
    tree = folder_tree([10] * 1000)._replace(sizes=np.array([0] + [100] * 1000))
    assert Btrfs().tree(tree) == 1000 * 4096
    assert Btrfs().overhead(tree) < 0
    outside = tree._replace(sizes=np.array([0] + [4096] * 1000))
    assert Btrfs().overhead(outside) > 0


def test_names_in_the_folder_of_another_share_its_reference() -> None:
    # Two links of each of a thousand files, beside it or in a folder of their own.
    count = 1000
    tree = folder_tree([20] * 3 * count)
    files = np.tile(np.arange(1, count + 1, dtype=np.int32), 3)
    kinds = tree.kinds[: count + 2].copy()
    kinds[-1] = InodeKind.DIRECTORY
    beside = tree._replace(
        kinds=kinds, sizes=np.zeros(count + 2, dtype=np.int64), name_inodes=files
    )
    others = np.repeat(np.array([0, count + 1, count + 1], dtype=np.int32), count)
    apart = beside._replace(name_directories=others)
    more = Btrfs().overhead(apart) - Btrfs().overhead(beside)
    assert more == pytest.approx(count * 25 * 2 / 0.9, rel=0.1)


def test_attributes_take_room_in_leaves() -> None:
    tree = folder_tree([10] * 1000)
    number = np.arange(1, 1001, dtype=np.int32)
    attributes = tree._replace(
        xattr_inodes=number,
        xattr_namespaces=np.full(1000, XattrNamespace.SECURITY, dtype=np.uint8),
        xattr_name_lengths=np.full(1000, len("capability"), dtype=np.int32),
        xattr_value_lengths=np.full(1000, 20, dtype=np.int32),
    )
    more = Btrfs().overhead(attributes) - Btrfs().overhead(tree)
    items = 1000 * (55 + len("security.capability") + 20)
    assert 2 * items < more < 2 * items / 0.8


@pytest.mark.parametrize(
    ("names", "full"),
    [
        (10, 0.8),
        (200, 0.8),
        (350, 0.835),
        (500, 0.87),
        (1250, 0.9125),
        (2000, 0.955),
        (9000, 0.955),
    ],
)
def test_leaves_of_long_folders_are_fuller(names: int, full: float) -> None:
    model, tree = Btrfs(), folder_tree([10] * names)
    assert model._full(tree, 1000, 0) == pytest.approx(full)
    # The more comes later, the less the names count.
    assert model._full(tree, 1000, 9 * 1000) == pytest.approx(0.9425)
    assert model._full(tree, 0, 1000) == pytest.approx(0.955)


def test_parts_agree_with_the_tree() -> None:
    model = Btrfs()
    sizes = (0, 1, 2048, 2049, 4095, 100_000)
    for kind in (InodeKind.FILE, InodeKind.SYMLINK):
        tree = folder_tree([3] * len(sizes), kind=kind)._replace(sizes=np.array([0, *sizes]))
        assert model.inodes(tree)[1:].tolist() == [model.file(size) for size in sizes]
    assert model.folder() == model.tree(folder_tree([])) == 0


def test_what_it_cannot_hold_is_refused(disk: Disk) -> None:
    most = min(model_of(disk)._node, 65536) - 101 - 55 - len("user.v")
    assert_refuses_what_the_disk_does(
        model_of(disk), disk, values=range(most - 100, min(most + 100, 65536))
    )
