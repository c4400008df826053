"""What a manifest is: an image's, or something else that is stored as a manifest, too."""

import re
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.oci import EMPTY_CONFIG, Manifest
from layerscan.text import quoted

_APP = "compose-app"  # the annotation of a Compose App's manifest

# Where there is no media type, the bytes will tell.
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?(\+encrypted)?"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?(\+encrypted)?"
    r"|application/vnd\.docker\.container\.image\.rootfs\.diff\+x-gtar"
    r"|application/(x-)?tar(\+gzip|\+zstd)?"
    r"|"
)


class LayerType(NamedTuple):
    """What a layer's media type says of it."""

    is_encrypted: bool  # cannot be read without a key
    is_elsewhere: bool  # registries need not have it


def layer_type(media_type: str) -> LayerType | None:
    """What the media type of a layer says; None if it is not that of a tar."""
    if not _LAYER.fullmatch(media_type):
        return None
    is_elsewhere = ".nondistributable." in media_type or ".foreign." in media_type
    return LayerType(media_type.endswith("+encrypted"), is_elsewhere)


def what_else(manifest: Manifest) -> str | None:
    """What a manifest is that is not an image's, None if it is one."""
    if manifest.manifests or manifest.annotations.get(_APP):
        return "is a Compose App, no image"
    if manifest.artifact_type:
        return artifact(manifest.artifact_type)
    config = manifest.config
    if config.media_type == EMPTY_CONFIG:
        return f"is no image: its config is of type {quoted(EMPTY_CONFIG)}"
    if config.size == 0 or config.digest == digests.of_content(b"{}", config.digest):
        return "is no image: its config is empty"
    layers = manifest.layers
    if layers and all(layer_type(layer.media_type) is None for layer in layers):
        return f"is no image: its layers are of type {quoted(layers[0].media_type)}, no tars"
    return None


def artifact(kind: str) -> str:
    """What is said of an artifact of the type `kind`."""
    return f"is an artifact of type {quoted(kind)}, no image"
