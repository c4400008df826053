"""containerd's store with thousands of images: how long it takes to open it."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from layerscan.files.safefs import Folder
from layerscan.stores.containerd.records import ContainerdRecords, Snapshots
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import (
    SNAPSHOTTER,
    WHEN,
    BuiltLayer,
    ContainerdBuilder,
    bucket,
    uvarint,
    varint,
)
from tests.builders.documents import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.alone

IMAGES, LAYERS = 5_000, 10
"""No layer is shared: as many snapshots as there can be, and two documents an image."""
SNAPSHOTS = IMAGES * LAYERS

DATABASES = 3.5
"""Reading all records, times plain Python's reading of all documents."""
IMAGES_AND_LAYERS = 13.0
"""The same for opening the store and giving all its images."""

MEMORY = "/dev/shm"
MEMORY_BYTES = 1 << 30
"""The store takes less than half of it."""

HISTORY = [
    {
        "created": "2026-01-01T00:00:00Z",
        "created_by": f"RUN /bin/sh -c apt-get install --yes package{number} # buildkit",
        "comment": "buildkit.dockerfile.v0",
    }
    for number in range(LAYERS)
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerdBuilder]:
    # A hundred thousand folders take a disk twenty times as long, twice.
    there = shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    folder = MEMORY if there else tmp_path_factory.mktemp("large")
    built = ContainerdBuilder(tempfile.mkdtemp(prefix="layerscan-", dir=folder))
    try:
        for image in range(IMAGES):
            stack = snapshots(built, image * LAYERS)
            manifest = built.manifest(stack, extra={"history": HISTORY})
            built.name(f"reg.example/app{image}:1", manifest)
        yield built.write()
    finally:
        shutil.rmtree(built.root)


def snapshots(built: ContainerdBuilder, first: int) -> list[BuiltLayer]:
    """Layers of their own, with what the store has of them; their folders are empty."""
    names = bucket(built.meta, "v1", "default", "snapshots", "overlayfs")
    records = bucket(built.snapshots, "v1", "snapshots")
    stack: list[BuiltLayer] = []
    below: bytes = b""
    for number in range(first + 1, first + LAYERS + 1):
        diff_id = sha256(f"{number}")
        chain = sha256(f"{stack[-1].chain_id} {diff_id}") if stack else diff_id
        key = f"default/{2 * number}/{chain}".encode()
        name = names[chain.encode()] = {b"name": key, b"createdat": WHEN, b"updatedat": WHEN}
        if stack:
            parent = stack[-1].chain_id.encode()
            name[b"parent"] = parent
            bucket(names, parent, "children")[chain.encode()] = b""
        records[key] = {
            b"id": uvarint(number),
            b"kind": b"\x03",
            b"createdat": WHEN,
            b"updatedat": WHEN,
            b"parent": below,
            b"inodes": varint(1000),
            b"size": varint(1 << 20),
        }
        os.makedirs(built.path(SNAPSHOTTER, "snapshots", str(number), "fs"))
        stack.append(BuiltLayer(chain, diff_id, sha256(f"archive {number}")))
        below = key
    return stack


def assert_fast(large: ContainerdBuilder, work: Callable[[], object], allowed: float) -> None:
    """It takes at most `allowed` times as long as plain Python takes to read the documents.

    Both are measured in turns; waiting for a busy machine is left out.
    """
    folder = large.path("io.containerd.content.v1.content", "blobs", "sha256")

    def read_documents() -> None:
        for entry in os.scandir(folder):
            with open(entry.path, "rb") as file:
                raw = file.read()
            assert hashlib.sha256(raw).hexdigest() == entry.name
            json.loads(raw)

    ratio = min(measured(work) / measured(read_documents) for _ in range(5))
    print(f"{ratio:.2f} times as long as the documents alone, of {allowed}")
    assert ratio < allowed


def measured(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def test_every_record_is_read_in_both_databases(large: ContainerdBuilder) -> None:
    stacks = [image.layers for image in ContainerdStore(large.root).images()]
    chains = [(layer.chain_id, layer.parent) for stack in stacks for layer in stack]
    assert len(chains) == SNAPSHOTS

    def read_all() -> None:
        found = set()
        with Folder(large.root) as root, ContainerdRecords(root) as records:
            namespace, snapshots = records.namespaces["default"], records.snapshots
            assert isinstance(snapshots, Snapshots)
            targets, faults = namespace.targets()
            assert (len(targets), faults) == (IMAGES, [])
            for chain, parent in chains:
                found.add(snapshots.read(namespace.snapshot_key(chain, parent), chain).folder)
            records.check_unmoved()
        assert len(found) == SNAPSHOTS

    assert_fast(large, read_all, DATABASES)


def test_store_opens_and_gives_its_images(large: ContainerdBuilder) -> None:
    def open_and_read() -> None:
        store = ContainerdStore(large.root)
        images = store.images()
        assert (store.problems, store.notes) == ((), ())
        assert sum(len(image.layers) for image in images) == SNAPSHOTS

    assert_fast(large, open_and_read, IMAGES_AND_LAYERS)
