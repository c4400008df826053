"""The model of XFS against XFS: blocks of every inode of trees on loop devices."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from layerscan.prediction.filesystems import file_system
from layerscan.prediction.filesystems.names import parse_file_system
from layerscan.prediction.filesystems.xfs import Xfs
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
from tests.engines import loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.builders.model_case import Attributes
    from tests.builders.tree import Op

pytestmark = [pytest.mark.root, pytest.mark.slow]

SIZE = 2 << 30
CHUNKS = 4 * 64
"""Inodes that XFS may have made and not used yet: 64 in each of its groups."""


SHAPES = (
    "xfs,block=1024",
    "xfs,block=4096",
    "xfs,block=2048,inode=1024",
    "xfs,inode=1024",
    "xfs,inode=2048",
)


@pytest.fixture(scope="module", params=SHAPES)
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    with fresh_disk(request.param, tmp_path_factory.mktemp("disk"), SIZE) as made:
        yield made


def named(name: str) -> Xfs:
    model = file_system(name)
    assert isinstance(model, Xfs)
    return model


def inode_of(disk: Disk) -> int:
    return int(parse_file_system(disk.name).parameters.get("inode", 512))


def model_of(disk: Disk) -> Xfs:
    return named(disk.name)


def test_every_kind_of_inode(disk: Disk) -> None:
    folder = disk.folder()
    block = disk.block_size
    lengths = (0, 1, block - 1, block, block + 1, 10 * block, 300 * block + 1)
    inline = inode_of(disk) - 176
    targets = {1, 336, 337, 968, 969, 1023, min(inline, 1023), min(inline + 1, 1023)}
    apply(
        folder,
        *(File(f"files/{length}", size=length, seed=1) for length in lengths),
        *(Symlink(f"links/{length}", "t" * length) for length in targets),
        Link("files/again", "files/1"),
        Link("links/again", "links/337"),
        Dir("empty"),
        Fifo("fifo"),
        Device("null"),
        Whiteout("gone"),
    )
    assert differences(model_of(disk), folder) == {}


@pytest.mark.parametrize("length", [1, 2, 7, 20, 200])
def test_folders_leave_their_inode(disk: Disk, length: int) -> None:
    folder = disk.folder()
    for names in range(1, 22 if length > 1 else 10):
        apply(folder, Dir(str(names)))
        many_names(f"{folder}/{names}", [length] * names)
    assert differences(model_of(disk), folder) == {}
    if length > 1:
        assert walked(folder).usage.sum() > 0


def test_attributes_beside_data_and_names(disk: Disk) -> None:
    folder = disk.folder()
    made: list[Op] = []
    attributes: Attributes = {}
    for value in (0, 1, 50, 100, 137, 138, 172, 173, 174, 200, 253, 254, 255, 400, 800, 3000):
        made += [File(f"file{value}", size=10), Fifo(f"fifo{value}")]
        made += [Symlink(f"link{target}-{value}", "t" * target) for target in (50, 150)]
        for names in (1, 6, 14, 18):
            made.append(Dir(f"folder{names}-{value}"))
            made += [Fifo(f"folder{names}-{value}/{name:04}") for name in range(names)]
        attributes |= {os.fsdecode(op.path): {"trusted.abcd": value} for op in made[-50:]}
    inner = {path: given for path, given in attributes.items() if "/" not in path}
    put(folder, made, inner)
    assert differences(model_of(disk), folder) == {}


def test_long_values_of_attributes(disk: Disk) -> None:
    folder = disk.folder()
    for value in (300, 754, 755, 800, 968, 969, 3050, 3070, 4040, 4041, 20_000, 65_536):
        apply(folder, File(str(value), size=1))
        os.setxattr(f"{folder}/{value}", "user.abcd", b"v" * value)
    assert differences(model_of(disk), folder) == {}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(longest_target=1023))
def test_any_small_tree(disk: Disk, tree: tuple[list[Op], Attributes]) -> None:
    folder = disk.folder()
    put(folder, *tree)
    assert differences(model_of(disk), folder) == {}


FOLDERS = [
    *((names, 12, 12) for names in (30, 80, 120, 300, 450, 600, 1000, 3000)),
    (200, 1, 255),
    (2000, 4, 40),
    (5000, 100, 255),
    (20_000, 5, 30),
]


@pytest.mark.parametrize(("names", "shortest", "longest"), FOLDERS)
def test_growth_of_a_folder(disk: Disk, names: int, shortest: int, longest: int) -> None:
    lengths = np.random.default_rng(names).integers(shortest, longest, names, endpoint=True)
    lengths = np.maximum(lengths, 5)
    folder = disk.folder()
    many_names(folder, lengths.tolist())
    os.sync()
    taken = os.stat(folder).st_blocks * 512
    told = model_of(disk).tree(folder_tree(lengths.tolist()))
    # Hashes of names halve some leaves earlier, and pieces have a list.
    assert told == pytest.approx(taken, rel=0.03, abs=4 * 4096 * (names >= 600))


@pytest.mark.parametrize("length", [4, 12])
@pytest.mark.parametrize("names", [*range(499, 504), 505, 600, 700])
def test_index_of_a_folder(disk: Disk, names: int, length: int) -> None:
    # With the dots and the sums of two blocks of short names, 501 fill one index block;
    # beside the sums of three blocks it has room for 500.
    folder = disk.folder()
    lengths = [length] * names
    many_names(folder, lengths)
    os.sync()
    taken = os.stat(folder).st_blocks * 512
    assert model_of(disk).tree(folder_tree(lengths)) == taken


def test_blocks_that_say_what_is_free_in_others() -> None:
    # Two bytes for each block of names.
    blocks = [Xfs()._index_blocks(30_000, data) for data in (2015, 2016, 2017, 4032, 4033)]
    assert [number - blocks[0] for number in blocks] == [0, 0, 1, 1, 2]


def test_files_give_back_what_was_taken_ahead(disk: Disk) -> None:
    folder = disk.folder()
    with open(f"{folder}/file", "wb") as file:
        for _ in range(100):
            file.write(b"x" * 99_999)
            file.flush()
        ahead = os.fstat(file.fileno()).st_blocks * 512
    assert ahead > model_of(disk).file(9_999_900)
    assert differences(model_of(disk), folder) == {}


def test_inodes_of_many_files(disk: Disk) -> None:
    folder = disk.folder()
    before = loop.used_bytes(disk.path)
    apply(folder, *(file for part in range(20) for file in many(f"d{part}", 400, size=1000)))
    taken = loop.used_bytes(disk.path) - before
    model, inode = model_of(disk), inode_of(disk)
    tree = walked(folder).tree
    assert model.tree(tree) + model.overhead(tree) == pytest.approx(
        taken, rel=0.002, abs=CHUNKS * inode
    )
    assert model.overhead(tree) > 8000 * inode


def test_parts_agree_with_the_tree() -> None:
    for model in map(named, SHAPES):
        sizes = (0, 1, 336, 337, 848, 849, 1000, 1023)
        files = folder_tree([3] * len(sizes))._replace(sizes=np.array([0, *sizes]))
        assert model.inodes(files)[1:].tolist() == [model.file(size) for size in sizes]
        borders = np.array([0, model._literal, model._literal + 1])
        links = folder_tree([3] * 2, kind=InodeKind.SYMLINK)._replace(sizes=borders)
        assert model.inodes(links)[1:].tolist() == [0, model.block_size]
        assert model.folder() == model.tree(folder_tree([]))


def test_access_control_lists_have_names_of_their_own() -> None:
    tree = folder_tree([])

    def usage(namespace: XattrNamespace, entries: int) -> int:
        return Xfs(4096).tree(
            tree._replace(
                xattr_inodes=np.zeros(1, dtype=np.int32),
                xattr_namespaces=np.array([namespace], dtype=np.uint8),
                xattr_name_lengths=np.zeros(1, dtype=np.int32),
                xattr_value_lengths=np.array([4 + 8 * entries], dtype=np.int32),
            )
        )

    # 4 of the list, 3 of the entry, its name, 4 and 12 for each entry: up to 280 bytes.
    assert [usage(XattrNamespace.ACL_ACCESS, entries) for entries in (3, 20, 21, 22)] == [
        0,
        0,
        4096,
        4096,
    ]
    assert [usage(XattrNamespace.ACL_DEFAULT, entries) for entries in (3, 20, 21)] == [0, 0, 4096]


def test_what_it_cannot_hold_is_refused(disk: Disk) -> None:
    assert_refuses_what_the_disk_does(model_of(disk), disk, targets=range(1020, 1028))
