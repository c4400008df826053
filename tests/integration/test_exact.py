"""Exact accounting against reality: how much of a disk a pull really takes.

A second engine has its data root on a fresh ext4. What the disk has in use is
measured before and after each pull, and held against what the exact rule says
of the store where the image was built, before, and of the device's own, after.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from tests.builders.exact_case import ALLOWED_BYTES, assert_meets, assert_meets_inodes
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.docker import Docker
from tests.engines.images import (
    FLAT_ENTRIES,
    ODDITIES,
    Image,
    debian_tar,
    siblings,
    tower,
    write_context,
)
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from layerscan.scanning.result import Scan
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

GIBIBYTE = 1 << 30
TOWER_FLOORS = 40
"""By how much exact may exceed what is true, in bytes and as a share of it."""


@dataclass(frozen=True)
class Disk:
    """A device: its disk, and the engine whose data root is on it."""

    path: str
    engine: Docker

    def pull(self, name: str) -> int:
        """Pull; the bytes by which that changed what the disk has in use."""
        before = loop.used_bytes(self.path)
        self.engine.pull(name)
        return loop.used_bytes(self.path) - before

    def chain_ids(self) -> set[str]:
        """The layers that the engine has, whole, as its own records say."""
        listed = os.listdir(f"{self.engine.data_root}/image/overlay2/layerdb")
        if "sha256" not in listed:
            return set()
        layerdb = f"{self.engine.data_root}/image/overlay2/layerdb/sha256"
        return {f"sha256:{name}" for name in os.listdir(layerdb)}


def exact(docker: Docker, image: str) -> Scan:
    store = open_store(root=docker.data_root, exact=True)
    return scan(store, Selection((want(image),)), accounting=Accounting.EXACT)


def predicted(found: Scan, already: set[str]) -> int:
    """Bytes that the image of `found` takes where the layers `already` are."""
    (one,) = found.chosen
    new = {layer.chain_id for layer in one.image.layers} - already
    layers = sum(found.costs[chain_id].usage for chain_id in new)
    return layers + found.image_usage[one.image.image_id]


@dataclass(frozen=True)
class Stage:
    """Images in the engine where they are built, pushed one by one as they are asked for."""

    docker: Docker
    registry: Registry
    base: str
    folder: Path

    def named(self, name: str) -> str:
        return f"{self.registry.address}/exact/{name}"

    def push(self, name: str) -> str:
        self.docker.push(name)
        # What is not written yet may take other blocks once it is.
        os.sync()
        return name

    def push_base(self) -> str:
        self.docker.tag(self.base, self.named("base:1"))
        return self.push(self.named("base:1"))

    def build(self, image: Image, *, buildkit: bool = False) -> str:
        name = self.named(f"{image.name}:1")
        if not os.path.exists(self.folder / image.name):
            context = write_context(image, self.folder / image.name)
            self.docker.build(context, name, buildkit=buildkit)
        return self.push(name)

    def oddities(self, count: int) -> str:
        """The lower ones; each image of them stands on those that have fewer."""
        return self.build(Image(f"odd{count}", tuple(ODDITIES.values())[:count], self.base))


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    return Stage(docker, registry, base_image, tmp_path_factory.mktemp("exact"))


def mounted(folder: Path, *options: str) -> AbstractContextManager[str]:
    require_root()
    require_programs(*loop.PROGRAMS)
    return loop.ext4(str(folder / "disk"), 2 * GIBIBYTE, *options)


@pytest.fixture(scope="module")
def disk(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A device with blocks of 4096 bytes, like the disk of the machine that builds."""
    here = os.statvfs(docker.data_root).f_bsize
    require(here == 4096, f"the blocks of the temporary folder's file system have {here} bytes")
    with (
        mounted(tmp_path_factory.mktemp("device"), "-b", "4096") as path,
        Docker(os.path.join(path, "docker")) as engine,
    ):
        yield Disk(path, engine)


