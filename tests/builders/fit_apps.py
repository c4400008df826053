"""Apps whose layers are figures only, document by document, and the places where they may lie.

Owns the documents as `publish` makes them; what layers hold is of no account
here: a layer is a digest and figures. Images may be for several architectures.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layerscan.digest import chain_id, sha256
from tests.builders.documents import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    OCTETS,
    Document,
    descriptor,
    descriptor_of,
    encoded,
    index,
    manifest,
)
from tests.builders.images import Image
from tests.builders.tree import File, tar_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

JSON = "application/json"

encode = encoded


@dataclass(frozen=True)
class Layer:
    """A layer: its figures, and the name that its digests are made of."""

    name: str
    archive_size: int = 1024
    usage: int = 4096
    size: int = 3000
    inodes: int | None = None

    @property
    def digest(self) -> str:
        return sha256(f"blob {self.name}".encode())

    @property
    def diff_id(self) -> str:
        return sha256(f"tar {self.name}".encode())

    @property
    def descriptor(self) -> Document:
        return descriptor_of(self.digest, LAYER, self.archive_size)


def chains(layers: Sequence[Layer]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        found.append(chain_id(found[-1] if found else None, layer.diff_id))
    return found


@dataclass
class App:
    """An App under construction; `build` makes its documents.

    Attributes:
        images: by service, for each architecture its layers.
        metadata: the document, None for an App without; by default what is right.
        layers_manifests: whether there are any.
        index: whether the images are behind indexes.
        bundle_bytes: how much incompressible filling the bundle has.
        bundle_index: whether the bundle has a list of its files.
    """

    images: Mapping[str, Mapping[str, Sequence[Layer]]]
    metadata: bytes | None = b"right"
    layers_manifests: bool = True
    index: bool = False
    bundle_bytes: int = 0
    bundle_index: bool = False
    repository: str = "registry.example/fleet"
    blobs: dict[str, bytes] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def put(self, raw: bytes, kind: str) -> Document:
        self.blobs[sha256(raw)] = raw
        self.kinds[sha256(raw)] = kind
        return descriptor(raw, kind)

    @property
    def architectures(self) -> list[str]:
        return sorted({name for image in self.images.values() for name in image})

    def layers(self, architecture: str) -> list[Layer]:
        found = {
            layer.digest: layer
            for image in self.images.values()
            for layer in image.get(architecture, ())
        }
        return [found[digest] for digest in sorted(found)]

    def build(self) -> bytes:
        """The App manifest."""
        references = {service: self._image(service) for service in self.images}
        archive = bundle(references, self.bundle_bytes)
        more: dict[str, object] = {}
        if self.bundle_index:
            listed = self.put(encode({"docker-compose.yml": sha256(b"")}), OCTETS)
            more["annotations"] = {
                "org.foundries.app.bundle.index.digest": listed["digest"],
                "org.foundries.app.bundle.index.size": str(listed["size"]),
            }
        layers = [self.put(archive, OCTETS) | more]
        if self.metadata is not None:
            raw = right_metadata(self) if self.metadata == b"right" else self.metadata
            layers.append(self.put(raw, JSON) | {"annotations": {"layers-meta": "v1"}})
        manifests = []
        for architecture in self.architectures if self.layers_manifests else ():
            described = [layer.descriptor for layer in self.layers(architecture)]
            raw = layers_manifest(architecture, described)
            platform = {"architecture": architecture, "os": ""}
            manifests.append(self.put(raw, INDEX) | {"platform": platform})
        self.put(b"", CONFIG)
        raw = app_manifest(layers, manifests)
        self.put(raw, MANIFEST)
        return raw

    def _image(self, service: str) -> str:
        entries = []
        for architecture, layers in sorted(self.images[service].items()):
            rootfs = {"diff_ids": [layer.diff_id for layer in layers]}
            image = Image(architecture, config_changes={"rootfs": rootfs})
            raw = manifest(self.put(image.config, CONFIG), [layer.descriptor for layer in layers])
            entries.append(self.put(raw, MANIFEST) | {"platform": image.platform})
        digest = entries[0]["digest"]
        if self.index:
            digest = self.put(index(entries), INDEX)["digest"]
        return f"{self.repository}/{service}@{digest}"

    def store(self, root: Path) -> str:
        """Put the App into a store of blobs; what `--app` calls it."""
        manifest = self.build()
        folder = root / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        for digest, raw in self.blobs.items():
            (folder / digest.removeprefix("sha256:")).write_bytes(raw)
        return f"{root}@{sha256(manifest)}"

    def dry_run(self, folder: Path) -> str:
        """Write the folder of a dry run; returns it."""
        raw = self.build()
        manifest = json.loads(raw)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(raw)
        for number, one in enumerate([*manifest["layers"], *manifest.get("manifests", [])]):
            (folder / f"document-{number}").write_bytes(self.blobs[one["digest"]])
        return os.fspath(folder)

    def push(self, registry: OpenRegistry, tag: str = "1") -> str:
        """Put the App and its images into a registry; the App's reference."""
        self.repository = f"{registry.address}/fleet"
        manifest = self.build()
        paths = ["fleet/app", *(f"fleet/{service}" for service in self.images)]
        for path in paths:
            for digest, raw in self.blobs.items():
                if self.kinds[digest] in (MANIFEST, INDEX):
                    registry.put_manifest(path, raw, self.kinds[digest])
                else:
                    registry.put_blob(path, raw)
        registry.put_manifest("fleet/app", manifest, MANIFEST, tag)
        return f"{registry.address}/fleet/app:{tag}"


def app_manifest(layers: Iterable[Document], manifests: Sequence[Document] = ()) -> bytes:
    more = {"manifests": manifests} if manifests else {}
    config = descriptor(b"", CONFIG)
    return manifest(config, layers, annotations={"compose-app": "v1"}, **more)


def right_metadata(app: App) -> bytes:
    return encode({name: metadata_of(app.layers(name)) for name in app.architectures})


def metadata_of(layers: Sequence[Layer], fs_block_size: int = 4096) -> dict[str, Any]:
    inodes = {layer.digest: layer.inodes for layer in layers if layer.inodes is not None}
    return {
        **({"inodes": inodes} if inodes else {}),
        "fs_block_size": fs_block_size,
        "layers": {
            layer.digest: {
                "size": layer.size,
                "usage": layer.usage,
                "archive_size": layer.archive_size,
            }
            for layer in layers
        },
    }


def layers_manifest(architecture: str, layers: Sequence[Document]) -> bytes:
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "platform": {"architecture": architecture, "os": ""},
            "layers": layers,
            "annotations": {"compose-app-layers": "v1"},
        }
    )


def bundle(references: Mapping[str, str], filling: int = 0) -> bytes:
    lines = ["services:"]
    for service, reference in references.items():
        lines += [f"  {service}:", f"    image: {reference}"]
    files = [File("docker-compose.yml", "\n".join(lines).encode() + b"\n")]
    if filling:
        files.append(File("filling", os.urandom(filling)))
    return gzip.compress(tar_of(*files), mtime=0)
