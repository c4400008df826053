"""containerd's records: the buckets of its two databases.

Owns their names and the forms of their values (containerd's
``metadata/buckets.go`` and ``snapshots/storage/bolt.go``), and that both
databases are of the same moment. What the records mean together is ``reading``'s
matter. What cannot be read, is not there or is damaged is a `Fault`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.files.safefs import Fault, Folder, or_fault
from layerscan.stores.containerd._bolt import uvarint, varint
from layerscan.stores.containerd.bolt import Bucket, Database
from layerscan.text import shown

METADATA = "io.containerd.metadata.v1.bolt"
METADATA_FILE = "meta.db"
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
SNAPSHOTTER_FILE = "metadata.db"

_VERSION = b"v1"
_OVERLAYFS = b"overlayfs"
_ATTEMPTS = 5
"""How often both databases are read until they are of one moment."""

_COMMITTED = b"\x03"
"""The kind of a snapshot that an image's layer is; others are containers'."""

_LONGEST_NAME = 4096

_UNPACKED = b"containerd.io/gc.ref.snapshot."
"""A label of a config that begins so names a snapshotter that has its layers."""


class Target(NamedTuple):
    """What an image's name, which is any text, stands for: a manifest or an index."""

    name: str
    digest: str
    media_type: str


class Snapshot(NamedTuple):
    """A layer of an image as the snapshotter has it."""

    folder: str  # its name
    parent: bytes  # key of the snapshot beneath, empty at the bottom
    inodes: int  # how many it had when it was committed
    usage: int  # bytes of disk that they took


class Namespace:
    """The records of one namespace, in the database at the path `where`."""

    def __init__(self, where: str, bucket: Bucket) -> None:
        self._where = where
        self.bucket = self._bucket = bucket
        self._snapshots = bucket.bucket(b"snapshots", _OVERLAYFS)

    @property
    def has_images(self) -> bool:
        """Whether it names any image; True where that cannot be read, and reading says why."""
        try:
            images = self._bucket.bucket(b"images")
            return images is not None and next(images.keys(), None) is not None
        except Fault:
            return True

    def targets(self) -> tuple[list[Target], list[Fault]]:
        """What each image name stands for, by name; and the records that are damaged."""
        images = self._bucket.bucket(b"images")
        targets: list[Target] = []
        faults: list[Fault] = []
        for key, record in images.buckets() if images else ():
            try:
                targets.append(self._target(_text(key), record))
            except Fault as fault:
                faults.append(fault)
        return targets, faults

    def _target(self, name: str, record: Bucket) -> Target:
        if len(name) > _LONGEST_NAME:
            raise Fault(self._where, f"the image name {shown(name)} is too long")
        target = record.record(b"target", b"digest", b"mediatype") or (b"", b"")
        digest, media_type = map(_text, target)
        if not digests.is_digest(digest):
            raise Fault(self._where, f"image {shown(name)} has no digest but {shown(digest)}")
        return Target(name, digest, media_type)

    def has_snapshot(self, chain_id: str) -> bool:
        """Whether the overlayfs snapshotter has the layer `chain_id`."""
        return self._snapshots is not None and self._snapshots.has(chain_id.encode())

    def snapshot_key(self, chain_id: str, parent: str | None) -> bytes:
        """The key of a layer's snapshot in the snapshotter's own database."""
        snapshots = self._snapshots
        chain = chain_id.encode()
        record = None if snapshots is None else snapshots.record(chain, b"name", b"parent")
        if record is None:
            raise Fault(self._where, f"has no snapshot of layer {chain_id}", gone=True)
        key, beneath = record
        found, expected = _text(beneath), parent or ""
        if found != expected:
            what = f"has layer {chain_id} on {shown(found)}, not on {shown(expected)}"
            raise Fault(self._where, what)
        if not key:
            raise Fault(self._where, f"does not name the snapshot of layer {chain_id}")
        return key

    def other_snapshotters(self, config: str) -> list[str]:
        """Those that an image was unpacked into beside overlayfs, by the labels of `config`."""
        labels = self._bucket.bucket(b"content", b"blob", config.encode(), b"labels")
        keys = labels.keys() if labels else ()
        names = (key.removeprefix(_UNPACKED) for key in keys if key.startswith(_UNPACKED))
        return [_text(name) for name in names if name != _OVERLAYFS]