def assert_pull_is_foretold(stage: Stage, disk: Disk, name: str) -> None:
    already = disk.chain_ids()
    found = exact(stage.docker, name)
    foretold, inodes = predicted(found, already), loop.used_inodes(disk.path)
    truth = disk.pull(name)
    print(f"{name}: {len(disk.chain_ids() - already)} layers")
    assert_meets(foretold, truth)
    assert_meets_inodes(found, already, loop.used_inodes(disk.path) - inodes)
    assert_meets(predicted(exact(disk.engine, name), already), truth)


def test_first_image_on_a_fresh_device(stage: Stage, disk: Disk) -> None:
    assert_pull_is_foretold(stage, disk, stage.push_base())


def test_hard_links_count_once(stage: Stage, disk: Disk) -> None:
    assert_pull_is_foretold(stage, disk, stage.oddities(1))


def test_image_that_shares_layers_takes_only_its_own(stage: Stage, disk: Disk) -> None:
    left, right = siblings("left", "right", base=stage.base)
    assert_pull_is_foretold(stage, disk, stage.build(left))
    name = stage.build(right)
    already = disk.chain_ids()
    whole = exact(stage.docker, name)
    assert len(already & whole.costs.keys()) == len(whole.costs) - 1
    foretold, truth = predicted(whole, already), disk.pull(name)
    assert_meets(foretold, truth)
    assert_meets(predicted(exact(disk.engine, name), already), truth)
    assert 10 * truth < predicted(whole, set())


def test_image_whose_layers_are_all_there(stage: Stage, disk: Disk) -> None:
    name = stage.push_base()
    disk.pull(name)
    stage.docker.tag(name, stage.named("base:again"))
    assert_pull_is_foretold(stage, disk, stage.push(stage.named("base:again")))


def test_many_small_layers(stage: Stage, disk: Disk) -> None:
    assert_pull_is_foretold(stage, disk, stage.build(tower(TOWER_FLOORS, base=stage.base)))


def test_whiteouts_and_opaque_folders(stage: Stage, disk: Disk) -> None:
    upto = list(ODDITIES).index("flat")
    assert_pull_is_foretold(stage, disk, stage.oddities(upto))


def test_folder_of_many_files(stage: Stage, disk: Disk) -> None:
    upto = list(ODDITIES).index("flat") + 1
    name = stage.oddities(upto)
    assert_pull_is_foretold(stage, disk, name)
    found = exact(disk.engine, name)
    top = found.chosen[0].image.layers[-1]
    child = found.costs[top.chain_id].walked.child
    assert child is not None
    assert child.files == FLAT_ENTRIES


def test_odd_names_and_special_files(stage: Stage, disk: Disk) -> None:
    assert_pull_is_foretold(stage, disk, stage.oddities(len(ODDITIES)))


def test_hole_that_the_build_left_is_filled_by_the_pull(stage: Stage, disk: Disk) -> None:
    holes = Image("holes", (ODDITIES["sparse"],), stage.base)
    name = stage.build(holes, buildkit=True)
    built = exact(stage.docker, name)
    (own,) = (cost for cost in built.costs.values() if cost.walked.holes)
    assert own.walked.usage < own.usage - own.walked.holes + ALLOWED_BYTES
    assert_pull_is_foretold(stage, disk, name)


def test_distribution(stage: Stage, disk: Disk) -> None:
    require_programs("debootstrap")
    name = stage.named("debian:12")
    stage.docker.import_tar(debian_tar(), name)
    assert_pull_is_foretold(stage, disk, stage.push(name))


def test_device_with_small_blocks_by_its_own_store(stage: Stage, tmp_path: Path) -> None:
    with mounted(tmp_path, "-b", "1024") as path, Docker(os.path.join(path, "docker")) as engine:
        disk = Disk(path, engine)
        require(os.statvfs(path).f_bsize == 1024, "no file system with blocks of 1024 bytes")
        names = (
            stage.push_base(),
            stage.build(tower(TOWER_FLOORS, base=stage.base)),
            stage.oddities(len(ODDITIES)),
        )
        for name in names:
            already = disk.chain_ids()
            truth = disk.pull(name)
            assert_meets(predicted(exact(engine, name), already), truth)
