"""containerd's store with thousands of images: how long it takes to open it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from layerscan.stores.containerd import ContainerdStore
from layerscan.stores.containerd_records import Records, Snapshots
from layerscan.stores.safefs import Folder
from tests.builders.containerd import WHEN, ContainerdBuilder, bucket, sha256, uvarint, varint

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.alone

IMAGES, SNAPSHOTS = 5_000, 50_000
OPENING_SECONDS = 1.0
LOOKING_UP_SECONDS = 2.0
LAYERS = 10
"""Of each of the images; one in ten has documents of its own."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> ContainerdBuilder:
    """5,000 names and 50,000 snapshots; the names are of a few images that are whole."""
    built = ContainerdBuilder(tmp_path_factory.mktemp("large") / "containerd")
    layer = None
    for _ in range(LAYERS):
        layer = built.layer(layer)
    assert layer is not None
    built.unpack(layer)
    manifests = [built.manifest(layer.stack, extra={"n": number}) for number in range(500)]
    for number in range(IMAGES):
        built.name(f"reg.example/app{number}:1", manifests[number % len(manifests)])
    names = bucket(built.meta, "v1", "default", "snapshots", "overlayfs")
    snapshots = bucket(built.snapshots, "v1", "snapshots")
    parent = b""
    for number in range(LAYERS, SNAPSHOTS):
        chain = sha256(f"{number}").encode()
        key = b"default/%d/%s" % (number, chain)
        # The bucket inside makes each record a page of its own, as in real databases.
        names[chain] = {
            b"name": key,
            b"parent": parent[-71:],
            b"createdat": WHEN,
            b"updatedat": WHEN,
            b"children": {sha256(f"{number + 1}").encode(): b""},
        }
        snapshots[key] = {
            b"id": uvarint(number + LAYERS),
            b"kind": b"\x03",
            b"createdat": WHEN,
            b"updatedat": WHEN,
            b"parent": parent,
            b"inodes": varint(1000),
            b"size": varint(1 << 20),
        }
        parent = key
    return built.write()


def assert_fast(work: Callable[[], object], allowed: float) -> None:
    """The best of five takes at most `allowed` seconds, waiting for a busy machine left out."""
    taken = []
    for _ in range(5):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    print(f"{min(taken):.2f} s of {allowed} s")
    assert min(taken) < allowed


def test_every_snapshot_is_looked_up_in_both_databases(large: ContainerdBuilder) -> None:
    chains = [sha256(f"{number}") for number in range(LAYERS, SNAPSHOTS)]

    def read_all() -> None:
        found = set()
        with Folder(large.root) as root, Records(root) as records:
            namespace, snapshots = records.namespaces["default"], records.snapshots
            assert isinstance(snapshots, Snapshots)
            targets, faults = namespace.targets()
            assert (len(targets), faults) == (IMAGES, [])
            parent = None
            for chain in chains:
                found.add(snapshots.read(namespace.snapshot_key(chain, parent), chain).folder)
                parent = chain
            records.check_unmoved()
        assert len(found) == SNAPSHOTS - LAYERS

    assert_fast(read_all, LOOKING_UP_SECONDS)


def test_store_opens_and_gives_its_images_in_a_second(large: ContainerdBuilder) -> None:
    def open_and_read() -> None:
        store = ContainerdStore(large.root)
        images = store.images()
        assert store.problems == store.notes == ()
        assert sum(len(image.names) for image in images) == 2 * IMAGES

    assert_fast(open_and_read, OPENING_SECONDS)
