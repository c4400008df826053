"""OCI image layouts written by hand: images of any architecture, indexes, attestations.

Owns the bytes of what the engines' registry is filled with; skopeo and buildah
put it there. Nothing of layerscan is asked for a digest here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.builders.tree import tar_stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.tree import Op

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
STATEMENT = "application/vnd.in-toto+json"

Document = dict[str, object]


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


@dataclass
class Layout:
    """A folder in the form of the OCI image layout."""

    root: Path

    @classmethod
    def new(cls, root: Path) -> Layout:
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return cls(root)

    def blob(self, content: bytes, media_type: str) -> Document:
        """Keep `content`; its descriptor."""
        digest = sha256(content)
        path = os.path.join(self.root, "blobs", "sha256", digest.removeprefix("sha256:"))
        with open(path, "wb") as out:
            out.write(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def layer(self, *ops: Op, packed: bool = True) -> tuple[Document, str]:
        """A layer, packed with gzip if at all; its descriptor and diff_id."""
        tar = b"".join(tar_stream(ops))
        if not packed:
            return self.blob(tar, LAYER.removesuffix("+gzip")), sha256(tar)
        return self.blob(gzip.compress(tar, mtime=0), LAYER), sha256(tar)

    def image(
        self, architecture: str, *layers: tuple[Document, str], variant: str = ""
    ) -> Document:
        """An image of these layers; the descriptor of its manifest, with its platform."""
        platform = {"architecture": architecture, "os": "linux"}
        if variant:
            platform["variant"] = variant
        diff_ids = [diff_id for _, diff_id in layers]
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        config = self.blob(encoded({**platform, "rootfs": rootfs, "config": {}}), CONFIG)
        return {**self.manifest(config, [layer for layer, _ in layers]), "platform": platform}

    def manifest(self, config: Document, layers: list[Document]) -> Document:
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        return self.blob(encoded(document), MANIFEST)

    def attestation(self, image: Document) -> Document:
        """What BuildKit puts beside an image: a statement about it, as a manifest."""
        statement = self.blob(encoded({"subject": image["digest"]}), STATEMENT)
        rootfs = {"type": "layers", "diff_ids": [statement["digest"]]}
        platform = {"architecture": "unknown", "os": "unknown"}
        config = self.blob(encoded({**platform, "rootfs": rootfs}), CONFIG)
        annotations = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        }
        manifest = self.manifest(config, [statement])
        return {**manifest, "annotations": annotations, "platform": platform}

    def index(self, *entries: Document) -> Document:
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.blob(encoded(document), INDEX)

    def name(self, descriptor: Document, name: str) -> str:
        """Make `descriptor` the only one that the layout names; what skopeo calls it."""
        annotations = {"org.opencontainers.image.ref.name": name}
        manifests = [{**descriptor, "annotations": annotations}]
        index = encoded({"schemaVersion": 2, "manifests": manifests})
        (self.root / "index.json").write_bytes(index)
        return f"oci:{self.root}:{name}"
