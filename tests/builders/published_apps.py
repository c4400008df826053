"""A published App in a registry of the tests, written down without layerscan's publisher."""

import gzip
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layerscan.digest import sha256
from layerscan.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from tests.builders.registry_server import LAYER, OCTETS, OpenRegistry

if TYPE_CHECKING:
    from tests.builders.overlay2 import BuiltLayer, StoreBuilder

WEB = f"registry.example/acme/web@{sha256(b'web')}"
COMPOSE = f"services:\n  web:\n    image: {WEB}\n"

Figures = dict[str, int]


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def plain(descriptor: Descriptor, **more: object) -> dict[str, Any]:
    """A descriptor as a document has it."""
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        **more,
    }


def bundle(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A gzip'd tar of files: content and mode by name; a name may end in ``-> TARGET``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name.partition(" -> ")[0])
            entry.mode, entry.size = mode, len(content)
            if " -> " in name:
                entry.type, entry.linkname = tarfile.SYMTYPE, name.partition(" -> ")[2]
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


@dataclass
class AppBuilder:
    """An App; `put` publishes it.

    Attributes:
        files: of its bundle, see `bundle`.
        metadata: by architecture and digest, what each layer costs; None for none.
        with_layers_manifests: whether it has a layers manifest for each.
    """

    files: dict[str, tuple[bytes, int]] = field(
        default_factory=lambda: {
            "docker-compose.yml": (COMPOSE.encode(), 0o644),
            "start.sh": (b"#!/bin/sh\n", 0o755),
            "latest -> start.sh": (b"", 0o777),
        }
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

    def put(self, registry: OpenRegistry, path: str = "fleet/shop", tag: str = "1") -> bytes:
        """Put all of it into `registry`; the App manifest."""
        parts = [plain(registry.put_blob(path, bundle(self.files), OCTETS))]
        metadata = self.metadata or {}
        if self.metadata is not None or self.raw_metadata is not None:
            raw = self.raw_metadata or encoded(
                {
                    name: {"fs_block_size": 4096, "layers": layers}
                    for name, layers in metadata.items()
                }
            )
            blob = registry.put_blob(path, raw, "application/json")
            parts.append(plain(blob, annotations={"layers-meta": "v1"}))
        empty = registry.put_blob(path, b"", OCI_CONFIG)
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": plain(empty),
            "layers": parts,
            "annotations": {"compose-app": "v1"},
        }
        if self.with_layers_manifests:
            document["manifests"] = [
                self._layers_manifest(registry, path, name, layers)
                for name, layers in metadata.items()
            ]
        raw = encoded(document)
        registry.put_manifest(path, raw, OCI_MANIFEST, tag)
        return raw

    def _layers_manifest(
        self, registry: OpenRegistry, path: str, architecture: str, layers: dict[str, Figures]
    ) -> dict[str, Any]:
        platform = {"architecture": architecture, "os": ""}
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "platform": platform,
            "layers": [
                plain(Descriptor(LAYER, digest, layer["archive_size"]))
                for digest, layer in sorted(layers.items())
            ],
            "annotations": {"compose-app-layers": "v1"},
        }
        manifest = registry.put_manifest(path, encoded(document), OCI_INDEX)
        return plain(manifest, platform=platform)


def put_image(
    registry: OpenRegistry, path: str, architecture: str, *layers: tuple[bytes, str]
) -> dict[str, Any]:
    """An image for ``linux`` of these blobs and diff_ids; its descriptor, with the platform."""
    platform = {"architecture": architecture, "os": "linux"}
    rootfs = {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": plain(
            registry.put_blob(path, encoded({**platform, "rootfs": rootfs}), OCI_CONFIG)
        ),
        "layers": [plain(registry.put_blob(path, blob, LAYER)) for blob, _ in layers],
    }
    return plain(registry.put_manifest(path, encoded(document), OCI_MANIFEST), platform=platform)


def put_index(registry: OpenRegistry, path: str, tag: str, *images: dict[str, Any]) -> None:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": images}
    registry.put_manifest(path, encoded(document), OCI_INDEX, tag)


def put_fleet(registry: OpenRegistry, store: "StoreBuilder", base: "BuiltLayer") -> None:
    """What the documents look at: an App, an image, and one that `store` has no digest of."""
    AppBuilder(with_layers_manifests=True).put(registry, "fleet/door", "1043")
    blobs = [(bytes(size), sha256(bytes(size))) for size in (1_600_000, 400)]
    images = [put_image(registry, "fleet/web", name, *blobs) for name in ("amd64", "arm64")]
    put_index(registry, "fleet/web", "7", *images)
    pushed = put_image(registry, "fleet/kiosk", "amd64", (b"kiosk", base.diff_id))
    put_index(registry, "fleet/kiosk", "7", pushed)
    name = f"{registry.address}/fleet/kiosk:7"
    store.image([base], names=[name], extra={"comment": "built here, pushed by another tool"})
