"""The documents of an App that is published: their exact bytes.

Owns how they are written, and the limits of the clients that read them;
``published`` reads them back. JSON is written without blanks and with sorted
keys: equal content, equal bytes.
"""

import json
from collections.abc import Iterable, Mapping

from layerscan import digest as digests
from layerscan.apps.published import APP_ANNOTATION, METADATA_ANNOTATION, VERSION
from layerscan.errors import DocumentError
from layerscan.oci import EMPTY_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform

METADATA_TYPE = "application/json"

ARTIFACT_TYPE = "application/vnd.fio+compose-app"

# The config of an App manifest, which says nothing (OCI image specification, "Guidance for
# an Empty Descriptor").
CONFIG = b"{}"
CONFIG_DESCRIPTOR = Descriptor(EMPTY_CONFIG, digests.sha256(CONFIG), len(CONFIG))
LONGEST_FOR_OLD_CLIENTS = 2010  # bytes of the longest App manifest that every aktualizr-lite reads
LONGEST_APP_MANIFEST = 50 * 1024  # bytes of the longest App manifest that is published
MOST_ARCHITECTURES = 6  # architectures of one App
_LAYERS_ANNOTATION = "compose-app-layers"


def layers_manifest(architecture: str, layers: Iterable[Descriptor]) -> bytes:
    """The layers manifest of an architecture (GOARCH), of the layers of all images; see `union`."""
    return _dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "platform": {"architecture": architecture, "os": ""},
            "layers": [_plain(layer) for layer in union(layers)],
            "annotations": {_LAYERS_ANNOTATION: VERSION},
        }
    )


def union(layers: Iterable[Descriptor]) -> list[Descriptor]:
    """Each of `layers` once, sorted by digest; a `DocumentError` if one has two sizes."""
    found: dict[str, Descriptor] = {}
    for layer in layers:
        before = found.setdefault(layer.digest, layer)
        if before.size != layer.size:
            raise DocumentError(
                f"layer {layer.digest}: one image gives it {before.size} bytes, another "
                f"{layer.size}: one of their manifests is wrong"
            )
        # The same blob may be a Docker layer to one image and an OCI layer to another.
        found[layer.digest] = min(before, layer, key=lambda either: either.media_type)
    return [found[digest] for digest in sorted(found)]


def app_manifest(
    bundle: Descriptor, metadata: Descriptor | None, layers_manifests: Mapping[str, Descriptor]
) -> bytes:
    """The App manifest; a `DocumentError` if it would be longer than `LONGEST_APP_MANIFEST`."""
    layers: list[dict[str, object]] = [{**_plain(bundle), "annotations": bundle.annotations}]
    if metadata is not None:
        layers.append({**_plain(metadata), "annotations": {METADATA_ANNOTATION: VERSION}})
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": _plain(CONFIG_DESCRIPTOR),
        "layers": layers,
        "annotations": {APP_ANNOTATION: VERSION},
    }
    if layers_manifests:
        document["manifests"] = [
            {**_plain(descriptor), "platform": {"architecture": architecture, "os": ""}}
            for architecture, descriptor in sorted(layers_manifests.items())
        ]
    raw = _dumps(document)
    if len(raw) > LONGEST_APP_MANIFEST:
        raise DocumentError(
            f"the App manifest would have {len(raw)} bytes; clients read {LONGEST_APP_MANIFEST}"
        )
    return raw


def descriptor_of(raw: bytes, media_type: str, architecture: str | None = None) -> Descriptor:
    """What refers to the document `raw`."""
    platform = None if architecture is None else Platform(architecture)
    return Descriptor(media_type, digests.sha256(raw), len(raw), platform)


def _plain(descriptor: Descriptor) -> dict[str, object]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


def _dumps(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
