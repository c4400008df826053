"""What a registry holds under a reference: an App's documents, an image's layers.

Owns which documents are looked at, and what of them is worth telling. Nothing
is downloaded but documents and an App's bundle; layers are known by their
descriptors. It prints nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import oci
from layerscan.apps import published
from layerscan.apps.published import BundleFile, PublishedApp
from layerscan.errors import DocumentError, LayerscanError
from layerscan.layersmeta import LayersMeta
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.oci.image_manifests import what_else
from layerscan.oci.images import IndexedImage, Listing, TooManyError, Why, list_images
from layerscan.oci.matchers import Matcher
from layerscan.oci.platforms import fits, parse_platform, spelt
from layerscan.oci.readers import BlobReader
from layerscan.reference import DEFAULT_TAG, Reference
from layerscan.registry import Fetched, RegistryClient, Repository
from layerscan.text import printable

_WORKERS = 8
_OTHERS = (Why.NO_IMAGE, Why.ABSENT)
_ATTESTED = "vnd.docker.reference.digest"


class AppContent(NamedTuple):
    """What an App's documents say: manifest, bundle, images, and metadata by architecture."""

    app: PublishedApp
    files: tuple[BundleFile, ...]
    images: dict[str, Reference]
    metadata: dict[str, LayersMeta] | None

    @property
    def architectures(self) -> list[str]:
        """Those that its metadata or its layers manifests are about, sorted."""
        return sorted({*(self.metadata or ()), *self.app.layers_manifests})


class ImageContent(NamedTuple):
    """One image: what a single manifest says."""

    manifest: Descriptor
    # what it runs on, as its config says, or what refers to it; None where neither does
    platform: Platform | None
    image_id: str | None  # digest of its config; None for a layers manifest, which has none
    layers: tuple[Descriptor, ...]  # bottom up

    @property
    def archive_size(self) -> int:
        """Bytes of its layers, each counted once."""
        return sum({layer.digest: layer.size for layer in self.layers}.values())


class Attestation(NamedTuple):
    """A manifest of an index that is about an image: `about` is its digest, None if not said."""

    manifest: Descriptor
    about: str | None


class Inspection(NamedTuple):
    """What is under a reference.

    Attributes:
        kind: ``app``, ``image``, ``index`` or ``layers-manifest``.
        app: of an App, its content; else None.
        images: of an image, or each of an index; of an App none.
        others: what an index refers to that is no image and no attestation, or not there.
    """

    reference: Reference
    fetched: Fetched
    kind: str
    app: AppContent | None = None
    images: tuple[ImageContent, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    others: tuple[Descriptor, ...] = ()


class Filter(Matcher):
    """Which of several images are meant, as a user says it; None is all."""

    def __init__(self, architecture: str | None = None, platform: str | None = None) -> None:
        self.architecture = architecture
        self.platform = None if platform is None else parse_platform(platform)

    @property
    def text(self) -> str:
        """What is asked for, for messages; empty if everything is."""
        parts = []
        if self.architecture is not None:
            parts.append(f"architecture {printable(self.architecture)}")
        if self.platform is not None:
            parts.append(f"platform {spelt(self.platform)}")
        return " and ".join(parts)

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` is meant."""
        if self.architecture is not None and platform.architecture != self.architecture:
            return False
        return self.platform is None or fits(platform, self.platform)


def fetch(client: RegistryClient, reference: Reference) -> Fetched:
    """The document under `reference`, as it is."""
    asked = reference.digest or reference.tag or DEFAULT_TAG
    return client.repository(reference).manifest(asked)


def inspect(client: RegistryClient, reference: Reference, wanted: Filter) -> Inspection:
    """Look at an App, an image or an index of images, of which those `wanted` are told."""
    repository = client.repository(reference)
    fetched = fetch(client, reference)
    source = f"{repository.name}@{fetched.digest}"
    document = oci.loads(fetched.raw, source, media_type=fetched.media_type)
    itself = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
    if published.is_app(document):
        app = _app(repository, fetched, source, wanted)
        return Inspection(reference, fetched, "app", app=app)
    if isinstance(document, Index) and document.layers and not document.manifests:
        layers = ImageContent(itself, document.platform, None, document.layers)
        return Inspection(reference, fetched, "layers-manifest", images=(layers,))
    found = Inspection(reference, fetched, "image")
    if isinstance(document, Manifest) and what_else(document) is not None:
        # Other things than images are stored as manifests, too.
        _check_found(0, [], wanted, source)
        image = ImageContent(itself, None, document.config.digest, document.layers)
        return found._replace(images=(image,))
    reader = _Configs(repository, source)
    try:
        listing = list_images(itself, reader, wanted, document=document, workers=_WORKERS)
    except TooManyError as error:
        raise LayerscanError(f"{source}: {error.what} with --platform or --arch") from None
    _check_found(len(listing.images), listing.platforms, wanted, source)
    found = found._replace(images=tuple(map(_content, listing.images)))
    return found if isinstance(document, Manifest) else _index(found, listing, wanted)


def _app(repository: Repository, fetched: Fetched, source: str, wanted: Filter) -> AppContent:
    app = published.loads_app(fetched.raw, source)
    # A blob, whatever type the manifest gives it.
    blob = app.bundle._replace(media_type="application/octet-stream")
    bundle = repository.fetch(blob, limit=published.MAX_BUNDLE)
    name = f"{repository.name}@{app.bundle.digest}"
    metadata = published.load_metadata(app, repository)
    files = tuple(published.bundle_files(bundle, name))
    content = AppContent(app, files, published.bundle_images(bundle, name), metadata)
    if not wanted.text:
        return content
    taken = [name for name in content.architectures if wanted.takes(Platform(name, "linux"))]
    if not taken:
        there = ", ".join(content.architectures) or "none"
        raise LayerscanError(f"{source}: has no {wanted.text}; its architectures: {there}")
    manifests = {name: one for name, one in app.layers_manifests.items() if name in taken}
    return content._replace(
        app=app._replace(layers_manifests=manifests),
        metadata=None if metadata is None else {n: m for n, m in metadata.items() if n in taken},
    )


def _index(found: Inspection, listing: Listing, wanted: Filter) -> Inspection:
    """With what else the index refers to."""
    attestations = tuple(
        Attestation(one.descriptor, about if digests.is_digest(about) else None)
        for one in listing.passed_over
        if one.why is Why.ATTESTATION
        for about in [one.descriptor.annotations.get(_ATTESTED)]
    )
    others = tuple(one.descriptor for one in listing.passed_over if one.why in _OTHERS)
    if wanted.text:
        taken = {image.manifest.digest for image in found.images}
        attestations = tuple(one for one in attestations if one.about in taken)
        others = ()
    return found._replace(kind="index", attestations=attestations, others=others)


class _Configs(BlobReader):
    """Reads what is no image's config as one that says nothing."""

    def config(self, descriptor: Descriptor) -> Config:
        try:
            return super().config(descriptor)
        except DocumentError:
            # Other things are stored as manifests, too, and are shown as they are.
            return Config(Platform(""), ())


def _content(image: IndexedImage) -> ImageContent:
    known = image.platform if image.platform.architecture else None
    return ImageContent(
        image.descriptor, known, image.manifest.config.digest, image.manifest.layers
    )


def _check_found(taken: int, there: Sequence[str], wanted: Filter, source: str) -> None:
    """Refuse to find nothing where something was asked for."""
    if wanted.text and not taken:
        has = ", ".join(there) or "no image"
        raise LayerscanError(f"{source}: has no {wanted.text}; it has: {has}")
