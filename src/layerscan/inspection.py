"""What a registry holds under a reference: an App's documents, an image's layers.

Owns which documents are looked at, and what of them is worth telling. Nothing
is downloaded but documents and an App's bundle; layers are known by their
descriptors. It prints nothing.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import oci
from layerscan.apps import published
from layerscan.apps.published import BundleFile, PublishedApp
from layerscan.errors import LayerscanError
from layerscan.jsondoc import printable
from layerscan.layersmeta import LayersMeta
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.platforms import fits, parse_platform, platform_text, spelt
from layerscan.reference import DEFAULT_TAG, Reference
from layerscan.registry import Fetched, RegistryClient, Repository

_WORKERS = 8
_ATTESTED = "vnd.docker.reference.digest"


class AppContent(NamedTuple):
    """What an App's documents say.

    Attributes:
        app: its manifest.
        files: what is in its bundle.
        images: of its services, pinned by digest.
        metadata: what its layers cost, by architecture; None if it has none.
    """

    app: PublishedApp
    files: tuple[BundleFile, ...]
    images: dict[str, Reference]
    metadata: dict[str, LayersMeta] | None

    @property
    def architectures(self) -> list[str]:
        """Those that its metadata or its layers manifests are about, sorted."""
        return sorted({*(self.metadata or ()), *self.app.layers_manifests})


class ImageContent(NamedTuple):
    """One image: what a single manifest says.

    Attributes:
        manifest: of the manifest itself.
        platform: what it runs on, as its config says, or what refers to it;
            None where neither does.
        image_id: digest of its config; None for a layers manifest, which has none.
        layers: bottom up.
    """

    manifest: Descriptor
    platform: Platform | None
    image_id: str | None
    layers: tuple[Descriptor, ...]

    @property
    def archive_size(self) -> int:
        """Bytes of its layers, each counted once."""
        return sum({layer.digest: layer.size for layer in self.layers}.values())


class Attestation(NamedTuple):
    """A manifest of an index that is no image, but says something about one.

    Attributes:
        manifest: of the manifest itself.
        about: digest of the image's manifest, None where it does not say.
    """

    manifest: Descriptor
    about: str | None


class Inspection(NamedTuple):
    """What is under a reference.

    Attributes:
        reference: what was asked for.
        fetched: the document there.
        kind: ``app``, ``image``, ``index`` or ``layers-manifest``.
        app: of an App, its content; else None.
        images: of an image, or each of an index; of an App none.
        attestations: those of an index.
        others: entries of an index that are neither.
    """

    reference: Reference
    fetched: Fetched
    kind: str
    app: AppContent | None = None
    images: tuple[ImageContent, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    others: tuple[Descriptor, ...] = ()


class Filter(NamedTuple):
    """Which of several images are meant.

    Attributes:
        architecture: only those of this one; None for all.
        platform: only those that fit this one; None for all.
    """

    architecture: str | None = None
    platform: Platform | None = None

    @classmethod
    def of(cls, architecture: str | None, platform: str | None) -> "Filter":
        """Read what a user gave.

        Raises:
            LayerscanError: `platform` is none.
        """
        return cls(architecture, None if platform is None else parse_platform(platform))

    @property
    def text(self) -> str:
        """What is asked for, for messages; empty if everything is."""
        parts = (
            [] if self.architecture is None else [f"architecture {printable(self.architecture)}"]
        )
        if self.platform is not None:
            parts.append(f"platform {spelt(self.platform)}")
        return " and ".join(parts)

    def takes(self, platform: Platform | None) -> bool:
        """Whether an image for `platform` is meant."""
        if self.architecture is None and self.platform is None:
            return True
        if platform is None:
            return False
        if self.architecture is not None and platform.architecture != self.architecture:
            return False
        return self.platform is None or fits(platform, self.platform)


def fetch(client: RegistryClient, reference: Reference) -> Fetched:
    """The document under `reference`, as it is.

    Raises:
        RegistryError: it cannot be had.
    """
    asked = reference.digest or reference.tag or DEFAULT_TAG
    return client.repository(reference).manifest(asked)


def inspect(
    client: RegistryClient, reference: Reference, wanted: Filter | None = None
) -> Inspection:
    """Look at what is under `reference`.

    Args:
        client: the registries.
        reference: of an App, an image or an index of images.
        wanted: which images of an index, or architectures of an App; default: all.

    Raises:
        LayerscanError: it cannot be had, is malformed, or nothing in it is wanted.
    """
    wanted = wanted or Filter()
    repository = client.repository(reference)
    fetched = fetch(client, reference)
    source = f"{repository.name}@{fetched.digest}"
    document = oci.loads(fetched.raw, source, media_type=fetched.media_type)
    itself = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
    if published.is_app(document):
        app = _app(repository, fetched, source, wanted)
        return Inspection(reference, fetched, "app", app=app)
    if isinstance(document, Manifest):
        image = _image(repository, itself, document)
        taken = [image] if wanted.takes(image.platform) else []
        _check_found(taken, [image.platform], wanted, source)
        return Inspection(reference, fetched, "image", images=(image,))
    if document.layers and not document.manifests:
        layers = ImageContent(itself, document.platform, None, document.layers)
        return Inspection(reference, fetched, "layers-manifest", images=(layers,))
    return _index(repository, reference, fetched, document, wanted)


# Apps.


def _app(repository: Repository, fetched: Fetched, source: str, wanted: Filter) -> AppContent:
    app = published.loads_app(fetched.raw, source)
    bundle = repository.fetch(_as_blob(app.bundle), limit=published.MAX_BUNDLE)
    name = f"{repository.name}@{app.bundle.digest}"
    metadata = published.load_metadata(app, repository)
    content = AppContent(
        app,
        tuple(published.bundle_files(bundle, name)),
        published.bundle_images(bundle, name),
        metadata,
    )
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


def _as_blob(descriptor: Descriptor) -> Descriptor:
    """A descriptor of a blob, whatever type it is given."""
    return descriptor._replace(media_type="application/octet-stream")


# Images.


def _index(
    repository: Repository, reference: Reference, fetched: Fetched, index: Index, wanted: Filter
) -> Inspection:
    source = f"{repository.name}@{fetched.digest}"
    entries, attestations, others = _sorted_entries(index)
    # An entry without a platform says more when it is read.
    candidates = [one for one in entries if one.platform is None or wanted.takes(one.platform)]
    if len(candidates) > oci.MOST_IMAGES:
        raise LayerscanError(
            f"{source}: has {len(candidates)} images; at most {oci.MOST_IMAGES} are looked at: "
            "choose some with --platform or --arch"
        )
    with _pool() as pool:
        found = list(pool.map(lambda entry: _entry(repository, entry), candidates))
    images = [image for image in found if wanted.takes(image.platform)]
    _check_found(images, [entry.platform for entry in entries], wanted, source)
    if wanted.text:
        taken = {image.manifest.digest for image in images}
        attestations = tuple(one for one in attestations if one.about in taken)
        others = ()
    return Inspection(reference, fetched, "index", None, tuple(images), attestations, others)


def _sorted_entries(
    index: Index,
) -> tuple[list[Descriptor], tuple[Attestation, ...], tuple[Descriptor, ...]]:
    """The entries of an index: images, attestations, and the rest."""
    images, attestations, others = [], [], []
    for entry in index.manifests:
        if entry.is_attestation:
            about = entry.annotations.get(_ATTESTED)
            attestations.append(Attestation(entry, about if digests.is_digest(about) else None))
        elif entry.media_type in oci.MANIFEST_TYPES:
            images.append(entry)
        else:
            others.append(entry)
    return images, tuple(attestations), tuple(others)


def _entry(repository: Repository, entry: Descriptor) -> ImageContent:
    source = f"{repository.name}@{entry.digest}"
    raw = repository.fetch(entry, limit=oci.MAX_MANIFEST)
    manifest = oci.loads(raw, source, media_type=entry.media_type)
    assert isinstance(manifest, Manifest)  # noqa: S101 - its type is that of one
    if entry.platform is not None:
        return ImageContent(entry, entry.platform, manifest.config.digest, manifest.layers)
    return _image(repository, entry, manifest)


def _image(repository: Repository, itself: Descriptor, manifest: Manifest) -> ImageContent:
    config = manifest.config
    platform = None
    # Other things than images are stored as manifests, too, with configs of their own.
    if config.media_type in oci.IMAGE_CONFIGS and config.size > 0:
        platform = _config(repository, config).platform
    return ImageContent(itself, platform, config.digest, manifest.layers)


def _config(repository: Repository, config: Descriptor) -> Config:
    raw = repository.fetch(config, limit=oci.MAX_CONFIG)
    return oci.loads_config(raw, f"{repository.name}@{config.digest}")


def _check_found(
    taken: Sequence[ImageContent],
    platforms: Sequence[Platform | None],
    wanted: Filter,
    source: str,
) -> None:
    """Refuse to find nothing where something was asked for."""
    if wanted.text and not taken:
        there = sorted({platform_text(platform) for platform in platforms})
        raise LayerscanError(
            f"{source}: has no {wanted.text}; it has: {', '.join(there) or 'no image'}"
        )


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """A pool that an interrupt does not wait for."""
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="inspect")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
