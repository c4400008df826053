"""From documents to images: what an index or a manifest of a source stands for.

Owns which entries of an index are images, and what makes an image one whose
layers can be read. Where the documents lie, each source knows.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from layerscan import layersmeta, oci
from layerscan.documents import Documents
from layerscan.errors import SourceError
from layerscan.jsondoc import printable, quoted
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.platforms import platform_text
from layerscan.sources.model import SourceImage, SourceLayer

_DEEPEST = 8
"""Indexes within each other that are followed."""

_APP = "compose-app"
"""The annotation of a Compose App's manifest."""

_WORKERS = 8
_SYSTEMS = ("", "linux")
_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)")
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\.(?P<oci_elsewhere>nondistributable\.)?v1\.tar"
    r"(\+gzip|\+zstd)?(?P<encrypted>\+encrypted)?"
    r"|application/vnd\.docker\.image\.rootfs\.(diff|(?P<elsewhere>foreign)\.diff)\.tar"
    r"(\.gzip|\.zstd)?(?P<docker_encrypted>\+encrypted)?"
    r"|"
)
"""The media types of layers; where there is none, the bytes will tell."""


class Blobs(Documents, Protocol):
    """Whoever holds documents and layers by digest."""

    def has(self, descriptor: Descriptor) -> bool:
        """Whether it is there."""


class Top(NamedTuple):
    """A manifest or index that a source has.

    Attributes:
        name: what to call it in messages.
        descriptor: of it.
        raw: its bytes, None if they are to be fetched.
    """

    name: str
    descriptor: Descriptor
    raw: bytes | None = None


class _Entry(NamedTuple):
    """A manifest that an image's is to be, and the lengths of the indexes above it."""

    name: str
    descriptor: Descriptor
    raw: bytes | None
    indexes: tuple[int, ...]


def find_images(
    blobs: Blobs,
    tops: Sequence[Top],
    architectures: Collection[str] | None,
    *,
    source: str,
) -> list[SourceImage]:
    """The images that `tops` stand for, each once, in the order of the indexes.

    Args:
        blobs: has the documents.
        tops: what to look at.
        architectures: only images of one of these; None for all.
        source: what to call it all in messages.

    Raises:
        LayerscanError: a document cannot be had or is malformed, something is no
            image or has layers that cannot be read, or there is no image that is
            wanted.
    """
    choice = Choice(architectures, source)
    found = _Finder(blobs, choice, source)
    for top in tops:
        found.add(top.name, top.descriptor, top.raw)
    with _pool() as pool:
        images = [image for image in pool.map(found.image, found.entries) if image is not None]
    if not images:
        raise choice.nothing()
    return images


def source_image(
    name: str,
    documents: tuple[int, ...],
    image_id: str,
    config: Config,
    layers: Sequence[Descriptor],
) -> SourceImage:
    """An image of its parts, held against each other.

    Raises:
        SourceError: they do not fit together, or cannot be unpacked.
    """
    platform = config.platform
    if not layersmeta.is_architecture(platform.architecture):
        raise SourceError(
            f"{name}: its config gives the architecture {quoted(platform.architecture)}, "
            "which is none"
        )
    if len(layers) != len(config.diff_ids):
        raise SourceError(
            f"{name}: its config has {len(config.diff_ids)} diff_ids for {len(layers)} layers"
        )
    paired = zip(layers, config.diff_ids, strict=True)
    return SourceImage(
        name,
        platform,
        image_id,
        documents,
        tuple(
            SourceLayer(layer.digest, diff_id, layer.size, layer.media_type, layer.annotations)
            for layer, diff_id in paired
        ),
    )


class Choice:
    """Which images are wanted; it remembers what there was beside them.

    Args:
        architectures: those of one of these; None for all.
        source: what to call it all in messages.
    """

    def __init__(self, architectures: Collection[str] | None, source: str) -> None:
        self._architectures = architectures
        self._source = source
        self._others: set[str] = set()
        self._no_images: list[str] = []

    def takes(self, platform: Platform, name: str) -> bool:
        """Whether the image `name`, for `platform`, is wanted."""
        if platform.os not in _SYSTEMS:
            text = platform_text(platform)
            self.pass_over(f"{name}: is for {text}, and only Linux is known here")
            return False
        if self._architectures is None or platform.architecture in self._architectures:
            return True
        self._others.add(platform_text(platform))
        return False

    def pass_over(self, what: str) -> None:
        """Remember something that is no image; signatures and the like stand beside some."""
        self._no_images.append(what)

    def nothing(self) -> SourceError:
        """The error that no image was found."""
        if self._no_images and not self._others:
            return SourceError(self._no_images[0])
        if self._architectures is None:
            return SourceError(f"{self._source}: has no image for Linux")
        wanted = " or ".join(sorted(map(printable, self._architectures)))
        there = ", ".join(sorted(self._others)) or "none"
        return SourceError(f"{self._source}: has no image for {wanted}; it has: {there}")


