"""What ``df`` says beside what the engines say of themselves."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from layerscan import walk
from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from layerscan.stores.holdings import Category
from tests.builders.tree import many
from tests.engines.containerd import Containerd
from tests.engines.images import Image, add, write_context
from tests.engines.podman import Podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerscan.ledger.model import Item, Ledger
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

WRITE = "dd if=/dev/zero of=/x bs=1024 count=700; dd if=/dev/zero of=/v/f bs=1024 count=300"

# Podman asks for higher ones than root may set in a container.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def roots(ledger: Ledger, category: Category) -> dict[str, Item]:
    return {
        item.holding.name: item
        for item in ledger.items
        if item.holding.category is category and item.holding.is_root
    }


@pytest.fixture(scope="module")
def image(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    name = f"{registry.address}/figures/image:1"
    steps = tuple(add(*many(f"d{step}", 100, size=7000, seed=step)) for step in range(3))
    context = write_context(Image("image", steps, base_image), tmp_path_factory.mktemp("c") / "i")
    docker.build(context, name)
    docker.push(name)
    yield name
    docker.rmi(name)


def test_docker(docker: Docker, image: str) -> None:
    run = ("run", "--network", "none", "--name", "figures", "--volume", "figures:/v")
    docker.run(*run, image, "sh", "-c", WRITE)
    try:
        told = json.loads(docker.run("system", "df", "--verbose", "--format", "{{json .}}"))
        ledger = take_stock(open_store("overlay2", docker.data_root))
        containers = roots(ledger, Category.CONTAINERS)
        assert containers.keys() == {one["Names"] for one in told["Containers"]}
        assert roots(ledger, Category.VOLUMES).keys() == {one["Name"] for one in told["Volumes"]}
        (volume,) = roots(ledger, Category.VOLUMES).values()
        # The file, and two folders.
        assert volume.usage == 300 * 1024 + 2 * 4096
        assert ledger.sums[Category.VOLUMES].number == len(told["Volumes"])
        (layer,) = [
            item for item in ledger.items if item.holding.name == "figures (writable layer)"
        ]
        assert layer.usage > 700 * 1024
        named = {
            name for one in roots(ledger, Category.IMAGES).values() for name in one.holding.names
        }
        tags = {f"{one['Repository']}:{one['Tag']}" for one in told["Images"]}
        assert {tag for tag in tags if "<none>" not in tag} <= named
    finally:
        docker.run("rm", "figures")
        docker.run("volume", "rm", "figures")


def test_containerd(image: str) -> None:
    with Containerd() as containerd:
        containerd.pull(image)
        ledger = take_stock(open_store("containerd", containerd.root))
        by_path = {path: item for item in ledger.items for path in item.holding.paths}
        snapshots = [line.split()[0] for line in containerd.ctr("snapshots", "ls").splitlines()[1:]]
        folders = {
            os.path.basename(path): item
            for path, item in by_path.items()
            if "/snapshots/" in path and item.holding.category is Category.IMAGES
        }
        assert len(snapshots) == len(folders) > 3
        told = sorted(
            int(containerd.ctr("snapshots", "usage", "-b", key).splitlines()[1].split()[1])
            for key in snapshots
        )
        path = f"{containerd.root}/io.containerd.snapshotter.v1.overlayfs/snapshots"
        walked = sorted(walk(f"{path}/{name}/fs").blocks * 512 for name in folders)
        assert told == walked
        assert all(
            item.usage == walk(f"{path}/{name}").blocks * 512 for name, item in folders.items()
        )
        content = [line.split() for line in containerd.ctr("content", "ls").splitlines()[1:]]
        blobs = {
            os.path.basename(path): item
            for path, item in by_path.items()
            if "/blobs/sha256/" in path
        }
        assert {one[0].removeprefix("sha256:") for one in content} == blobs.keys()
        assert {item.holding.category for item in blobs.values()} == {Category.IMAGES}


@pytest.mark.parametrize("rootless", [False, True])
def test_podman(image: str, rootless: bool) -> None:  # noqa: FBT001
    with Podman(rootless=rootless) as podman:
        podman.pull(image)
        run = ("run", "--network", "none", "--name", "figures", "--volume", "figures:/v")
        podman.run(*run, *LIMITS, image, "sh", "-c", WRITE)
        ledger = take_stock(open_store("containers-storage", podman.root))
        assert not ledger.problems
        for category, args in (
            (Category.IMAGES, ("images",)),
            (Category.CONTAINERS, ("ps", "--all")),
            (Category.VOLUMES, ("volume", "ls")),
        ):
            told = podman.run(*args, "--quiet").split()
            assert ledger.sums[category].number == len(told) == 1, category
        (volume,) = roots(ledger, Category.VOLUMES).values()
        assert volume.usage == 300 * 1024 + 2 * 4096
        # Nothing runs now.
        assert ledger.sums[Category.CONTAINERS].in_use == 0
        detached = ("run", "--detach", "--network", "none", "--name", "running")
        podman.run(*detached, *LIMITS, image, "sleep", "60")
        try:
            ledger = take_stock(open_store("containers-storage", podman.root))
            assert roots(ledger, Category.CONTAINERS)["running"].in_use
            assert not roots(ledger, Category.CONTAINERS)["figures"].in_use
        finally:
            podman.run("rm", "--force", "--time", "0", "running")
