"""What `st_blocks` leaves out of a layer on the disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from layerscan.prediction.filesystems.names import FileSystemShape, parse_file_system
from layerscan.scanning import disk
from layerscan.scanning.disk import LayerDisk, tree_on_disk
from layerscan.scanning.scanner import scan
from layerscan.stores import open_store
from tests.builders.layer_trees import walked
from tests.builders.model_case import put, trees
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File, apply
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.tar.tree import LayerTree
    from tests.builders.model_case import Attributes
    from tests.builders.tree import Op


def rows(tree: LayerTree) -> list[tuple[int, ...]]:
    """What counts of a tree, in whatever order its inodes are."""
    count = len(tree.kinds)
    names: list[list[int]] = [[] for _ in range(count)]
    xattrs: list[list[tuple[int, ...]]] = [[] for _ in range(count)]
    for inode, length in zip(tree.name_inodes, tree.name_lengths, strict=True):
        names[inode].append(int(length))
    for at, inode in enumerate(tree.xattr_inodes):
        columns = (tree.xattr_namespaces, tree.xattr_name_lengths, tree.xattr_value_lengths)
        xattrs[inode].append(tuple(int(column[at]) for column in columns))
    within = np.bincount(tree.name_directories, minlength=count)
    return sorted(
        (int(kind), int(size), int(entries), *sorted(lengths), -1, *sum(sorted(attributes), ()))
        for kind, size, entries, lengths, attributes in zip(
            tree.kinds, tree.sizes, within, names, xattrs, strict=True
        )
    )


@pytest.mark.root
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=trees(longest_target=3000))
def test_tree_is_that_of_the_folder(tmp_path: Path, tree: tuple[list[Op], Attributes]) -> None:
    require_root()
    folder = tmp_path / f"tree{len(os.listdir(tmp_path))}"
    folder.mkdir()
    put(str(folder), *tree)
    assert rows(tree_on_disk(str(folder))) == rows(walked(folder).tree)


@pytest.mark.root
def test_what_is_mounted_in_a_layer_is_not_of_it(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    (tmp_path / "layer").mkdir()
    apply(tmp_path / "layer", File("a", size=3), File("b/c", size=5))
    with loop.ext4(str(tmp_path / "layer" / "d"), 16 << 20):
        tree = tree_on_disk(str(tmp_path / "layer"))
    assert sorted(tree.sizes.tolist()) == [0, 0, 3, 5]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (parse_file_system("ext4"), ""),
        (FileSystemShape("ext3", {}), ""),
        (parse_file_system("xfs"), ""),
        (FileSystemShape("zfs", {}), "zfs"),
        (None, "an unknown file system"),
    ],
)
def test_what_no_model_knows_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: FileSystemShape | None,
    said: str,
) -> None:
    monkeypatch.setattr(disk, "shape_of", lambda _: shape)
    built = StoreBuilder(tmp_path / "docker")
    built.image([built.layer(None, File("a", size=10))], names=["x:1"])
    found = scan(open_store(root=built.root, exact=True), accounting="exact")
    expected = [f"what inodes take on {said} is not known: usage has their blocks alone"]
    assert [line for line in found.warnings if "inodes" in line] == (expected if said else [])
    assert found.file_system == (None if shape is None else shape.name)
    # By the docker rule nobody asks, and the document is that of the script.
    plain = scan(open_store(root=built.root))
    assert not [line for line in plain.warnings if "inodes" in line]
    assert plain.file_system is None


@pytest.mark.root
def test_blocks_are_those_of_the_disk_with_the_layers(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    root = tmp_path / "docker"
    options = ("-b", "1024")
    with loop.ext4(str(root / "overlay2"), 64 << 20, *options) as layers:
        os.rmdir(f"{layers}/lost+found")
        built = StoreBuilder(root)
        built.image([built.layer(None, File("a", size=10))], names=["x:1"])
        found = scan(open_store(root=built.root))
        assert os.statvfs(root).f_bsize != 1024
        assert found.fs_block_size == found.document().fs_block_size == 1024
        # Without a layer there is only the store's own.
        assert scan(open_store(root=built.root), selection=None).disk.block_size == 1024


@pytest.mark.root
def test_cluster_is_the_least_that_is_given_out(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    options = ("-O", "bigalloc", "-b", "4096", "-C", "65536")
    with loop.ext4(str(tmp_path / "disk"), 64 << 20, *options) as folder:
        assert (LayerDisk(folder).block_size, LayerDisk(folder).cluster) == (4096, 65536)
    assert LayerDisk(str(tmp_path)).cluster == LayerDisk(str(tmp_path)).block_size