class _Finder:
    """Finds the manifests of images, and then what each of them says."""

    def __init__(self, blobs: Blobs, choice: Choice, source: str) -> None:
        self.entries: list[_Entry] = []
        self._blobs = blobs
        self._choice = choice
        self._source = source
        self._seen: set[str] = set()
        self._indexes = 0

    def add(
        self, name: str, descriptor: Descriptor, raw: bytes | None, above: tuple[int, ...] = ()
    ) -> None:
        """Take what is in a manifest or index, whose `raw` bytes may be at hand."""
        if descriptor.digest in self._seen:
            return
        self._seen.add(descriptor.digest)
        if descriptor.media_type in oci.MANIFEST_TYPES:
            if len(self.entries) == oci.MOST_IMAGES:
                raise SourceError(
                    f"{self._source}: has more than {oci.MOST_IMAGES} images; choose one"
                )
            self.entries.append(_Entry(name, descriptor, raw, above))
        elif descriptor.media_type in oci.INDEX_TYPES:
            self._add_index(name, descriptor, raw, above)
        elif _SCHEMA_1.fullmatch(descriptor.media_type):
            raise SourceError(
                f"{name}: is of Docker's schema 1, which does not tell its layers' diff_ids; "
                "push it again with a newer engine"
            )
        else:
            kind = quoted(descriptor.media_type)
            self._choice.pass_over(f"{name}: is of type {kind}, no image")

    def _add_index(
        self, name: str, descriptor: Descriptor, raw: bytes | None, above: tuple[int, ...]
    ) -> None:
        self._indexes += 1
        if len(above) == _DEEPEST or self._indexes > oci.MOST_IMAGES:
            raise SourceError(
                f"{name}: has more than {_DEEPEST} indexes within each other, "
                f"or more than {oci.MOST_IMAGES} in all"
            )
        if raw is None:
            raw = self._blobs.fetch(descriptor, limit=oci.MAX_MANIFEST)
        index = oci.loads(raw, name, media_type=descriptor.media_type)
        assert isinstance(index, Index)  # noqa: S101 - its type was looked at
        if index.layers:
            self._choice.pass_over(f"{name}: is a layers manifest of a Compose App, no image")
            return
        for entry in index.manifests:
            inner = _named(name, entry)
            # Where it does not say what it is for, its config will.
            told = entry.platform if entry.platform and entry.platform.architecture else None
            if entry.is_attestation or (told and not self._choice.takes(told, inner)):
                continue
            self.add(inner, entry, None, (len(raw), *above))

    def image(self, entry: _Entry) -> SourceImage | None:
        """The image that a manifest is of, None if another architecture is wanted."""
        name = entry.name
        raw = entry.raw
        if raw is None:
            raw = self._blobs.fetch(entry.descriptor, limit=oci.MAX_MANIFEST)
        manifest = oci.loads(raw, name, media_type=entry.descriptor.media_type)
        assert isinstance(manifest, Manifest)  # noqa: S101 - its type was looked at
        what = _what_else(manifest)
        if what is not None:
            self._choice.pass_over(f"{name}: {what}")
            return None
        content = self._blobs.fetch(manifest.config, limit=oci.MAX_CONFIG)
        config = oci.loads_config(content, f"{name}: config")
        if not self._choice.takes(config.platform, name):
            return None
        documents = (len(content), len(raw), *entry.indexes)
        image = source_image(name, documents, manifest.config.digest, config, manifest.layers)
        for layer in manifest.layers:
            self._check_layer(layer, name)
        return image

    def _check_layer(self, layer: Descriptor, name: str) -> None:
        """Refuse a layer that nobody could unpack from here."""
        kind = _LAYER.fullmatch(layer.media_type)
        where = f"{name}: layer {layer.digest}"
        if kind is None:
            raise SourceError(f"{where}: is of type {quoted(layer.media_type)}, no tar of files")
        if kind["encrypted"] or kind["docker_encrypted"]:
            raise SourceError(f"{where}: is encrypted, and cannot be read without its key")
        if (kind["oci_elsewhere"] or kind["elsewhere"]) and not self._blobs.has(layer):
            raise SourceError(
                f"{where}: is a foreign one, which is kept elsewhere and cannot be read from here"
            )


def _named(name: str, entry: Descriptor) -> str:
    """What to call an entry of the index `name`."""
    return f"{name}: {platform_text(entry.platform)}" if entry.platform else name


def _what_else(manifest: Manifest) -> str | None:
    """What a manifest is that is no image's, None if it is one."""
    if manifest.manifests or manifest.annotations.get(_APP):
        return "is a Compose App, no image; --apps-root takes the images of Apps"
    kind = manifest.config.media_type
    if kind not in oci.IMAGE_CONFIGS:
        return f"is no image: its config is of type {quoted(kind)}"
    return None


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """A pool that an interrupt does not wait for."""
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="image")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
