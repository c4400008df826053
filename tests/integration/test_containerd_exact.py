"""The exact rule in containerd's store: held against the disk of a fresh device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.exact_case import assert_meets_inodes
from tests.conftest import require_programs
from tests.engines import containerd as containerd_engine
from tests.engines import loop
from tests.engines.containerd import Containerd
from tests.engines.images import oddities, siblings, tower
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.scanning.result import Scan
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

SIZE = 1 << 30
ALLOWED_BYTES = 256 * 1024
ALLOWED_SHARE = 0.0005
"""By how much exact may exceed what is true, in bytes and as a share of it."""


@pytest.fixture(scope="module")
def pushed(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Images in the registry, in the order in which they are pulled."""
    builder = Builder(docker, registry, tmp_path_factory.mktemp("exact"))
    left, right = siblings("left", "right", base=base_image)
    names = [builder.also_pushed(base_image, "ctrd-exact/base:1")]
    towers = (tower(5, base=base_image), tower(60, base=base_image))
    for image in (left, right, *towers, oddities(base_image)):
        name = builder.pushed(image, f"ctrd-exact/{image.name}:1")
        names.append(name)
    return names


def exact(engine: Containerd, name: str) -> Scan:
    store = ContainerdStore(engine.root, exact=True)
    return scan(store, Selection((want(name),)), accounting="exact")


@pytest.mark.parametrize(
    ("block_size", "order"), [(4096, 1), (4096, -1), (1024, 1)], ids=["up", "down", "small blocks"]
)
def test_pulls_take_what_was_foretold(
    pushed: list[str], tmp_path: Path, block_size: int, order: int
) -> None:
    require_root()
    require_programs(*loop.PROGRAMS, *containerd_engine.PROGRAMS)
    disk = loop.ext4(os.fspath(tmp_path / "disk"), SIZE, "-b", str(block_size))
    with disk as path, Containerd(os.path.join(path, "root")) as engine:
        already: set[str] = set()
        for name in pushed[::order]:
            before, inodes = loop.used_bytes(path), loop.used_inodes(path)
            engine.pull(name)
            truth = loop.used_bytes(path) - before
            found = exact(engine, name)
            assert_meets_inodes(found, already, loop.used_inodes(path) - inodes)
            (one,) = found.chosen
            new = found.costs.keys() - already
            already |= new
            foretold = sum(found.costs[chain].usage for chain in new)
            foretold += found.image_usage[one.image.image_id]
            over = foretold - truth
            allowed = int(truth * ALLOWED_SHARE) + ALLOWED_BYTES
            print(f"{name}: {len(new)} layers, true {truth:,}, {over:+,} of {allowed:,}")
            assert 0 <= over <= allowed
            assert (found.warnings, found.problems) == ((), ())


def test_docker_rule_leaves_the_archives_out(pushed: list[str], tmp_path: Path) -> None:
    with Containerd(os.fspath(tmp_path / "root")) as engine:
        engine.pull(pushed[0])
        usual = scan(ContainerdStore(engine.root))
        whole = exact(engine, pushed[0])
        blobs = f"{engine.root}/io.containerd.content.v1.content/blobs/sha256"
        taken = sum(os.stat(f"{blobs}/{name}").st_blocks * 512 for name in os.listdir(blobs))
        more = sum(cost.usage for cost in whole.costs.values()) - sum(
            cost.usage for cost in usual.costs.values()
        )
        documents = len(whole.chosen[0].image.exact_paths)
        assert more > taken - documents * 8192
