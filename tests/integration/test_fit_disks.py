"""The edge of the exact policy on disks that are made in other ways, and a pull on both sides.

What layers take is predicted for the disk, by what the device says of its file system.
"""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.docker import Docker
from tests.engines.fit_stage import (
    ALLOWED_BYTES,
    ALLOWED_SHARE,
    IMAGES,
    Device,
    Stage,
    check,
    pulls,
)
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

DISK = 1 << 30

DISKS = [
    "ext4,block=1024",
    "ext4,block=4096",
    "ext4,block=4096,inode=128",
    "ext4,block=4096,cluster=16384",
    "xfs",
    "xfs,inode=1024",
    "btrfs",
    "btrfs,nodesize=4096,profile=single",
]

# btrfs has room for small files in its trees that is no use for anything else.
IN_TREES = {("btrfs", "many small files"), ("btrfs", "one large layer")}


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    return Stage(docker, registry, base_image, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module", params=DISKS)
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Device]]:
    require_root()
    require_programs(*loop.PROGRAMS, *loop.XFS_PROGRAMS, *loop.BTRFS_PROGRAMS)
    path = str(tmp_path_factory.mktemp("device") / "disk")
    with (
        loop.named(request.param, path, DISK) as mounted,
        Docker(os.path.join(mounted, "docker")) as engine,
    ):
        yield request.param, Device(mounted, engine, engine.data_root)


def available(device: Device, free: int) -> int:
    """Free blocks, of which as many as before are withheld; of btrfs its own word for that."""
    os.sync()
    found = os.statvfs(device.path)
    return (found.f_bavail if free < 0 else found.f_bfree) * found.f_frsize


UNIT = 16384
"""Bytes by which a file that fills a disk is made longer or shorter."""


def slack(kept: int) -> int:
    """By how many bytes more may be left than is meant to be: btrfs takes some for itself."""
    return (8 if kept < 0 else 2) * UNIT


def fill(device: Device, wanted: int, kept: int) -> None:
    """Leave at least `wanted` bytes beside `kept`, and at most `slack` more."""
    length = 0
    with open(device.filling, "ab") as file:
        for _ in range(40):
            over = available(device, kept) - max(kept, 0) - wanted
            if 0 <= over <= slack(kept):
                return
            over = (over - slack(kept) // 4) // UNIT * UNIT
            length += over
            os.ftruncate(file.fileno(), min(length, length - over) if over > 0 else length)
            try:
                os.posix_fallocate(file.fileno(), 0, length)
            except OSError as error:
                # XFS sets aside what the list of the file's pieces may take.
                if error.errno != errno.ENOSPC:
                    raise
                length = os.fstat(file.fileno()).st_size
    raise AssertionError(f"{available(device, kept)} bytes are left, not {wanted}")


@pytest.mark.parametrize("image", IMAGES)
def test_edge(stage: Stage, disk: tuple[str, Device], image: str, tmp_path: Path) -> None:
    name, device = disk
    engine, wanted = device.engine, IMAGES[image]
    assert isinstance(engine, Docker)
    app = stage.app(wanted)
    options = ("--engine-pulls", "--store-root", str(tmp_path / "store"), "--predict", "always")
    # The engine, which is on the disk itself, may take or give back a block in between.
    for _ in range(10):
        before = device.free()
        status, volume = check(device, app, *options)
        if device.free() == before:
            break
    assert status == 0, "the disk is large enough"
    required, least = volume["required"]["bytes"], volume["required_at_least"]["bytes"]
    kept = -1 if name.startswith("btrfs") else before - volume["free"]["bytes"]
    print(f"{name}, {image}: {least:,} to {required:,}")
    try:
        if (name, image) not in IN_TREES:
            short = least - int(least * ALLOWED_SHARE) - ALLOWED_BYTES
            fill(device, short - slack(kept), kept)
            assert check(device, app, *options)[0] == 1
            assert not pulls(device, stage.named(wanted))
            device.empty()
        # Here, too, it may give back something.
        for _ in range(3):
            fill(device, required, kept)
            status, volume = check(device, app, *options)
            if volume["left"]["bytes"] <= slack(kept):
                break
            device.empty()
        assert status == 0
        assert volume["left"]["bytes"] <= slack(kept)
        assert pulls(device, stage.named(wanted))
        print(f"{volume['left']['bytes']:,} left by the verdict, {device.free():,} free after it")
    finally:
        device.empty()
        engine.run("image", "prune", "--all", "--force")


@contextmanager
def _layers_apart(folder: Path) -> Iterator[tuple[Device, Device]]:
    """A device whose engine has its layers on a disk of their own; as either of the two disks."""
    root = f"{folder}/disk/docker"
    with loop.ext4(f"{folder}/disk", DISK // 2) as disk:
        # As systemd has all mounts. Of another, Docker would mount its root anew, without this.
        subprocess.run(["mount", "--make-shared", disk], check=True)
        with loop.ext4(f"{root}/overlay2", DISK // 2) as layers, Docker(root) as engine:
            yield Device(disk, engine, root), Device(layers, engine, root)


@pytest.mark.parametrize("image", ["many small files", "one large layer"])
def test_edge_where_layers_are_on_a_disk_of_their_own(
    stage: Stage, tmp_path: Path, image: str
) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    wanted = IMAGES[image]
    with _layers_apart(tmp_path / "device") as disks:
        app = stage.app(wanted)
        options = ("--engine-pulls", "--store-root", str(tmp_path / "store"))
        first = {
            purpose: check(disk, app, *options, purpose=purpose)[1]
            for purpose, disk in zip(("docker", "layers"), disks, strict=True)
        }
        assert first["docker"]["volume"] != first["layers"]["volume"]
        for purpose, disk in zip(("docker", "layers"), disks, strict=True):
            required = first[purpose]["required"]["bytes"]
            kept = disk.free() - first[purpose]["free"]["bytes"]
            # The bound for what the engine records of a layer is not a near one.
            short = first[purpose]["required_at_least"]["bytes"] * 9 // 10 - ALLOWED_BYTES
            if short > 0:
                fill(disk, short, kept)
                assert check(disk, app, *options, purpose=purpose)[0] == 1
                assert not pulls(disk, stage.named(wanted))
                disk.empty()
            fill(disk, required, kept)
            assert check(disk, app, *options, purpose=purpose)[0] == 0
            print(f"{image}, {purpose}: {required:,}, {disk.free() - kept:,} free")
            assert pulls(disk, stage.named(wanted))
            print(f"{disk.free() - kept:,} left")
            disk.empty()
            assert isinstance(disk.engine, Docker)
            disk.engine.run("image", "prune", "--all", "--force")
