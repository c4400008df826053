"""A device with a disk that is filled to the edge of a verdict, and Apps to ask about."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerscan.layersmeta import dumps_by_arch
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from tests.builders.documents import OCTETS, descriptor
from tests.builders.fit_apps import JSON, app_manifest, bundle
from tests.builders.tree import File, Symlink, many
from tests.cli_runner import run
from tests.engines.containerd import Containerd
from tests.engines.engine import EngineError
from tests.engines.images import MEBIBYTE, Image, add, tower, write_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

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
    "files, links and a library": Image(
        "mixed",
        (
            add(
                *many("a", 300, size=20_000, seed=11),
                *(Symlink(f"l{number}", "a/f00000") for number in range(200)),
            ),
            add(File("lib", size=12 * MEBIBYTE, seed=12)),
        ),
    ),
}


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
            # btrfs has the room again once that is on the disk.
            os.sync()


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


def check(
    device: Device, app: str, *more: str, purpose: str = "docker"
) -> tuple[int, dict[str, Any]]:
    """What `check` says: its exit status, and the volume of the engine for that `purpose`."""
    done = run(
        *("check", "--policy", "exact", "--format", "json", "--app", app),
        *("--docker-root", device.root, *more),
    )
    assert done.status in (0, 1), done.lines
    report = json.loads(done.out)
    (volume,) = (one for one in report["volumes"] if purpose in one["purposes"])
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
