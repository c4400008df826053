"""The exact policy against reality: a disk filled to the edge of the verdict, and a pull.

A second engine has its data root on a fresh ext4. The disk is filled until
exactly so much is left as the test wants, `check` is asked, as a user asks it,
and then the engine pulls what was judged.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.layersmeta import dumps_by_arch
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from tests.builders.documents import OCTETS, descriptor
from tests.builders.fit_apps import JSON, app_manifest, bundle
from tests.builders.tree import File, many
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.containerd import PROGRAMS as CONTAINERD
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.engine import EngineError
from tests.engines.images import MEBIBYTE, Image, add, tower, write_context
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

DISK = 512 * MEBIBYTE
BLOCK = 4096
SETTLING_ROUNDS = 400
ALLOWED_BYTES = 256 * 1024
ALLOWED_SHARE = 0.0005
"""By how much exact may be wrong, as docs/explanation/accounting.md says."""


IMAGES = {
    "one large layer": Image("large", (add(File("large", size=40 * MEBIBYTE, seed=1)),)),
    "many small files": Image("small", (add(*many("files", 2000, size=700, seed=2)),)),
    "large below small": Image(
        "below",
        (
            add(File("large", size=30 * MEBIBYTE, seed=3)),
            add(File("less", size=9 * MEBIBYTE, seed=4)),
            add(*many("files", 500, size=5000, seed=5)),
        ),
    ),
    "twenty layers": tower(20, base=""),
}


OF_CONTAINERD = 4
"""Inodes for the first image of all that Docker's containerd makes, here on another disk."""


@dataclass(frozen=True)
class Device:
    """A device: its disk, and the engine whose data root is on it."""

    path: str
    engine: Docker | Containerd
    root: str

    @property
    def filling(self) -> str:
        return os.path.join(self.path, "filling")

    def free(self) -> int:
        os.sync()
        found = os.statvfs(self.path)
        return found.f_bfree * found.f_bsize

    def fill(self, free: int) -> None:
        """Leave `free` bytes of what the file system has, to the block."""
        self.empty()
        length = 0
        for _ in range(10):
            over = self.free() - free
            if over == 0:
                return
            length += over
            with open(self.filling, "ab") as file:
                os.ftruncate(file.fileno(), min(length, length - over))
                os.posix_fallocate(file.fileno(), 0, length)
        raise AssertionError(f"{self.free()} bytes are left, not {free}")

    def settle(self, free: int) -> None:
        """Wait until the engine has cleaned up, so that about `free` bytes are left again."""
        seen = -1
        for _ in range(SETTLING_ROUNDS):
            if (now := self.free()) == seen and now >= free - MEBIBYTE:
                return
            seen = now
            time.sleep(0.3)
        raise AssertionError(f"the engine keeps {free - seen} bytes of a pull that failed")

    def empty(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.filling)


@dataclass(frozen=True)
class Stage:
    """Images in a registry, each an App of one service, in the folder of a dry run."""

    docker: Docker
    registry: Registry
    base: str
    folder: Path

    def named(self, image: Image) -> str:
        return f"{self.registry.address}/fit/{image.name}:1"

    def app(self, image: Image) -> str:
        """Build, push and measure `image`; the folder of the App that has it."""
        folder = self.folder / f"{image.name}-app"
        if folder.exists():
            return str(folder)
        name = self.named(image)
        context = write_context(Image(image.name, image.steps, self.base), self.folder / image.name)
        self.docker.build(context, name)
        self.docker.push(name)
        os.sync()
        store = open_store(root=self.docker.data_root, exact=True)
        found = scan(store, Selection((want(name),)), accounting=Accounting.EXACT)
        manifest = self.manifest(image)
        sizes = {layer["digest"]: layer["size"] for layer in manifest["layers"]}
        document = found.document()
        layers = {
            digest: layer._replace(archive_size=sizes[digest])
            for digest, layer in document.layers.items()
        }
        architecture = found.chosen[0].image.architecture
        meta = dumps_by_arch({architecture: document._replace(layers=layers)})
        digest = self.docker.run("image", "inspect", "--format", "{{index .RepoDigests 0}}", name)
        archive = bundle({"web": digest})
        of_metadata = descriptor(meta, JSON, annotations={"layers-meta": "v1"})
        folder.mkdir()
        (folder / "bundle.tgz").write_bytes(archive)
        (folder / "layers_meta.json").write_bytes(meta)
        raw = app_manifest([descriptor(archive, OCTETS), of_metadata])
        (folder / "manifest.json").write_bytes(raw)
        return str(folder)

    def pushed(self, image: Image) -> str:
        """The name of an image that is in the registry."""
        self.app(image)
        return self.named(image)

    def manifest(self, image: Image) -> dict[str, Any]:
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        raw = self.registry.get(f"fit/{image.name}/manifests/1", accept=kind)
        found: dict[str, Any] = json.loads(raw)
        return found


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


def check(device: Device, app: str, *more: str) -> tuple[int, dict[str, Any]]:
    """What `check` says: its exit status, and the volume of the engine."""
    done = run(
        *("check", "--policy", "exact", "--format", "json", "--app", app),
        *("--docker-root", device.root, *more),
    )
    assert done.status in (0, 1), done.lines
    report = json.loads(done.out)
    (volume,) = (one for one in report["volumes"] if "docker" in one["purposes"])
    return done.status, volume


def pulls(device: Device, name: str) -> bool:
    """Whether the engine has room for the image; any other failure is one of the test."""
    before = device.free()
    try:
        device.engine.pull(name)
    except EngineError as error:
        said = str(error)
    else:
        return True
    assert "no space left on device" in said
    if isinstance(device.engine, Containerd):
        # It keeps what was fetched.
        device.engine.remove(name)
    device.settle(before)
    return False


def withheld(volume: dict[str, Any], device: Device) -> int:
    """Bytes of the free blocks that the file system gives to nobody."""
    return device.free() - int(volume["free"]["bytes"])


def up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def short_of(need: int) -> int:
    """By so much less than `need` that exact may be wrong, and a block."""
    return up(need - int(need * ALLOWED_SHARE) - ALLOWED_BYTES) - BLOCK


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
        device.fill(kept + short_of(surely))
        assert check(device, app, *more)[0] == 1
        assert not pulls(device, stage.named(image))
    device.fill(kept + up(required) - BLOCK)
    status, volume = check(device, app, *more)
    assert (status, 0 < volume["to_free"]["bytes"] <= BLOCK) == (1, True)
    device.fill(kept + up(required))
    status, volume = check(device, app, *more)
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
