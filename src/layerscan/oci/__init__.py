"""The documents of images: manifests, indexes and configs, read strictly from raw bytes.

Owns their types and media types. The fields are those of the OCI image specification
("Image Manifest", "Image Index", "Content Descriptors"), and of Docker's schema 2, which
has the same ones. Digests are of the bytes as received, never of JSON that was written
again.

In this room, ``platforms`` has what images run on, ``blobs`` where documents lie, and
``images`` which images an index stands for. For that, ``readers`` fetch documents,
``matchers`` say what is wanted, and ``image_manifests`` tells images from what else is
stored as a manifest.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.jsondoc import Place
from layerscan.oci.history import layer_steps
from layerscan.text import printable, quoted

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
"""The type of the config of what is stored as a manifest and has none."""

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes of the longest manifest or index that is read: what registries take."""

MAX_CONFIG = 8 * 1024 * 1024  # bytes of the longest image config that is read
MOST_IMAGES = 200  # images of one index that are looked at
_MOST_ENTRIES = 10_000  # descriptors in one list; an image has at most some hundred layers
_ATTESTATION = "unknown"  # what BuildKit gives as the platform of a manifest that is no image

_REFERENCE_TYPE = "vnd.docker.reference.type"
"""The annotation by which BuildKit says what else a manifest is."""


class Platform(NamedTuple):
    """What an image runs on; a part is empty where it is not given."""

    architecture: str  # GOARCH: ``amd64``, ``arm``, …
    os: str = ""  # GOOS
    variant: str = ""  # ``v7``


class Descriptor(NamedTuple):
    """A reference to a document or blob by its content."""

    media_type: str
    digest: str
    size: int  # bytes
    platform: Platform | None = None
    annotations: Mapping[str, str] = {}
    artifact_type: str = ""  # what it refers to if that is no image; else empty

    @property
    def is_attestation(self) -> bool:
        """Whether it says of itself that it is an attestation, as BuildKit makes them."""
        platform = self.platform
        if platform is not None and platform[:2] == (_ATTESTATION, _ATTESTATION):
            return True
        return self.annotations.get(_REFERENCE_TYPE) == "attestation-manifest"


class Manifest(NamedTuple):
    """An image manifest, or an App manifest, which is one with `manifests`."""

    media_type: str  # as it says itself or its descriptor did
    config: Descriptor
    layers: tuple[Descriptor, ...]  # bottom up
    manifests: tuple[Descriptor, ...] = ()  # of an App manifest, the layers manifests
    annotations: Mapping[str, str] = {}
    artifact_type: str = ""  # what it is if it is not an image's; else empty
    says_type: bool = True  # whether it says its media type itself


class Index(NamedTuple):
    """An image index, or a layers manifest, which is one with `layers` alone."""

    media_type: str  # as it says itself or its descriptor did
    manifests: tuple[Descriptor, ...]
    layers: tuple[Descriptor, ...] = ()  # of a layers manifest
    platform: Platform | None = None  # of a layers manifest
    annotations: Mapping[str, str] = {}
    says_type: bool = True  # whether it says its media type itself


class Config(NamedTuple):
    """An image config, so far as it concerns layers."""

    platform: Platform
    diff_ids: tuple[str, ...]  # bottom up
    created: str = ""  # when, as it says itself; no reader depends on it
    steps: tuple[str, ...] = ()  # of a build, that made the layers; see layerscan.oci.history


def loads(raw: bytes, source: str, *, media_type: str | None = None) -> Manifest | Index:
    """Read a manifest or an index, called `source` in messages.

    `media_type` is what its descriptor or the registry says it is; what it says itself must
    be the same. Raises DocumentError where it is malformed, or of a type that is neither.
    """
    place = Place(source)
    if len(raw) > MAX_MANIFEST:
        raise DocumentError(f"{printable(source)}: is longer than {MAX_MANIFEST} bytes")
    document = jsondoc.mapping(jsondoc.decode(raw, source, as_go=True), place)
    found = _media_type(document, place, media_type)
    if found not in INDEX_TYPES + MANIFEST_TYPES:
        raise place.fault(
            f"is of type {quoted(found)}; only image manifests and indexes can be read"
        )
    # Docker's schema 1 has other fields under the same types' predecessors.
    if jsondoc.integer(document, "schemaVersion", place) != 2:  # noqa: PLR2004 - its only value
        raise place.key("schemaVersion").fault("must be 2")
    is_index = found in INDEX_TYPES
    # An image without layers may have none there: Go writes an empty list as null.
    layers = _descriptors(document, "layers", place, required=False)
    # An index with layers is a layers manifest and refers to no manifest.
    required = is_index and "layers" not in document
    manifests = _descriptors(document, "manifests", place, required=required)
    annotations = _annotations(document, place)
    says_type = "mediaType" in document
    if is_index:
        return Index(found, manifests, layers, _platform(document, place), annotations, says_type)
    config = _descriptor(jsondoc.member(document, "config", place), place.key("config"))
    artifact_type = jsondoc.text(document, "artifactType", place, "")
    return Manifest(found, config, layers, manifests, annotations, artifact_type, says_type)


