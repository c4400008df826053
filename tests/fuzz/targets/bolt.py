"""A bbolt database: read in one go or by pages, and as containerd's records."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from layerscan.files.safefs import Fault
from layerscan.stores.containerd.bolt import Bucket, Database
from layerscan.stores.containerd.records import ContainerdRecords, Snapshots
from tests.builders.bolt_contents import get, items
from tests.fuzz.one_file import OneFile
from tests.fuzz.outcome import Refused, outcome
from tests.fuzz.sealed import sealed_database

if TYPE_CHECKING:
    from layerscan.stores.containerd.records import Namespace

LONGEST = 32 * 1024

MOST_BUCKETS = 200
"""A bucket may be in itself; who reads records goes down by a fixed number of levels."""

CHAIN = "sha256:" + "0" * 64


def run(data: bytes) -> None:
    folder = OneFile(sealed_database(data))
    try:
        at_once = outcome(lambda: contents(folder, copied=True), Fault)
        by_pages = outcome(lambda: contents(folder, copied=False), Fault)
        # A file that ends too early can still have all that was asked for.
        cut_off = isinstance(at_once, Refused) and "it ends before its page" in at_once.message
        assert cut_off or at_once == by_pages
        outcome(lambda: records(folder), Fault)
    finally:
        folder.end()


def contents(folder: OneFile, *, copied: bool) -> list[object]:
    found: list[object] = []
    with Database(folder, "db", copied=copied) as database:
        buckets = [database.root]
        for bucket in buckets:
            keys = []
            for key, value in items(bucket):
                keys.append(key)
                if isinstance(value, bytes):
                    found.append((key, value))
                elif len(buckets) < MOST_BUCKETS:
                    found.append(key)
                    buckets.append(value)
            # Beyond some lookups the bucket is indexed.
            found += [found_under(bucket, key) for key in islice(keys, 40)]
    return found


def found_under(bucket: Bucket, key: bytes) -> object:
    return [
        outcome(partial(bucket.has, key), Fault),
        outcome(partial(get, bucket, key), Fault),
        outcome(lambda: bucket.bucket(key) is None, Fault),
        outcome(partial(bucket.record, key, b"digest", b"size"), Fault),
    ]


def records(folder: OneFile) -> None:
    with ContainerdRecords(folder) as found:
        for namespace in found.namespaces.values():
            outcome(partial(images, namespace), Fault)
            if isinstance(found.snapshots, Snapshots):
                outcome(partial(layer, namespace, found.snapshots), Fault)
        outcome(found.check_unmoved, Fault)


def images(namespace: Namespace) -> None:
    targets, _ = namespace.targets()
    assert namespace.has_images or not targets
    for target in targets:
        outcome(partial(namespace.other_snapshotters, target.digest), Fault)


def layer(namespace: Namespace, snapshots: Snapshots) -> None:
    namespace.has_snapshot(CHAIN)
    found = snapshots.read(namespace.snapshot_key(CHAIN, None), CHAIN)
    assert found.folder.isdigit()
    assert found.inodes >= 0
    assert found.usage >= 0
