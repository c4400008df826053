"""Names of file systems: what they say, what is refused, and that mkfs is of the same opinion."""

from __future__ import annotations

import subprocess
from itertools import product
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError
from layerscan.prediction.filesystems import FILE_SYSTEMS, file_system
from layerscan.prediction.filesystems.names import parse_file_system
from tests.conftest import require_programs
from tests.engines.loop import mkfs_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = [
    ("ext4", "ext4,block=4096,inode=256"),
    ("ext4,inode=128,block=1024", "ext4,block=1024,inode=128"),
    ("ext4,cluster=16384", "ext4,block=4096,cluster=16384,inode=256"),
    # A cluster of one block is none.
    ("ext4,cluster=4096", "ext4,block=4096,inode=256"),
    ("xfs", "xfs,block=4096,inode=512"),
    ("xfs,inode=1024", "xfs,block=4096,inode=1024"),
    ("btrfs", "btrfs,block=4096,nodesize=16384,profile=dup"),
    (
        "btrfs,nodesize=4096,profile=single",
        "btrfs,block=4096,nodesize=4096,profile=single",
    ),
    ("f2fs", "f2fs,block=4096"),
]


@pytest.mark.parametrize(("name", "full"), FULL)
def test_model_says_its_full_name(name: str, full: str) -> None:
    assert file_system(name).name == full
    assert file_system(full).name == full


def test_every_kind_has_blocks_of_4096_bytes_by_default() -> None:
    for kind in FILE_SYSTEMS:
        model = file_system(kind)
        assert (model.block_size, model.unit) == (4096, 4096)


def test_clusters_are_units_and_no_blocks() -> None:
    model = file_system("ext4,block=1024,cluster=16384")
    assert (model.block_size, model.unit) == (1024, 16384)


def test_block_size_may_come_from_elsewhere() -> None:
    assert file_system("ext4,inode=128", 1024).name == "ext4,block=1024,inode=128"
    assert file_system("ext4,block=1024", 1024).block_size == 1024
    with pytest.raises(LayerscanError, match="'ext4,block=1024' contradicts blocks of 4096 bytes"):
        file_system("ext4,block=1024", 4096)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "no file system '': there are ext4, xfs, btrfs, f2fs"),
        ("zfs", "no file system 'zfs': there are ext4, xfs, btrfs, f2fs"),
        ("ext4,", "ext4 cannot be given '', but block=…, cluster=…, inode=…"),
        ("ext4,nodesize=4096", "ext4 cannot be given 'nodesize=4096', but block=…, "),
        ("f2fs,inode=256", "f2fs cannot be given 'inode=256', but block=…"),
        ("ext4,block", "ext4: block='' is not a number of bytes"),
        ("ext4,block=4k", "ext4: block='4k' is not a number of bytes"),
        ("ext4,block=-1024", "ext4: block='-1024' is not a number of bytes"),
        ("ext4,block=²", "ext4: block='²' is not a number of bytes"),
        ("ext4,block=1024,block=1024", "file system 'ext4,block=1024,block=1024': block is given "),
        ("ext4,block=512", "no ext4 has blocks of 512 bytes, but of 1024, 2048, 4096, "),
        ("ext4,block=3000", "no ext4 has blocks of 3000 bytes, but of 1024, "),
        ("xfs,block=131072", "no xfs has blocks of 131072 bytes, but of 1024, "),
        ("btrfs,block=16384", "no btrfs has blocks of 16384 bytes, but of 4096"),
        (
            "ext4,cluster=2048",
            "no ext4 has cluster=2048 and blocks of 4096 bytes; cluster can ",
        ),
        ("ext4,cluster=12288", "no ext4 has cluster=12288 and blocks of 4096 bytes; cluster can "),
        ("ext4,inode=2048,block=1024", "no ext4 has inode=2048 and blocks of 1024 bytes; inode "),
        (
            "xfs,inode=256",
            "no xfs has inode=256 and blocks of 4096 bytes; inode can be 512, ",
        ),
        ("xfs,block=1024,inode=1024", "no xfs has inode=1024 and blocks of 1024 bytes; inode can "),
        ("btrfs,nodesize=2048", "no btrfs has nodesize=2048 and blocks of 4096 bytes; nodesize "),
        ("btrfs,profile=raid1", "no btrfs has profile=raid1; profile can be dup, single"),
    ],
)
def test_what_no_mkfs_makes_is_refused(name: str, fault: str) -> None:
    with pytest.raises(LayerscanError) as refused:
        file_system(name)
    assert str(refused.value).startswith(fault)
    assert "\n" not in str(refused.value)


def candidates() -> Iterator[str]:
    # Of other sizes than powers of two mke2fs takes the next for blocks and clusters,
    # and of 1,024 bytes makes no cluster, which would be a block.
    yield from (f"ext4,block={block}" for block in (512, 1024, 4096))
    for block, inode in product((1024, 4096), (64, 128, 200, 256, 1024, 4096, 8192)):
        yield f"ext4,block={block},inode={inode}"
    for block, cluster in product((2048, 4096), (1024, 2048, 4096, 65536, 1 << 29, 1 << 30)):
        yield f"ext4,block={block},cluster={cluster}"
    for block, inode in product((1024, 2048, 4096), (256, 512, 600, 1024, 2048, 4096)):
        yield f"xfs,block={block},inode={inode}"
    yield from (f"btrfs,nodesize={size}" for size in (2048, 4096, 5000, 16384, 65536, 131072))
    yield from (f"btrfs,profile={profile}" for profile in ("single", "dup", "twice"))


_MKFS = {
    "ext4": ("mkfs.ext4", "-n", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-N", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}


@pytest.mark.parametrize("name", [*candidates()])
def test_mkfs_takes_what_a_name_may_say(tmp_path: Path, name: str) -> None:
    kind = name.partition(",")[0]
    require_programs(_MKFS[kind][0])
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(1 << 30)
    parameters = dict(part.split("=") for part in name.split(",")[1:])
    made = [*_MKFS[kind], *mkfs_options(kind, parameters), str(image)]
    done = subprocess.run(made, check=False, capture_output=True)
    try:
        parse_file_system(name)
    except LayerscanError:
        assert done.returncode != 0
    else:
        assert done.returncode == 0, done.stderr