def snapshotter(root: Folder, elsewhere: str | None) -> Folder:
    """The folder of the overlayfs snapshotter: under containerd's root, or `elsewhere`."""
    return root.folder(SNAPSHOTTER) if elsewhere is None else Folder(elsewhere, follow=True)


class Snapshots(Database):
    """The database of the overlayfs snapshotter, which has the snapshots of all namespaces.

    It is `copied` to look up many of them.
    """

    def __init__(self, root: Folder, elsewhere: str | None = None, *, copied: bool) -> None:
        with snapshotter(root, elsewhere) as folder:
            super().__init__(folder, SNAPSHOTTER_FILE, copied=copied)

    @cached_property
    def _bucket(self) -> Bucket | None:
        return self.root.bucket(_VERSION, b"snapshots")

    def folders(self) -> Iterator[tuple[bytes, str, bytes]]:
        """Of each snapshot of whatever kind: its key, its folder, the key of the one beneath."""
        keys = () if self._bucket is None else self._bucket.keys()
        for key in keys:
            record = self._bucket.record(key, b"id", b"parent") if self._bucket else None
            if record is None:
                continue
            number, parent = record
            try:
                yield key, str(uvarint(number)), parent
            except ValueError as error:
                what = f"the id of snapshot {shown(key)} is {shown(error.args[0])}"
                raise Fault(self.where, what) from None

    def read(self, key: bytes, chain_id: str) -> Snapshot:
        """The committed snapshot under `key`, of the layer `chain_id`."""
        bucket = self._bucket
        names = (b"kind", b"parent", b"id", b"inodes", b"size")
        record = None if bucket is None else bucket.record(key, *names)
        if record is None:
            raise Fault(self.where, f"has no snapshot of layer {chain_id}", gone=True)
        kind, parent, number, inodes, size = record
        if kind != _COMMITTED:
            raise Fault(self.where, f"the snapshot of layer {chain_id} is not committed")
        try:
            return Snapshot(str(uvarint(number)), parent, varint(inodes), varint(size))
        except ValueError as error:
            what = f"a number of the snapshot of layer {chain_id} is {shown(error.args[0])}"
            raise Fault(self.where, what) from None


class ContainerdRecords(ExitStack):
    """Both databases, as of one moment where the engine allows it, while they are read.

    `namespaces` are by their names, in order; `snapshots` are those of all of them, or why
    they cannot be read.
    """

    def __init__(self, root: Folder, elsewhere: str | None = None) -> None:
        super().__init__()
        with ExitStack() as opened, root.folder(METADATA) as folder:
            for _ in range(_ATTEMPTS):
                opened.close()
                # The names first: a layer that has one there has its snapshot already,
                # and keeps it as long as no further transaction ends.
                self._names = opened.enter_context(Database(folder, METADATA_FILE))
                self.snapshots = or_fault(Snapshots, root, elsewhere, copied=True)
                if isinstance(self.snapshots, Snapshots):
                    opened.enter_context(self.snapshots)
                self._are_of_one_moment = self._names.is_newest()
                if self._are_of_one_moment:
                    break
            # Else of nearly one moment: what is missing then is seen when it is looked for.
            top = self._names.root.bucket(_VERSION)
            self.namespaces = {
                _text(key): Namespace(self._names.where, bucket)
                for key, bucket in (top.buckets() if top else ())
            }
            self.push(opened.pop_all())

    def are_unmoved(self) -> bool:
        """Whether all that was read of both databases is of one moment."""
        return self._are_of_one_moment and self._names.is_newest()

    def check_unmoved(self) -> None:
        """Make sure that what was read of a database is of one transaction."""
        self._names.check_unmoved()
        if isinstance(self.snapshots, Snapshots):
            self.snapshots.check_unmoved()


def _text(raw: bytes) -> str:
    """`raw` as text; what is no UTF-8 in it is escaped."""
    return raw.decode("utf-8", "backslashreplace")
