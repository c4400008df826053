"""A published App in a registry of the tests, written down without layerscan's publisher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.builders.documents import (
    INDEX,
    LAYER,
    MANIFEST,
    OCTETS,
    descriptor,
    descriptor_of,
    encoded,
    sha256,
)
from tests.builders.fit_apps import JSON, app_manifest, layers_manifest
from tests.builders.images import Image, Index, Layer
from tests.builders.tree import File, Op, Symlink, tar_of

if TYPE_CHECKING:
    from tests.builders.overlay2 import BuiltLayer, StoreBuilder
    from tests.builders.registry_server import OpenRegistry

WEB = f"registry.example/acme/web@{sha256(b'web')}"
COMPOSE = f"services:\n  web:\n    image: {WEB}\n"

Figures = dict[str, int]


@dataclass
class AppBuilder:
    """An App; `put` publishes it.

    Attributes:
        files: of its bundle.
        metadata: by architecture and digest, what each layer costs; None for none.
        with_layers_manifests: whether it has a layers manifest for each.
    """

    files: list[Op] = field(
        default_factory=lambda: [
            File("docker-compose.yml", COMPOSE.encode()),
            File("start.sh", b"#!/bin/sh\n", mode=0o755),
            Symlink("latest", "start.sh"),
        ]
    )
    metadata: dict[str, dict[str, Figures]] | None = field(
        default_factory=lambda: {
            "amd64": {
                sha256(b"base"): {"size": 4_000_000, "usage": 4_500_000, "archive_size": 1_600_000},
                sha256(b"own"): {"size": 1000, "usage": 8192, "archive_size": 400},
            },
            "arm64": {
                sha256(b"arm"): {"size": 3_000_000, "usage": 3_500_000, "archive_size": 1_500_000}
            },
        }
    )
    with_layers_manifests: bool = False
    raw_metadata: bytes | None = None

    @property
    def bundle(self) -> bytes:
        """A gzip'd tar."""
        return Layer.of(*self.files).blob

    def put(self, registry: OpenRegistry, path: str = "fleet/shop", tag: str = "1") -> bytes:
        """Put all of it into `registry`; the App manifest."""
        blobs = [self.bundle, b""]
        parts = [descriptor(self.bundle, OCTETS)]
        metadata = self.metadata or {}
        if self.metadata is not None or self.raw_metadata is not None:
            raw = self.raw_metadata or encoded(
                {
                    name: {"fs_block_size": 4096, "layers": layers}
                    for name, layers in metadata.items()
                }
            )
            blobs.append(raw)
            parts.append(descriptor(raw, JSON, annotations={"layers-meta": "v1"}))
        for blob in blobs:
            registry.put_blob(path, blob)
        manifests = []
        for name, layers in metadata.items() if self.with_layers_manifests else ():
            described = [
                descriptor_of(digest, LAYER, figures["archive_size"])
                for digest, figures in sorted(layers.items())
            ]
            raw = layers_manifest(name, described)
            registry.put_manifest(path, raw, INDEX)
            platform = {"architecture": name, "os": ""}
            manifests.append(descriptor(raw, INDEX, platform=platform))
        raw = app_manifest(parts, manifests)
        registry.put_manifest(path, raw, MANIFEST, tag)
        return raw


def put_fleet(registry: OpenRegistry, store: StoreBuilder, base: BuiltLayer) -> None:
    """What the documents look at: an App, an image, and one that `store` has no digest of."""
    AppBuilder(with_layers_manifests=True).put(registry, "fleet/door", "1043")
    web = [Layer(bytes(size), "", LAYER) for size in (1_600_000, 400)]
    Index.of({"amd64": web, "arm64": web}).put(registry, "fleet/web:7")
    kiosk = Layer(tar_of(*base.ops), ready=b"kiosk")
    Index((Image.of(kiosk),)).put(registry, "fleet/kiosk:7")
    name = f"{registry.address}/fleet/kiosk:7"
    store.image([base], names=[name], extra={"comment": "built here, pushed by another tool"})
