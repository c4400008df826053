"""Where every byte of a containerd root is: stores that are made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from layerscan.stores.containerd.store import ContainerdStore
from layerscan.stores.holdings import Category
from tests.builders import ledger_case
from tests.builders.containerd import ContainerdBuilder, bucket
from tests.builders.ledger_case import HEX, add, container_config, item
from tests.builders.tree import File

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.ledger.model import Ledger
    from tests.builders.containerd import BuiltLayer

SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
BLOBS = "io.containerd.content.v1.content/blobs/sha256"


@pytest.fixture
def store(tmp_path: Path) -> ContainerdBuilder:
    return ContainerdBuilder(tmp_path / "containerd")


def stock(store: ContainerdBuilder, *, min_age: float = 0) -> Ledger:
    store.write()
    return ledger_case.stock(ContainerdStore(store.root), min_age=min_age)


def lost(store: ContainerdBuilder) -> BuiltLayer:
    """A layer with a snapshot and an archive that no image has."""
    layer = store.layer(None, File("lost", size=50_000))
    store.unpack(layer)
    store.fetch(layer)
    return layer


def test_what_nothing_refers_to(store: ContainerdBuilder) -> None:
    layer = lost(store)
    add(store.root, File(f"{SNAPSHOTS}/new-123/fs/f", size=9000), File(f"{BLOBS}/{HEX}", size=9))
    ledger = stock(store)
    for ending in (f"snapshots/{store.folder_id(layer)}", layer.digest[7:], HEX):
        found = item(ledger, ending).holding
        assert found.category is Category.UNREFERENCED
        assert "next collection removes it" in found.reason
    new = item(ledger, "snapshots/new-123").holding
    assert new.reason == "the snapshotter has no record of this folder"


@pytest.mark.parametrize("hours", [-1, 1])
def test_what_a_lease_refers_to(store: ContainerdBuilder, hours: int) -> None:
    layer = lost(store)
    lease = bucket(store.meta, "v1", "default", "leases", "pull-1")
    bucket(lease, "content")[layer.digest.encode()] = b""
    bucket(lease, "snapshots", "overlayfs")[layer.chain_id.encode()] = b""
    until = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    bucket(lease, "labels")[b"containerd.io/gc.expire"] = until.encode()
    ledger = stock(store)
    expected = Category.TRANSIENT if hours > 0 else Category.UNREFERENCED
    for ending in (f"snapshots/{store.folder_id(layer)}", layer.digest[7:]):
        assert item(ledger, ending).holding.category is expected


def test_a_container_keeps_its_snapshot(store: ContainerdBuilder) -> None:
    layer = lost(store)
    record = bucket(store.meta, "v1", "k8s.io", "containers", "web")
    record[b"snapshotKey"] = layer.chain_id.encode()
    store.unpack(layer, "k8s.io")
    labels = bucket(record, "labels")
    labels[b"io.kubernetes.pod.name"] = b"shop"
    labels[b"io.kubernetes.container.name"] = b"web"
    found = item(stock(store), f"snapshots/{store.folder_id(layer, 'k8s.io')}").holding
    assert found.category is Category.CONTAINERS
    assert found.name.startswith("shop/web (snapshot ")


def test_a_namespace_without_snapshots(store: ContainerdBuilder) -> None:
    layer = lost(store)
    record = bucket(store.meta, "v1", "bare", "containers", "web")
    record[b"snapshotKey"] = layer.chain_id.encode()
    record[b"snapshotter"] = b"overlayfs"
    found = item(stock(store), f"snapshots/{store.folder_id(layer)}").holding
    # The key is another namespace's.
    assert found.category is Category.UNREFERENCED


class DockerOverContainerd:
    """A data root of Docker whose containerd keeps its images."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "docker"
        self.store = ContainerdBuilder(self.root / "containerd/daemon")
        for name in ("buildkit", "containers", "volumes", "rootfs"):
            (self.root / name).mkdir(parents=True)

    def container(self, digit: str) -> BuiltLayer:
        """The writable layer of a container, and Docker's lease of it."""
        layer = self.store.layer(None, File(f"written{digit}", size=30_000))
        self.store.unpack(layer, "moby")
        lease = bucket(self.store.meta, "v1", "moby", "leases", digit * 64)
        bucket(lease, "snapshots", "overlayfs")[layer.chain_id.encode()] = b""
        return layer

    def stock(self) -> Ledger:
        self.store.write()
        return ledger_case.stock(ContainerdStore(self.store.root), str(self.root))

    def folder(self, layer: BuiltLayer) -> str:
        return f"snapshots/{self.store.folder_id(layer, 'moby')}"


def test_containers_of_docker_over_containerd(tmp_path: Path) -> None:
    docker = DockerOverContainerd(tmp_path)
    there, gone = docker.container("a"), docker.container("b")
    container_config(str(docker.root), "a" * 64, Name="/web", Image=f"sha256:{HEX}")
    add(str(docker.root), File("tmp/half", size=20_000), File("volumes/data/_data/f", size=7000))
    ledger = docker.stock()
    web = item(ledger, docker.folder(there)).holding
    assert web.category is Category.CONTAINERS
    assert web.name.startswith("web (snapshot ")
    lost = item(ledger, docker.folder(gone)).holding
    assert lost.category is Category.UNREFERENCED
    assert lost.reason == f"the writable layer of container {'b' * 64}, which is not there"
    half = item(ledger, "docker/tmp").holding
    assert half.category is Category.TRANSIENT
    assert half.name == "files of pulls and builds under way"
    assert item(ledger, "volumes/data").holding.category is Category.VOLUMES
    assert item(ledger, "docker/rootfs").holding.category is Category.ENGINE
