"""What engines leave behind for good: stores of before, broken pulls, working containers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from layerscan.stores.holdings import Category
from tests.builders.ledger_case import item, stock
from tests.builders.tree import many
from tests.conftest import require_programs
from tests.engines import trixie as trixie_engine
from tests.engines.containerd import Containerd
from tests.engines.images import Image, add, write_context
from tests.engines.podman import Podman
from tests.engines.trixie import TrixieDocker
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def image(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An image of some 60 MB in a registry, in several layers."""
    name = f"{registry.address}/left/image:1"
    steps = tuple(add(*many(f"d{step}", 1500, size=10_000, seed=step)) for step in range(4))
    context = write_context(Image("image", steps, base_image), tmp_path_factory.mktemp("c") / "i")
    docker.build(context, name)
    docker.push(name)
    yield name
    docker.rmi(name)


def test_images_of_before_a_switch(image: str) -> None:
    require_root()
    require_programs(*trixie_engine.PROGRAMS)
    with TrixieDocker(by_containerd=False) as engine:
        root = engine.data_root
        inside = f"{root}/containerd/daemon"
        engine.run("pull", image)
        ledger = stock(open_store("overlay2", root))
        assert ledger.sums[Category.IMAGES].usage > 60 * MEBIBYTE
        assert ledger.sums[Category.UNREFERENCED].usage == 0
        engine.switch(by_containerd=True)
        left = item(stock(open_store("containerd", inside), root), f"{root}/overlay2")
        assert left.holding.category is Category.UNREFERENCED
        assert "which Docker does not use any more" in left.holding.reason
        assert left.usage > 60 * MEBIBYTE
        engine.run("pull", image)
        engine.switch(by_containerd=False)
        ledger = stock(open_store("overlay2", root))
        left = item(ledger, "io.containerd.snapshotter.v1.overlayfs")
        assert left.holding.category is Category.UNREFERENCED
        assert left.usage > 60 * MEBIBYTE
        # Docker has manifests there in any case.
        content = item(ledger, "io.containerd.content.v1.content")
        assert content.holding.category is Category.UNCLEAR
        # And what is used again is nobody's no more.
        assert item(ledger, f"{root}/overlay2").holding.category is Category.IMAGES


def test_a_pull_in_the_middle_of_which_containerd_is_killed(image: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    path = f"{root}/io.containerd.snapshotter.v1.overlayfs/snapshots"
    with Containerd(root) as engine:
        pull = subprocess.Popen(
            ["ctr", "--address", engine.socket, "images", "pull", "--plain-http", image],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not os.path.isdir(path) or len(os.listdir(path)) < 4:
            assert time.monotonic() < deadline
        ledger = take_stock(open_store("containerd", root), min_age=0)
        assert ledger.sums[Category.TRANSIENT].usage > 0
        os.kill(engine.daemon.pid, signal.SIGKILL)
        pull.wait(60)
    ledger = stock(open_store("containerd", root))
    # The lease of the pull is there for a day still; all else nobody has any more.
    kept = [one for one in ledger.items if one.holding.category is Category.TRANSIENT]
    assert {one.holding.reason.partition(" lease ")[0] for one in kept if one.usage} <= {
        "kept by the",
        "",
    }
    assert ledger.sums[Category.UNREFERENCED].usage + sum(one.usage for one in kept) > MEBIBYTE
    with Containerd(root) as engine:
        engine.pull(image)
        ledger = stock(open_store("containerd", root))
        assert ledger.sums[Category.IMAGES].usage > 100 * MEBIBYTE


def test_a_working_container_of_buildah(image: str) -> None:
    with Podman() as podman:
        podman.pull(image)
        name = podman.buildah("from", "--pull-never", image).splitlines()[-1]
        ledger = stock(open_store("containers-storage", podman.root))
        (working,) = [one for one in ledger.items if one.holding.name == name]
        assert working.holding.category is Category.BUILD_CACHE
        assert working.holding.reason == "a working container of Buildah"
        assert ledger.sums[Category.UNREFERENCED].usage == 0
        podman.buildah("rm", name)
        ledger = stock(open_store("containers-storage", podman.root))
        assert ledger.sums[Category.BUILD_CACHE].usage == 0
