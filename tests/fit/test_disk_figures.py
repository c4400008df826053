"""What is made of the figures of statvfs(3), kind by kind of file system; no disk is made."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from layerscan.files import mounts
from layerscan.fit import disks
from layerscan.fit.disks import disk_of

if TYPE_CHECKING:
    from pathlib import Path


def found_on(
    monkeypatch: pytest.MonkeyPatch, kind: str, number: str = "8:1", **said: int
) -> disks.Disk:
    """The disk of ``/`` where its file system is of this `kind` and statvfs(3) says so."""
    names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail")
    usual = dict.fromkeys(names, 0) | {"bsize": 4096, "frsize": 4096, "blocks": 1000}
    figures = usual | {"bfree": 900, "bavail": 800} | said
    answer = os.statvfs_result((*(figures[name] for name in names), 0, 255, 7))
    monkeypatch.setattr(os, "statvfs", lambda _: answer)
    monkeypatch.setattr(mounts, "_mount", lambda _: mounts.Mount(number, "/", kind, ()))
    return disk_of("/")


@pytest.mark.parametrize(("writable", "withheld"), [(800, 100), (700, 200), (901, 0)])
def test_btrfs_withholds_what_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, writable: int, withheld: int
) -> None:
    asked = []

    def answer(*figures: object) -> int:
        asked.append(figures)
        return writable * 4096 + 4095

    monkeypatch.setattr(disks, "btrfs_writable", answer)
    disk = found_on(monkeypatch, "btrfs")
    assert (disk.volume.withheld_blocks, disk.unknown) == (withheld, ())
    assert asked == [("/", 1000 * 4096, 800 * 4096)]


@pytest.mark.parametrize(("free", "withheld"), [(900, 100), (801, 1), (800, 0), (799, 0)])
def test_btrfs_that_does_not_say_its_chunks_withholds_what_root_alone_has(
    monkeypatch: pytest.MonkeyPatch, free: int, withheld: int
) -> None:
    def silent(*_: object) -> int:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    monkeypatch.setattr(disks, "btrfs_writable", silent)
    disk = found_on(monkeypatch, "btrfs", bfree=free)
    assert (disk.volume.withheld_blocks, disk.unknown) == (withheld, ())


@pytest.mark.parametrize(
    ("blocks", "free", "withheld"),
    [
        (31, 31, 0),
        (32, 32, 1),
        (3200, 3200, 100),
        (3200, 7, 7),
        (4095 * 32, 1 << 20, 4095),
        (4097 * 32, 1 << 20, 4096),
    ],
)
@pytest.mark.parametrize(("kind", "number"), [("", "8:1"), ("overlay", "0:9"), ("ext4", "0:9")])
def test_what_ext4_withholds_at_the_most(  # noqa: PLR0917 - parameters
    monkeypatch: pytest.MonkeyPatch, kind: str, number: str, blocks: int, free: int, withheld: int
) -> None:
    disk = found_on(monkeypatch, kind, number, blocks=blocks, bfree=free, bavail=0)
    assert disk.volume.withheld_blocks == withheld
    told = f"cannot tell what ext4 withholds; {withheld} blocks are taken off for it"
    assert disk.unknown[-1] == told


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize(("clusters", "withheld"), [("0", 0), ("5\n", 20), ("300", 900)])
def test_what_ext4_says_that_it_withholds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, clusters: str, withheld: int
) -> None:
    told = tmp_path / "fs" / "ext4" / "sda1"
    told.mkdir(parents=True)
    (told / "reserved_clusters").write_text(clusters)
    (tmp_path / "dev" / "block").mkdir(parents=True)
    (tmp_path / "dev" / "block" / "8:1").symlink_to("../sda1")
    monkeypatch.setattr(disks, "_SYS", str(tmp_path))
    monkeypatch.setattr(disks, "cluster_blocks", lambda *_: 4)
    disk = found_on(monkeypatch, kind)
    assert (disk.volume.withheld_blocks, disk.unknown) == (withheld, ())


@pytest.mark.parametrize(("fragment", "unit"), [(4096, None), (512, 512)])
def test_unit_of_blocks_is_told_where_it_is_another(
    monkeypatch: pytest.MonkeyPatch, fragment: int, unit: int | None
) -> None:
    disk = found_on(monkeypatch, "xfs", frsize=fragment)
    assert (disk.volume.block_size, disk.volume.fragment_size) == (4096, unit)
    assert disk.volume[1:4] == (1000, 900, 800)
