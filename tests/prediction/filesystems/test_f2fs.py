"""The model of F2FS against F2FS, in a kernel of the tests' own."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from layerscan.errors import LayerscanError
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.filesystems.f2fs import F2fs
from layerscan.tar.tree import InodeKind, XattrNamespace
from tests.builders.model_case import folder_tree
from tests.conftest import require_programs
from tests.engines import uml
from tests.engines.f2fs_inside import CASES
from tests.requirements import require

pytestmark = pytest.mark.slow


BLOCK = 4096
SIZE = 1 << 30
SECONDS = 240


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    require_programs(*uml.PROGRAMS)
    require(len(uml.modules()) > 1, "User Mode Linux has no F2FS")
    command = [sys.executable, "-m", "tests.engines.f2fs_inside", uml.DISK]
    found: dict[str, Any] = json.loads(uml.on_f2fs(command, size=SIZE, seconds=SECONDS))
    assert found.keys() == CASES.keys()
    return found


@pytest.mark.parametrize("case", ["kinds", "large files", "attributes", "anything"])
def test_every_inode(measured: dict[str, Any], case: str) -> None:
    assert measured[case]["wrong"] == {}


@pytest.mark.parametrize("case", ["names of one slot", "names of three slots"])
def test_folders(measured: dict[str, Any], case: str) -> None:
    for path, (taken, told) in measured[case]["wrong"].items():
        # Where in a level a name belongs, its hash decides.
        assert int(path) > 426 // 3
        assert told == pytest.approx(taken, rel=0.06, abs=BLOCK)


@pytest.mark.parametrize("case", CASES)
def test_used_bytes(measured: dict[str, Any], case: str) -> None:
    allowed = 5 * BLOCK if case.startswith("names") else 0
    # The folder that holds all cases may grow.
    assert measured[case]["told"] == pytest.approx(measured[case]["taken"], abs=allowed + BLOCK)


def test_addresses_of_large_files() -> None:
    # 873 in the inode, 1018 in each of two blocks, then through one block of these.
    for blocks, more in ((873, 0), (874, 1), (1891, 1), (1892, 2), (2909, 2), (2910, 4)):
        assert F2fs().file(blocks * BLOCK) == (blocks + more) * BLOCK
    last = 873 + 1018 * (2 + 2 * 1018)
    assert F2fs().file(last * BLOCK) == (last + 2 + 2 * 1018 + 2) * BLOCK
    assert F2fs().file((last + 1) * BLOCK) == (last + 1 + 3 + 2 * 1018 + 4) * BLOCK


def test_folder_with_a_million_names() -> None:
    told = F2fs().tree(folder_tree([8] * 1_000_000))
    assert told == pytest.approx(1_000_000 / 214 * BLOCK, rel=0.5)


def test_access_control_lists_are_short() -> None:
    tree = folder_tree([])

    def is_outside(entries: int) -> bool:
        usage = F2fs().tree(
            tree._replace(
                xattr_inodes=np.zeros(1, dtype=np.int32),
                xattr_namespaces=np.array([XattrNamespace.ACL_ACCESS], dtype=np.uint8),
                xattr_name_lengths=np.zeros(1, dtype=np.int32),
                xattr_value_lengths=np.array([4 + 8 * entries], dtype=np.int32),
            )
        )
        return usage > F2fs().folder()

    # 24 before all, 4 and 4 before its entries, 4 with 4 bytes and the others with 8.
    assert [is_outside(entries) for entries in (3, 5, 23, 24)] == [False, False, False, True]


def test_parts_agree_with_the_tree() -> None:
    model = F2fs()
    sizes = (0, 1, 3488, 3489, 4095, 10_000_000)
    files = folder_tree([3] * len(sizes))._replace(sizes=np.array([0, *sizes]))
    assert model.inodes(files)[1:].tolist() == [model.file(size) for size in sizes]
    links = folder_tree([3] * 2, kind=InodeKind.SYMLINK)._replace(sizes=np.array([0, 3488, 3489]))
    assert model.inodes(links)[1:].tolist() == [0, 4096]
    assert model.folder() == model.tree(folder_tree([]))


def test_block_sizes() -> None:
    assert file_system("f2fs", 4096).block_size == 4096
    with pytest.raises(LayerscanError, match="no f2fs has blocks of 1024 bytes, but of 4096"):
        file_system("f2fs", 1024)
