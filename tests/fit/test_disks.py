"""Which disk a folder is on and what of it can be written, on disks of many kinds."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerscan.files import mounts
from layerscan.files.mounts import place_of
from layerscan.fit import disks, live
from layerscan.fit.disks import disk_of
from tests.builders.user import as_nobody
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerscan.fit.device import Device

SIZE = 64 << 20


@contextmanager
def mounted(path: str, *mount: str) -> Iterator[str]:
    os.makedirs(path, exist_ok=True)
    subprocess.run(("mount", *mount, path), check=True, capture_output=True)
    try:
        yield path
    finally:
        subprocess.run(("umount", path), check=True, capture_output=True)


def machine(store: str, docker: str) -> Device:
    return live.this_device(store, docker, is_exact=True)


def about_disks(device: Device) -> list[str]:
    return [note for note in device.notes if "cannot tell" in note]


@pytest.mark.root
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_ext4(tmp_path: Path, block_size: int) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), SIZE, "-b", str(block_size), "-m", "0") as disk:
        found = os.statvfs(disk)
        one = disk_of(disk)
        assert place_of(disk).mount.kind == "ext4"
        assert one.unknown == ()
        assert one.volume.withheld_blocks == found.f_bfree - found.f_bavail > 0
        # A folder that is mounted once more is on the same disk.
        with mounted(str(tmp_path / "again"), "--bind", disk) as again:
            assert disk_of(again).identity == one.identity
            device = machine(f"{disk}/store", f"{again}/docker")
            assert device.docker_root == device.store_root == disk


@pytest.mark.root
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_clusters_of_ext4_are_counted_in_blocks(open_path: Path, block_size: int) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    options = ("-O", "bigalloc", "-C", "16384", "-b", str(block_size), "-m", "0")
    with loop.ext4(str(open_path / "disk"), SIZE, *options) as disk:
        found = os.statvfs(disk)
        folder = f"{disk}/folder"
        os.mkdir(folder)
        for number in range(64 * block_size // 1024):
            os.mkdir(f"{folder}/{number}-{'x' * 200}")
        # A long folder tells less than those above it; and no right to read the disk is needed.
        volume = as_nobody(lambda: disk_of(folder)).volume
        assert volume.withheld_blocks == found.f_bfree - found.f_bavail > 0
        assert volume.withheld_blocks % (16384 // block_size) == 0


@pytest.mark.root
def test_attributes_of_a_folder_are_not_taken_for_a_larger_cluster(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), SIZE, "-b", "4096", "-m", "0") as disk:
        os.mkdir(f"{disk}/folder")
        os.setxattr(f"{disk}/folder", "trusted.long", b"x" * 2000)
        assert os.stat(f"{disk}/folder").st_blocks == 16
        assert disk_of(f"{disk}/folder").volume == disk_of(disk).volume


@pytest.mark.root
def test_subvolumes_of_btrfs_are_one_disk(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.BTRFS_PROGRAMS, "btrfs")
    with loop.btrfs(str(tmp_path / "disk"), 300 << 20) as disk:
        for name in ("a", "b"):
            subprocess.run(("btrfs", "subvolume", "create", f"{disk}/{name}"), check=True)
        os.mkdir(f"{disk}/a/store")
        os.mkdir(f"{disk}/b/docker")
        one, other = disk_of(f"{disk}/a"), disk_of(f"{disk}/b")
        assert one.identity == other.identity
        assert one.fsid != other.fsid
        device = machine(f"{disk}/a/store", f"{disk}/b/docker")
        assert device.store_root == device.docker_root
        # The client takes them for two.
        assert device.store_parent != device.docker_parent
        found = os.statvfs(disk)
        assert device.store.withheld_blocks == found.f_bfree - found.f_bavail


@pytest.mark.root
def test_overlay_is_on_the_disk_of_its_upper_folder(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), SIZE) as disk:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{disk}/{name}")
        options = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
        with mounted(str(tmp_path / "merged"), "-t", "overlay", "-o", options, "o") as merged:
            assert disk_of(merged).identity == disk_of(disk).identity
            assert disk_of(merged).volume.withheld_blocks == disk_of(disk).volume.withheld_blocks
            device = machine(f"{merged}/store", f"{disk}/docker")
            assert device.docker_root == device.store_root
            os.rename(f"{disk}/upper", f"{disk}/moved")
            unknown = disk_of(merged)
            assert unknown.identity != disk_of(disk).identity
            assert "is on an overlay: cannot tell on which disk" in unknown.unknown[0]
            assert "cannot tell what ext4 withholds" in unknown.unknown[1]
            os.rename(f"{disk}/moved", f"{disk}/upper")


@pytest.mark.root
def test_without_sysfs_it_is_said_what_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), SIZE, "-b", "4096", "-m", "0") as disk:
        known = disk_of(disk).volume.withheld_blocks
        monkeypatch.setattr(disks, "_SYS", str(tmp_path / "no sys"))
        found = disk_of(disk)
        (unknown,) = found.unknown
        assert unknown.startswith("cannot tell what ext4 withholds; ")
        assert 0 < known <= found.volume.withheld_blocks
        assert about_disks(machine(f"{disk}/store", f"{disk}/docker"))
        # The clients do not ask.
        device = live.this_device(f"{disk}/store", f"{disk}/docker", is_exact=False)
        assert not about_disks(device)


def test_without_a_table_of_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "none"))
    found = disk_of(str(tmp_path))
    device = os.stat(tmp_path).st_dev
    assert found.identity == f"{os.major(device)}:{os.minor(device)}"
    assert os.path.ismount(found.mount_point)
    assert found.unknown[0] == "cannot tell on which disk it is: there is no table of mounts"
    assert "cannot tell what ext4 withholds" in found.unknown[1]


@pytest.mark.parametrize(
    ("kind", "options", "unknown"),
    [
        ("xfs", "rw", ()),
        ("fuse", "rw", ("is on fuse: cannot tell on which disk that keeps its files",)),
        ("fuse.sshfs", "rw", ("is on fuse.sshfs: cannot tell on which disk that keeps its files",)),
        ("fuseblk", "rw", ()),
        ("virtiofs", "rw", ()),
    ],
)
def test_kinds_of_file_systems(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: str,
    unknown: tuple[str, ...],
) -> None:
    line = f"36 1 0:42 / /with\\040blank rw,noatime shared:1 - {kind} source {options}\n"
    mount = mounts.read_mount(line)
    assert mount == ("0:42", "/with blank", kind, (options,))
    monkeypatch.setattr(mounts, "_mount", lambda _: mount)
    found = disk_of(str(tmp_path))
    assert (found.identity, found.mount_point, found.unknown) == ("0:42", "/with blank", unknown)
    assert found.volume.withheld_blocks == 0


def numbers(monkeypatch: pytest.MonkeyPatch, places: dict[str, tuple[str, int]]) -> None:
    """Let folders be on file systems with these numbers of their superblock and f_fsid."""

    def statvfs(path: str) -> os.statvfs_result:
        fsid = next(known[1] for name, known in places.items() if path.startswith(name))
        # virtiofs and FUSE: large blocks, counted in small ones.
        return os.statvfs_result((1 << 20, 4096, 1000, 900, 800, 0, 0, 0, 0, 255, fsid))

    def mount(path: str) -> mounts.Mount:
        number = next(known[0] for name, known in places.items() if path.startswith(name))
        return mounts.Mount(number, f"/mnt/{number}", "fuse", ())

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(mounts, "_mount", mount)


def test_fuse_file_systems_are_one_volume_to_clients_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/store", "b/docker"):
        (tmp_path / name).mkdir(parents=True)
    numbers(monkeypatch, {f"{tmp_path}/a": ("0:1", 0), f"{tmp_path}/b": ("0:2", 0)})
    device = machine(f"{tmp_path}/a/store", f"{tmp_path}/b/docker")
    assert (device.store_root, device.docker_root) == ("/mnt/0:1", "/mnt/0:2")
    assert device.store_parent == device.docker_parent == "/mnt/0:1"
    assert len([note for note in about_disks(device) if "fuse" in note]) == 2
    # What is true is counted in f_frsize, what clients see in f_bsize.
    assert (device.store.unit, device.store.block_size) == (4096, 1 << 20)
    assert device.store.file(1) == 4096


def test_store_that_the_client_was_compiled_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/store", "b/docker", "c/other"):
        (tmp_path / name).mkdir(parents=True)
    places = {f"{tmp_path}/{name}": (f"0:{number}", number) for number, name in enumerate("abc")}
    numbers(monkeypatch, places)
    roots = f"{tmp_path}/a/store", f"{tmp_path}/b/docker"
    device = live.this_device(*roots, client_store_root=f"{tmp_path}/c/other", is_exact=False)
    assert (device.client_store_root, device.store_parent) == ("/mnt/0:2", "/mnt/0:0")
    assert live.this_device(*roots, is_exact=False).client_store_root is None


@pytest.mark.parametrize("name", ["docker", "link/docker", "link/more/docker"])
def test_dangling_symlink_is_an_error(tmp_path: Path, name: str) -> None:
    from layerscan.errors import LayerscanError

    link = tmp_path / name.split("/", maxsplit=1)[0]
    link.symlink_to("/mnt/not mounted")
    for is_exact in (True, False):
        with pytest.raises(LayerscanError) as raised:
            live.this_device(str(tmp_path), str(tmp_path / name), is_exact=is_exact)
        assert str(raised.value) == (
            f"{link}: is a symlink to /mnt/not mounted, which is not there: is its disk mounted?"
        )


def test_symlink_to_a_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    device = live.this_device(str(tmp_path), str(tmp_path / "link"), is_exact=False)
    assert device.docker_root == device.store_root
    require(not device.notes, f"{tmp_path} is on an odd file system")


def _fill_metadata(folder: str) -> None:
    """Many files that btrfs keeps in its trees."""
    os.mkdir(f"{folder}/files")
    for number in range(18_000):
        Path(f"{folder}/files/{number}").write_bytes(b"x" * 1800)
    os.sync()


@pytest.mark.slow
def test_btrfs_without_room_for_metadata(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.BTRFS_PROGRAMS)
    with loop.btrfs(str(tmp_path / "disk"), 1 << 30) as disk:
        fresh = disk_of(disk).volume
        assert fresh.free_blocks - fresh.withheld_blocks == fresh.available_blocks
        _fill_metadata(disk)
        # statvfs(3) says that the files took nothing.
        found = disk_of(disk).volume
        assert found.available_blocks == fresh.available_blocks
        writable = (found.free_blocks - found.withheld_blocks) * found.unit
        aside = found.available_blocks * found.unit - writable
        assert 0 <= aside - (1 << 30) // 10 < found.unit
        with open(f"{disk}/large", "wb") as file:
            # What is set aside for metadata is left: the files still fit.
            os.posix_fallocate(file.fileno(), 0, writable - (20 << 20))
            for number in range(100):
                Path(f"{disk}/files/more{number}").write_bytes(b"x" * 1800)
            os.unlink(file.name)


@pytest.mark.slow
def test_btrfs_that_nothing_can_be_written_to(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.BTRFS_PROGRAMS)
    with loop.btrfs(str(tmp_path / "disk"), 1 << 30) as disk:
        _fill_metadata(disk)
        # All that is in no chunk yet becomes data's.
        with open(f"{disk}/large", "wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, disk_of(disk).volume.available_blocks * 4096)
        found = disk_of(disk).volume
        assert found.available_blocks > 0
        with pytest.raises(OSError, match="No space left"):
            os.mkdir(f"{disk}/files/one")
        assert found.free_blocks == found.withheld_blocks