def loads_config(raw: bytes, source: str) -> Config:
    """Read an image config; DocumentError where it is malformed."""
    place = Place(source)
    document = jsondoc.mapping(jsondoc.decode(raw, source, as_go=True), place)
    at = place.key("rootfs")
    rootfs = jsondoc.mapping(jsondoc.member(document, "rootfs", place), at)
    # An image without layers may have none there.
    no, fits = digests.NO_DIGEST, digests.is_digest
    diff_ids = jsondoc.strings(rootfs, "diff_ids", at, longest=_MOST_ENTRIES, what=no, fits=fits)
    platform = Platform(*(jsondoc.text(document, key, place, "") for key in Platform._fields))
    created = document.get("created")
    steps = layer_steps(document, len(diff_ids))
    return Config(platform, diff_ids, created if isinstance(created, str) else "", steps)


def _media_type(document: dict[str, object], place: Place, given: str | None) -> str:
    """The type of a document; what it is given as and what it says must agree."""
    if "mediaType" not in document:
        if given is not None:
            return given
        # OCI documents need not say it: only an index has manifests and no config.
        return OCI_MANIFEST if "config" in document else OCI_INDEX
    own = jsondoc.text(document, "mediaType", place)
    if given is not None and own != given:
        raise place.key("mediaType").fault(f"is {quoted(own)}, but it was given as {quoted(given)}")
    return own


def _descriptors(
    document: dict[str, object], key: str, place: Place, *, required: bool
) -> tuple[Descriptor, ...]:
    value = jsondoc.member(document, key, place) if required else document.get(key)
    if value is None and not required:
        return ()
    at = place.key(key)
    entries = jsondoc.array(value, at, longest=_MOST_ENTRIES)
    return tuple(
        _plain_descriptor(entry) or _descriptor(entry, at.key(index))
        for index, entry in enumerate(entries)
    )


def _plain_descriptor(value: object) -> Descriptor | None:
    """The descriptor `value`; None if it is not one, or has more than the required fields.

    A large store has fifty thousand: this takes half the time of `_descriptor`,
    which can tell what is wrong and where.
    """
    if not isinstance(value, dict) or len(value) != 3:  # noqa: PLR2004 - those that follow
        return None
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if type(size) is not int or not 0 <= size <= jsondoc.MAX_INTEGER:
        return None
    if isinstance(media_type, str) and digests.is_digest(digest):
        return Descriptor(media_type, digest, size)
    return None


def _descriptor(value: object, place: Place) -> Descriptor:
    document = jsondoc.mapping(value, place)
    return Descriptor(
        jsondoc.text(document, "mediaType", place, ""),
        jsondoc.digest(document, "digest", place),
        jsondoc.integer(document, "size", place),
        _platform(document, place),
        _annotations(document, place),
        jsondoc.text(document, "artifactType", place, ""),
    )


def _platform(document: dict[str, object], place: Place) -> Platform | None:
    if "platform" not in document:
        return None
    at = place.key("platform")
    platform = jsondoc.mapping(document["platform"], at)
    return Platform(*(jsondoc.text(platform, key, at, "") for key in Platform._fields))


def _annotations(document: dict[str, object], place: Place) -> dict[str, str]:
    if "annotations" not in document:
        return {}
    at = place.key("annotations")
    annotations = jsondoc.mapping(document["annotations"], at)
    return {key: jsondoc.text(annotations, key, at) for key in annotations}
