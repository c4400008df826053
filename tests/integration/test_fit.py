"""The exact policy against reality: a disk filled to the edge of the verdict, and a pull.

A second engine has its data root on a fresh ext4. The disk is filled until
exactly so much is left as the test wants, `check` is asked, as a user asks it,
and then the engine pulls what was judged.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.containerd import PROGRAMS as CONTAINERD
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.engine import EngineError
from tests.engines.fit_stage import (
    BLOCK,
    IMAGES,
    Device,
    Stage,
    check,
    pulls,
    short_of,
    up,
    withheld,
)
from tests.engines.images import MEBIBYTE, Image
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

DISK = 512 * MEBIBYTE
OF_CONTAINERD = 4
"""Inodes for the first image of all that Docker's containerd makes, here on another disk."""


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    return Stage(docker, registry, base_image, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def disk(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    require_root()
    require_programs(*loop.PROGRAMS)
    here = os.statvfs(docker.data_root).f_bsize
    require(here == BLOCK, f"the blocks of the temporary folder's file system have {here} bytes")
    path = str(tmp_path_factory.mktemp("device") / "disk")
    with (
        loop.ext4(path, DISK, "-b", str(BLOCK)) as mounted,
        Docker(os.path.join(mounted, "docker")) as engine,
    ):
        yield Device(mounted, engine, engine.data_root)


@pytest.fixture
def device(disk: Device) -> Iterator[Device]:
    """The device with Docker; nothing is on it at the start of a test."""
    yield disk
    disk.empty()
    assert isinstance(disk.engine, Docker)
    disk.engine.run("image", "prune", "--all", "--force")


def check_with(device: Device, free: int, app: str, *more: str) -> tuple[int, dict[str, Any]]:
    """What `check` says where `free` bytes are left, before it and after it.

    The engine, which is on the disk itself, may take or give back a block meanwhile.
    """
    for _ in range(10):
        device.fill(free)
        found = check(device, app, *more)
        if device.free() == free:
            return found
    raise AssertionError(f"the engine does not leave the disk alone: {device.free()} bytes")


def assert_verdict_is_true(
    stage: Stage, device: Device, image: Image, *more: str, is_sharp: bool = False
) -> None:
    """Ask, and pull, with a block too little, and with the last block that is needed.

    Args:
        is_sharp: whether all that is required is sure to be needed.
    """
    app = stage.app(image)
    status, volume = check(device, app, *more)
    assert status == 0, "the disk is large enough"
    required, least = volume["required"]["bytes"], volume["required_at_least"]["bytes"]
    kept = withheld(volume, device)
    assert kept > 0, "ext4 withholds some"
    print(f"{image.name}: {least:,} to {required:,}, withheld {kept:,}")
    for surely in (least, required) if is_sharp else (least,):
        assert check_with(device, kept + short_of(surely), app, *more)[0] == 1
        assert not pulls(device, stage.named(image))
    status, volume = check_with(device, kept + up(required) - BLOCK, app, *more)
    assert (status, 0 < volume["to_free"]["bytes"] <= BLOCK) == (1, True)
    status, volume = check_with(device, kept + up(required), app, *more)
    assert (status, volume["left"]["bytes"] < BLOCK) == (0, True)
    assert pulls(device, stage.named(image))


@pytest.mark.parametrize("name", IMAGES)
def test_engine_that_pulls(stage: Stage, device: Device, name: str, tmp_path: Path) -> None:
    options = ("--engine-pulls", "--store-root", str(tmp_path / "store"))
    # Else it depends on which layers wait, or on the last bytes of a blob.
    is_sharp = name == "one large layer"
    if is_sharp:
        # What a store takes for its first image is set aside where it has none.
        device.engine.pull(stage.pushed(IMAGES["many small files"]))
    assert_verdict_is_true(stage, device, IMAGES[name], *options, is_sharp=is_sharp)


def test_update_of_an_app_that_is_there(stage: Stage, device: Device) -> None:
    small, large = IMAGES["many small files"], IMAGES["one large layer"]
    device.engine.pull(stage.pushed(small))
    store = os.path.join(device.path, "store")
    # The client has the blobs of the old App in its store.
    blobs = os.path.join(store, "blobs", "sha256")
    os.makedirs(blobs)
    stage.app(small)
    for layer in stage.manifest(small)["layers"]:
        with open(os.path.join(blobs, layer["digest"].removeprefix("sha256:")), "wb") as file:
            file.write(stage.registry.get(f"fit/small/blobs/{layer['digest']}"))
    try:
        options = ("--store-root", store)
        assert_verdict_is_true(stage, device, large, *options, is_sharp=True)
    finally:
        shutil.rmtree(store)


def test_verdict_of_a_file_is_that_of_the_device(
    stage: Stage, device: Device, tmp_path: Path
) -> None:
    app = stage.app(IMAGES["one large layer"])
    store = os.path.join(device.path, "store")
    options = ("--docker-root", device.root, "--store-root", store)
    device.engine.pull(stage.pushed(IMAGES["many small files"]))
    device.free()
    described = tmp_path / "device.json"
    assert run("device", *options, "-o", described).status == 0
    live, filed = (
        run("check", "--policy", "exact", "--format", "json", "--app", app, *of)
        for of in (options, ("--device", described))
    )
    there, here = json.loads(filed.out), json.loads(live.out)
    for report in (there, here):
        del report["device"], report["warnings"]
    assert there == here
    assert len(here["missing_layers"]) == len(stage.manifest(IMAGES["one large layer"])["layers"])
    assert sum(layer["usage"] == 0 for layer in here["missing_layers"]) == 2


def leave_inodes(device: Device, free: int) -> None:
    """Make files without content until `free` inodes are left."""
    folder = os.path.join(device.path, "inodes")
    os.mkdir(folder)
    for number in range(os.statvfs(device.path).f_favail - free):
        os.mknod(os.path.join(folder, str(number)))
    assert os.statvfs(device.path).f_favail == free


@pytest.mark.parametrize("lacking", [0, OF_CONTAINERD + 1])
def test_device_with_few_inodes(stage: Stage, tmp_path: Path, lacking: int) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    image = IMAGES["many small files"]
    app = stage.app(image)
    options = ("--engine-pulls", "--store-root", str(tmp_path / "store"))
    # A fresh one for each: of a pull that fails, the engine leaves much behind.
    with (
        loop.ext4(str(tmp_path / "disk"), DISK, "-b", str(BLOCK), "-N", "8192") as disk,
        Docker(os.path.join(disk, "docker")) as engine,
    ):
        device = Device(disk, engine, engine.data_root)
        required = check(device, app, *options)[1]["inodes"]["required"]
        leave_inodes(device, required - lacking)
        status, volume = check(device, app, *options)
        assert volume["inodes"] == {"required": required, "free": required - lacking}
        assert (status, volume["to_free"]["bytes"]) == (1 if lacking else 0, 0)
        if lacking:
            with pytest.raises(EngineError, match="no space left on device"):
                engine.pull(stage.named(image))
        else:
            engine.pull(stage.named(image))
        print(f"{required:,} inodes required, {os.statvfs(disk).f_favail} left")


def test_containerd_keeps_the_blobs(stage: Stage, tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS, *CONTAINERD)
    with loop.ext4(str(tmp_path / "disk"), DISK, "-b", str(BLOCK)) as disk:
        root = os.path.join(disk, "containerd")
        with Containerd(root) as engine:
            # Of a store without an image, its kind cannot be told.
            engine.pull(stage.pushed(IMAGES["many small files"]))
            options = ("--engine-pulls", "--store-root", str(tmp_path / "store"))
            device = Device(disk, engine, root)
            assert_verdict_is_true(
                stage, device, IMAGES["one large layer"], *options, is_sharp=True
            )
