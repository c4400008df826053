"""Images, declared: layers, images of them, indexes of these.

Owns their bytes and descriptors; nothing of layerscan is asked for a digest
here. `put` is for the tests' registry, `tests.builders.image_archives` writes
layouts and archives::

    base = Layer.of(*BASE)                       # of a declared tree
    Layer(tar, "zstd")                           # of a tar; "" does not pack it
    Layer(tar, ready=blob, annotations={…})      # a blob as it is
    image = Image.of(base, top)                  # for amd64
    index = Index.of({"amd64": [base, top], "arm/v7": [base]})
    index.put(registry, "acme/web:7")
    image.digest, image.document, base.digest, base.diff_id
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tests.builders.documents import (
    CONFIG,
    INDEX,
    MANIFEST,
    TAR,
    Document,
    descriptor,
    encoded,
    index,
    manifest,
    sha256,
)
from tests.builders.tree import tar_of
from tests.builders.zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.builders.registry_server import OpenRegistry
    from tests.builders.tree import Op

STATEMENT = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Layer:
    """A layer.

    Attributes:
        tar: what the diff_id is of.
        packed: how the blob is made of it: ``gzip``, ``zstd`` or not at all.
        media_type: by default OCI's for that.
        annotations: of its descriptor.
        ready: the blob, where it is not made of the tar.
    """

    tar: bytes
    packed: str = "gzip"
    media_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    ready: bytes | None = None

    @classmethod
    def of(cls, *ops: Op, packed: str = "gzip") -> Layer:
        return cls(tar_of(*ops), packed)

    @cached_property
    def blob(self) -> bytes:
        if self.ready is not None:
            return self.ready
        if self.packed == "gzip":
            return gzip.compress(self.tar, mtime=0)
        return zstd.compress(self.tar) if self.packed == "zstd" else self.tar

    @cached_property
    def digest(self) -> str:
        return sha256(self.blob)

    @cached_property
    def diff_id(self) -> str:
        return sha256(self.tar)

    @property
    def descriptor(self) -> Document:
        usual = f"{TAR}+{self.packed}" if self.packed else TAR
        media_type = usual if self.media_type is None else self.media_type
        return _described(self.blob, media_type, self.annotations)


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        changes: go into its manifest, `config_changes` into its config.
        ready_config: the config, where it is not made of the rest.
        annotations: of its descriptor.
    """

    architecture: str = "amd64"
    layers: tuple[Layer, ...] = ()
    variant: str = ""
    changes: Document = field(default_factory=dict)
    config_changes: Document = field(default_factory=dict)
    ready_config: bytes | None = None
    config_type: str = CONFIG
    media_type: str = MANIFEST
    system: str = "linux"
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, *layers: Layer | bytes, platform: str = "amd64") -> Image:
        """An image of layers or tars; the platform may have a variant after ``/``."""
        architecture, _, variant = platform.partition("/")
        whole = (one if isinstance(one, Layer) else Layer(one) for one in layers)
        return cls(architecture, tuple(whole), variant)

    @property
    def platform(self) -> dict[str, str]:
        platform = {"architecture": self.architecture, "os": self.system}
        return {**platform, "variant": self.variant} if self.variant else platform

    @property
    def diff_ids(self) -> list[str]:
        return [layer.diff_id for layer in self.layers]

    @property
    def config(self) -> bytes:
        if self.ready_config is not None:
            return self.ready_config
        rootfs = {"type": "layers", "diff_ids": self.diff_ids}
        return encoded({**self.platform, "rootfs": rootfs, **self.config_changes})

    @property
    def document(self) -> bytes:
        config = descriptor(self.config, self.config_type)
        layers = [layer.descriptor for layer in self.layers]
        return manifest(config, layers, **{"mediaType": self.media_type, **self.changes})

    @property
    def digest(self) -> str:
        return sha256(self.document)

    @property
    def blobs(self) -> list[bytes]:
        return [self.document, self.config, *(layer.blob for layer in self.layers)]

    @property
    def bare(self) -> Document:
        """Its descriptor without the platform."""
        return _described(self.document, self.media_type, self.annotations)

    @property
    def descriptor(self) -> Document:
        return {**self.bare, "platform": self.platform}

    def put(self, registry: OpenRegistry, name: str) -> None:
        """Put it into a registry under ``PATH:TAG``, or under ``PATH`` by its digest alone."""
        path, _, tag = name.partition(":")
        for blob in self.blobs[1:]:
            registry.put_blob(path, blob)
        registry.put_manifest(path, self.document, self.media_type, tag or None)


@dataclass(frozen=True)
class Index:
    """An index of images, indexes, and descriptors of other things."""

    entries: tuple[Image | Index | Document, ...]
    media_type: str = INDEX
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, images: Mapping[str, Iterable[Layer]]) -> Index:
        """An index of images by platform."""
        return cls(tuple(Image.of(*layers, platform=name) for name, layers in images.items()))

    @property
    def inner(self) -> list[Image | Index]:
        """The entries that are more than descriptors."""
        return [one for one in self.entries if not isinstance(one, dict)]

    @property
    def document(self) -> bytes:
        entries = [one if isinstance(one, dict) else one.descriptor for one in self.entries]
        return index(entries, mediaType=self.media_type)

    @property
    def digest(self) -> str:
        return sha256(self.document)

    @property
    def blobs(self) -> list[bytes]:
        return [self.document, *(blob for one in self.inner for blob in one.blobs)]

    @property
    def descriptor(self) -> Document:
        return _described(self.document, self.media_type, self.annotations)

    def put(self, registry: OpenRegistry, name: str) -> None:
        """Put it, and all in it, into a registry, as an image is."""
        path, _, tag = name.partition(":")
        for one in self.inner:
            one.put(registry, path)
        registry.put_manifest(path, self.document, self.media_type, tag or None)


def attestation(image: Image) -> Image:
    """What BuildKit puts beside an image: a statement about it, for a platform that is none."""
    return Image(
        "unknown",
        (Layer(encoded({"subject": image.digest}), "", STATEMENT),),
        system="unknown",
        annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        },
    )


def _described(content: bytes, media_type: str, annotations: Mapping[str, str]) -> Document:
    found = descriptor(content, media_type)
    return {**found, "annotations": dict(annotations)} if annotations else found
