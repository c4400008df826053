"""The documents of OCI images, as bytes: descriptors, manifests, indexes.

Nothing of layerscan is asked for a digest here. Whole images are declared with
`tests.builders.images`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER = f"{TAR}+gzip"
OCTETS = "application/octet-stream"

Document = dict[str, object]


def sha256(content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def descriptor(content: bytes, media_type: str, /, **more: object) -> Document:
    """What a document says of `content`; `more` may override it."""
    return {**descriptor_of(sha256(content), media_type, len(content)), **more}


def descriptor_of(digest: str, media_type: str, size: int) -> Document:
    """What a document says of what need not be there."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def manifest(config: Document, layers: Iterable[Document], /, **more: object) -> bytes:
    """A manifest of what is described; `more` may override it."""
    parts = {"config": config, "layers": list(layers)}
    return encoded({"schemaVersion": 2, "mediaType": MANIFEST, **parts, **more})


def index(entries: Iterable[Document], /, **more: object) -> bytes:
    """An index of what is described; `more` may override it."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
    return encoded({**document, **more})
