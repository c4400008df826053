"""Whole containerd roots, as containerd 1.6 leaves them on disk.

Owns the layout, the buckets of both databases and the documents of images; the
files of a layer are declared with ``tree``, the databases are written with
``bolt``. Archives of layers are made up.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.builders import bolt, tree
from tests.builders.documents import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    descriptor_of,
    index,
    manifest,
    sha256,
)
from tests.builders.images import Image

CONTENT = "io.containerd.content.v1.content/blobs/sha256"
METADATA = "io.containerd.metadata.v1.bolt/meta.db"
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"

# Of Go's time.MarshalBinary: containerd keeps two in each record.
WHEN = bytes.fromhex("010000000edd3d5e8805e69d15ffff")


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of the store. `ops` is its declared content, without parents'."""

    chain_id: str
    diff_id: str
    digest: str
    parent: "BuiltLayer | None" = None
    ops: tuple[tree.Op, ...] = field(default=(), repr=False)

    @property
    def stack(self) -> "list[BuiltLayer]":
        """It and what it stands on, bottom up."""
        return [*(self.parent.stack if self.parent else ()), self]


@dataclass
class Descriptor:
    """What an image's name, or an index, refers to."""

    digest: str
    media_type: str
    size: int
    platform: dict[str, str] | None = None

    def document(self) -> dict[str, object]:
        found = descriptor_of(self.digest, self.media_type, self.size)
        return found if self.platform is None else found | {"platform": self.platform}


def uvarint(value: int) -> bytes:
    """Go's unsigned varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def varint(value: int) -> bytes:
    """Go's signed varint."""
    return uvarint(value << 1 if value >= 0 else ~(value << 1))


