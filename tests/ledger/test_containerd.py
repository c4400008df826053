"""Where every byte of a containerd root is: stores that are made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from layerscan.stores.containerd.store import ContainerdStore
from layerscan.stores.holdings import Category
from tests.builders import ledger_case
from tests.builders.containerd import ContainerdBuilder, bucket
from tests.builders.ledger_case import HEX, add, item
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
