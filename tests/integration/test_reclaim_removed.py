"""What ``reclaim`` promises, against what comes back when its commands are run.

On a fresh ext4, with each of four kinds of stores: sets of images are removed by the
engine, and the used bytes of the disk are looked at before and after.
"""

from __future__ import annotations

import os
import random
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from layerscan.ledger.reclaim import ImageChoice, Reclaimer
from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from tests.builders.tree import File, many
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines import trixie as trixie_engine
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.images import Image, add, write_context
from tests.engines.podman import Podman
from tests.engines.trixie import TrixieDocker
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

DISK = 512 << 20
SETS = 20
SHARE, BYTES = 0.0005, 256 << 10
"""How much more may come back than is promised."""

# Each image by the one that it is made from.
IMAGES = {
    "small": ("base", add(*many("s", 300, size=10_000, seed=1))),
    "file": ("small", add(File("file", size=2_000_000, seed=2))),
    "files": ("file", add(*many("f", 2000, size=700, seed=3))),
    "large": ("base", add(File("large", size=6_000_000, seed=4))),
    "more": ("large", add(*many("m", 40, size=50_000, seed=5))),
    "other": ("large", add(File("other", size=900_000, seed=6))),
    "last": ("files", add(File("last", size=100_000, seed=7))),
}


@dataclass(frozen=True)
class Kept:
    """An engine with a store on a disk of its own."""

    engine: Containerd | Docker | Podman | TrixieDocker
    kind: str
    root: str
    path: str

    def used(self) -> int:
        """Bytes that the disk has used, once the engine has left off changing them."""
        seen = -1
        for _ in range(40):
            os.sync()
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            if used == seen:
                return used
            seen = used
            time.sleep(0.2)
        raise AssertionError("the engine never rests")

    def pull(self, name: str) -> None:
        if isinstance(self.engine, TrixieDocker):
            self.engine.run("pull", name)
        else:
            self.engine.pull(name)

    def run(self, command: list[str]) -> None:
        """Run a command as `reclaim` prints it."""
        program, *rest = shlex.split(shlex.join(command))
        engine = self.engine
        if isinstance(engine, Containerd):
            assert [program, *rest[:2]] == ["ctr", "--namespace", "default"]
            engine.ctr(*rest[2:])
        elif isinstance(engine, Podman):
            assert program == "podman"
            engine.run(*rest)
        else:
            assert isinstance(engine, Docker | TrixieDocker)
            assert program == "docker"
            engine.run(*rest)


@pytest.fixture(scope="module")
def names(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The images in the registry, each with two names where that is told apart."""
    folder = tmp_path_factory.mktemp("reclaim")
    local = {"base": base_image}
    for name, (base, step) in IMAGES.items():
        local[name] = f"{registry.address}/reclaim/{name}:1"
        context = write_context(Image(name, (step,), local[base]), folder / name)
        docker.build(context, local[name])
        docker.push(local[name])
    again = f"{registry.address}/reclaim/again:1"
    docker.tag(local["more"], again)
    docker.push(again)
    return [*(local[name] for name in IMAGES), again]


@pytest.fixture(scope="module", params=["overlay2", "docker-containerd", "containerd", "podman"])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    require_root()
    require_programs(*loop.PROGRAMS)
    path = str(tmp_path_factory.mktemp("disk") / "disk")
    if request.param == "docker-containerd":
        require_programs(*trixie_engine.PROGRAMS)
        with TrixieDocker(disk=DISK) as engine:
            yield Kept(
                engine, "containerd", f"{engine.data_root}/containerd/daemon", engine.data_root
            )
        return
    with loop.ext4(path, DISK):
        if request.param == "overlay2":
            with Docker(f"{path}/docker") as docker:
                yield Kept(docker, "overlay2", docker.data_root, path)
        elif request.param == "containerd":
            with Containerd(f"{path}/root") as containerd:
                yield Kept(containerd, "containerd", containerd.root, path)
        else:
            with Podman(f"{path}/storage") as podman:
                yield Kept(podman, "containers-storage", podman.root, path)


def test_sets_of_images(kept: Kept, names: list[str]) -> None:
    chance = random.Random(19)  # noqa: S311 - of no secrets
    told = []
    for number in range(SETS):
        for name in names:
            kept.pull(name)
        chosen = chance.sample(names, chance.randint(1, len(names)))
        before = kept.used()
        reclaimer = Reclaimer(take_stock(open_store(kept.kind, kept.root)).items)
        found = reclaimer.remove(ImageChoice(names=tuple(f"*{name}" for name in chosen)))
        assert found.removed
        for command in found.commands():
            kept.run(command)
        freed = before - kept.used()
        told.append((number, len(chosen), found.freed, freed - found.freed))
        print(f"{len(chosen)} images: {found.freed:,} promised, {freed - found.freed:,} more")
    for number, count, promised, more in told:
        assert 0 <= more <= promised * SHARE + BYTES, (number, count, promised, more)