class ContainerdBuilder:
    """Builds a store under `root`; `write` writes the databases.

    Attributes:
        meta: the buckets of the database of names, to be changed at will.
        snapshots: those of the snapshotter's database.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        self.meta: dict[bytes, object] = {b"v1": {b"version": varint(3)}}
        self._numbered = bolt.Numbered()
        self.snapshots: dict[bytes, object] = {
            b"v1": {b"snapshots": self._numbered, b"parents": {}}
        }
        self._txid = 1
        for folder in (CONTENT, os.path.dirname(METADATA), f"{SNAPSHOTTER}/snapshots"):
            os.makedirs(self.path(folder))

    # Where things are, for tests that look at them or damage them.

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def blob_path(self, digest: str) -> str:
        return self.path(CONTENT, digest.removeprefix("sha256:"))

    def meta_path(self) -> str:
        return self.path(METADATA)

    def snapshots_path(self) -> str:
        return self.path(SNAPSHOTTER, "metadata.db")

    def layer_path(self, layer: BuiltLayer, *parts: str, namespace: str = "default") -> str:
        return self.path(SNAPSHOTTER, "snapshots", self.folder_id(layer, namespace), *parts)

    def folder_id(self, layer: BuiltLayer, namespace: str = "default") -> str:
        """The name of the layer's folder."""
        number = self.snapshot(layer, namespace)[b"id"]
        assert isinstance(number, bytes)
        return str(sum((byte & 0x7F) << 7 * place for place, byte in enumerate(number)))

    def config_of(self, manifest: Descriptor) -> str:
        """The digest of the config that the manifest leads to: the image id."""
        with open(self.blob_path(manifest.digest), "rb") as file:
            found = json.load(file)["config"]["digest"]
        assert isinstance(found, str)
        return found

    # Buckets.

    def snapshot_record(self, layer: BuiltLayer, namespace: str = "default") -> dict[bytes, object]:
        """What the namespace has on record for the layer."""
        return bucket(self.meta, "v1", namespace, "snapshots", "overlayfs", layer.chain_id)

    def snapshot(self, layer: BuiltLayer, namespace: str = "default") -> dict[bytes, object]:
        """What the snapshotter has on record for the layer."""
        name = self.snapshot_record(layer, namespace)[b"name"]
        assert isinstance(name, bytes)
        return bucket(self.snapshots, "v1", "snapshots", name)

    # What goes into the store.

    def layer(self, parent: BuiltLayer | None, *ops: tree.Op, archive: str = "") -> BuiltLayer:
        """A layer of `ops` on `parent`; it is nowhere before `unpack` or `fetch`.

        Args:
            archive: other archives of the same layer have other texts here.
        """
        diff_id = tree.tar_digest(ops)
        chain = diff_id if parent is None else sha256(f"{parent.chain_id} {diff_id}")
        return BuiltLayer(chain, diff_id, sha256(archive_of(diff_id, archive)), parent, ops)

    def blob(self, content: bytes, media_type: str, namespace: str = "default") -> Descriptor:
        """Put a blob into the content store."""
        digest = sha256(content)
        with open(self.blob_path(digest), "wb") as file:
            file.write(content)
        record = bucket(self.meta, "v1", namespace, "content", "blob", digest)
        record |= {b"createdat": WHEN, b"updatedat": WHEN, b"size": varint(len(content))}
        return Descriptor(digest, media_type, len(content))

    def label(self, digest: str, key: str, value: str, namespace: str = "default") -> None:
        """Give a blob a label. containerd's collector of garbage goes by those."""
        labels = bucket(self.meta, "v1", namespace, "content", "blob", digest, "labels")
        labels[f"containerd.io/{key}".encode()] = value.encode()

    def fetch(self, layer: BuiltLayer, namespace: str = "default", archive: str = "") -> None:
        """Put the layer's archive into the content store."""
        self.blob(archive_of(layer.diff_id, archive), LAYER, namespace)

    def unpack(self, layer: BuiltLayer, namespace: str = "default") -> None:
        """Make snapshots of the layer and of what it stands on."""
        parent = b""
        for one in layer.stack:
            record = self.snapshot_record(one, namespace)
            if not record:
                self._numbered.sequence += 1
                number = self._numbered.sequence
                name = f"{namespace}/{2 * number}/{one.chain_id}".encode()
                record |= {b"name": name, b"createdat": WHEN, b"updatedat": WHEN}
                if one.parent is not None:
                    record[b"parent"] = one.parent.chain_id.encode()
                    beneath = self.snapshot_record(one.parent, namespace)
                    bucket(beneath, "children")[one.chain_id.encode()] = b""
                folder = self.path(SNAPSHOTTER, "snapshots", str(number))
                os.makedirs(f"{folder}/fs")
                os.mkdir(f"{folder}/work", 0o711)
                tree.apply(f"{folder}/fs", *one.ops)
                inodes, usage = measured(f"{folder}/fs")
                bucket(self.snapshots, "v1", "snapshots", name).update(
                    {
                        b"id": uvarint(number),
                        b"kind": b"\x03",
                        b"parent": parent,
                        b"createdat": WHEN,
                        b"updatedat": WHEN,
                        b"inodes": varint(inodes),
                        b"size": varint(usage),
                    }
                )
            name = record[b"name"]  # type: ignore[assignment]
            parent = name

    def manifest(
        self,
        layers: Sequence[BuiltLayer],
        *,
        namespace: str = "default",
        architecture: str = "amd64",
        variant: str = "",
        digests: Sequence[str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> Descriptor:
        """A manifest and a config of `layers`, bottom up.

        Args:
            digests: of the layers' archives, by default the layers' own.
            extra: further keys of the config; they override the others.
        """
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        changes = {"rootfs": rootfs, **(extra or {})}
        image = Image(architecture, variant=variant, config_changes=changes)
        config = self.blob(image.config, CONFIG, namespace)
        archives = digests or [layer.digest for layer in layers]
        described = [descriptor_of(one, LAYER, 99) for one in archives]
        found = self.blob(manifest(config.document(), described), MANIFEST, namespace)
        self.label(found.digest, "gc.ref.content.config", config.digest, namespace)
        for number, archive in enumerate(archives):
            self.label(found.digest, f"gc.ref.content.l.{number}", archive, namespace)
        found.platform = image.platform
        return found

    def index(self, manifests: Iterable[Descriptor], namespace: str = "default") -> Descriptor:
        """An index of `manifests`."""
        entries = list(manifests)
        found = self.blob(index(one.document() for one in entries), INDEX, namespace)
        for number, one in enumerate(entries):
            self.label(found.digest, f"gc.ref.content.m.{number}", one.digest, namespace)
        return found

    def name(self, name: str | bytes, target: Descriptor, namespace: str = "default") -> None:
        """Give what `target` refers to a name."""
        record = bucket(self.meta, "v1", namespace, "images", name)
        record |= {b"createdat": WHEN, b"updatedat": WHEN}
        record[b"target"] = {
            b"digest": target.digest.encode(),
            b"mediatype": target.media_type.encode(),
            b"size": varint(target.size),
        }

    def image(
        self,
        names: Iterable[str],
        layers: Sequence[BuiltLayer],
        *,
        namespace: str = "default",
        fetched: bool = True,
        unpacked: bool = True,
        architecture: str = "amd64",
    ) -> Descriptor:
        """An image of `layers`, bottom up, as a pull leaves it, and its names."""
        manifest = self.manifest(layers, namespace=namespace, architecture=architecture)
        for layer in layers:
            if fetched:
                self.fetch(layer, namespace)
        if unpacked and layers:
            self.unpack(layers[-1], namespace)
            top = layers[-1].chain_id
            self.label(self.config_of(manifest), "gc.ref.snapshot.overlayfs", top, namespace)
        for name in names:
            self.name(name, manifest, namespace)
        return manifest

    def write(self) -> "ContainerdBuilder":
        """Write both databases: one transaction more."""
        self._txid += 1
        for path, buckets in (
            (self.meta_path(), self.meta),
            (self.snapshots_path(), self.snapshots),
        ):
            with open(path, "wb") as file:
                file.write(bolt.database(buckets, txid=self._txid))  # type: ignore[arg-type]
        return self


def bucket(tree_: Mapping[bytes, object], *keys: str | bytes) -> dict[bytes, object]:
    """The bucket under `keys`, made where there is none."""
    found: object = tree_
    for key in keys:
        assert isinstance(found, dict)
        found = found.setdefault(key.encode() if isinstance(key, str) else key, {})
    assert isinstance(found, dict)
    return found


def measured(folder: str) -> tuple[int, int]:
    """Inodes of `folder`, itself included, and the bytes of disk that they take."""
    seen: dict[int, int] = {}
    for top, folders, files in os.walk(os.fsencode(folder)):
        for name in (b"", *folders, *files):
            found = os.lstat(os.path.join(top, name))
            seen[found.st_ino] = found.st_blocks * 512
    return len(seen), sum(seen.values())


def archive_of(diff_id: str, which: str = "") -> bytes:
    """A made-up archive of a layer."""
    return f"archive {which} of {diff_id}".encode()
