"""What an App consists of: its documents, its images' documents, their layers.

Reads no more than a policy needs, see `Depth`. Where documents come from is
``sources``' matter; what they mean, ``apps.published`` and ``oci`` know.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from layerscan import jsondoc, oci
from layerscan.apps import published
from layerscan.apps.compose import is_volume
from layerscan.apps.published import PublishedApp
from layerscan.digest import chain_ids, is_digest
from layerscan.errors import DocumentError, NotInRegistryError
from layerscan.fit import skopeo_metadata
from layerscan.fit.figures import Figures, Metadata, archive_sizes
from layerscan.layersmeta import MAX_DOCUMENT
from layerscan.oci import Descriptor, Platform, platforms
from layerscan.oci.blobs import Blobs
from layerscan.oci.images import IndexedImage, TooManyError, list_images
from layerscan.oci.matchers import LINUX, ForLinux, Matcher, UnusableIndexError
from layerscan.oci.readers import BlobReader
from layerscan.reference import Reference
from layerscan.sources.model import Source

_LONGEST_SIZE = len(str(jsondoc.MAX_INTEGER))


class Depth(IntEnum):
    """How much of an App a policy needs; each needs all before it, too."""

    APP = 0  # the App's own documents
    IMAGES = 1  # the manifests of its images
    CONFIGS = 2  # their configs


class BlobKind(StrEnum):
    """What a blob is."""

    APP_MANIFEST = "app manifest"
    BUNDLE = "app bundle"
    BUNDLE_INDEX = "app bundle index"
    METADATA = "layers metadata"
    IMAGE_INDEX = "image index"
    IMAGE_MANIFEST = "image manifest"
    CONFIG = "image config"
    LAYER = "layer"


class Blob(NamedTuple):
    """A blob of an App."""

    digest: str  # of its bytes
    size: int  # how many there are
    kind: BlobKind  # what it is
    media_type: str = ""  # as its descriptor says; empty where there is none
    reference: str = ""  # ``host/repository@digest``, empty where nothing says its repository


class ImageContents(NamedTuple):
    """An image of an App for one architecture."""

    name: str  # what to call it in messages
    documents: tuple[Blob, ...]  # the indexes that lead to it, if there are any, and its manifest
    config: Blob
    layers: tuple[Blob, ...]  # bottom up; one that is there twice, twice
    chain_ids: tuple[str, ...]  # of the layers; empty where configs are not read


class AppContents(NamedTuple):
    """An App, or metadata alone, for one architecture."""

    name: str  # what to call it in messages
    own: tuple[Blob, ...]  # its own documents; empty where only metadata is known
    bundle: Blob | None  # of these, the bundle; None where only metadata is known
    metadata: Metadata | None  # None if it has none, or none that can be had
    metadata_fault: str | None = None  # why that is so
    # That of the architecture, None if there is none, or metadata is enough.
    layers_manifest: bytes | None = None
    # None where they are not asked for, or only metadata is known.
    images: tuple[ImageContents, ...] | None = None
    bare_indexes: tuple[Blob, ...] = ()  # the indexes of which the client takes no image
    notes: tuple[str, ...] = ()  # what is to be told about it

    def figures(self, architecture: str) -> Figures:
        """What its metadata says of `architecture`; DocumentError where it is of no use."""
        return self.required_metadata().figures(architecture)

    def required_metadata(self) -> Metadata:
        """Its metadata, which nobody has read yet; DocumentError where it has none."""
        if self.metadata is None:
            raise DocumentError(self.metadata_fault or f"{self.name}: has no layers metadata")
        return self.metadata

    def is_described(self, architecture: str) -> bool:
        """Whether its metadata tells all that any client wants to know."""
        try:
            archive_sizes(self.figures(architecture).layers, self.name)
        except DocumentError:
            return False
        return True

    def tree(self) -> Iterator[Blob]:
        """All blobs of the App, as composectl comes to them; one may come several times."""
        yield from self.own
        yield from self.bare_indexes
        for image in self.images or ():
            yield from (*image.documents, image.config, *image.layers)

    def blobs(self) -> dict[str, Blob]:
        """All blobs of the App, each digest once: as it comes last."""
        return {blob.digest: blob for blob in self.tree()}


class ImageDocuments(Protocol):
    """Whoever has images."""

    def root(self, reference: Reference) -> tuple[bytes, str | None]:
        """The manifest or index of an image, and its media type if that is known."""

    def documents(self, reference: Reference) -> Blobs:
        """Whoever has the other documents of the image."""

    def source(self, reference: Reference) -> Source:
        """The image with its layers."""


def from_metadata(raw: bytes, source: str) -> AppContents:
    """What metadata alone says, of which nobody has looked at anything yet."""
    return AppContents(source, (), None, Metadata(raw, source))


def read_app(
    app: PublishedApp,
    documents: Blobs,
    images: ImageDocuments,
    repository: str = "",
    *,
    architecture: str,
    depth: Depth,
    matcher: Matcher | None = None,
) -> AppContents:
    """Read so much of an App for `architecture` as `depth` says.

    `documents` has what its manifest refers to, and `images` the documents of its images;
    `repository` is the App's own ``host/repository``, empty where that is not known.
    `matcher` says which images of an index the client takes, None being all for Linux.

    Raises LayerscanError where something that is needed is missing or malformed. Metadata
    is not needed: without it, there are other rules.
    """
    metadata, fault = _metadata(app, documents)
    own = _own(app, repository)
    contents = AppContents(app.source, own, own[-1], metadata, fault)
    if depth is Depth.APP:
        listed = app.layers_manifests.get(architecture)
        if listed is None or skopeo_metadata.is_enough(metadata, architecture):
            return contents
        return contents._replace(layers_manifest=documents.fetch(listed, limit=oci.MAX_MANIFEST))
    bundle = documents.fetch(app.bundle, limit=published.MAX_BUNDLE)
    names = published.bundle_images(bundle, f"{app.source}: bundle")
    passed = [] if depth >= Depth.CONFIGS else [name for name in names if is_volume(name)]
    unseen = [f"{app.source}: {name} is not counted, as the client does" for name in passed]
    names = {name: image for name, image in names.items() if name not in passed}
    # Of an image that several services have, the last service's place counts.
    references = list(dict.fromkeys(reversed(names.values())))[::-1]
    matching = matcher or ForLinux({architecture})
    read = [_image(one, images, matching, architecture, depth) for one in references]
    return contents._replace(
        images=tuple(image for found, _, _ in read for image in found),
        bare_indexes=tuple(index for _, bare, _ in read for index in bare),
        notes=(*unseen, *(note for _, _, notes in read for note in notes)),
    )


def _own(app: PublishedApp, repository: str) -> tuple[Blob, ...]:
    """The App's own blobs, the bundle last."""
    own = [Blob(app.digest, len(app.raw), BlobKind.APP_MANIFEST)]
    if app.metadata is not None:
        own.append(Blob(app.metadata.digest, app.metadata.size, BlobKind.METADATA))
    own += _bundle_index(app.bundle)
    own.append(Blob(app.bundle.digest, app.bundle.size, BlobKind.BUNDLE))
    return tuple(_referenced(blob, repository) for blob in own)


def _referenced(blob: Blob, repository: str) -> Blob:
    return blob._replace(reference=f"{repository}@{blob.digest}") if repository else blob


def _metadata(app: PublishedApp, documents: Blobs) -> tuple[Metadata | None, str | None]:
    if app.metadata is None:
        return None, f"{app.source}: the App has no layers metadata"
    source = f"{app.source}: layers metadata"
    try:
        return Metadata(documents.fetch(app.metadata, limit=MAX_DOCUMENT), source), None
    except (DocumentError, NotInRegistryError) as error:
        return None, str(error)


def _bundle_index(bundle: Descriptor) -> Sequence[Blob]:
    """The list of the bundle's files that composectl keeps, if the App has it."""
    digest = bundle.annotations.get(published.INDEX_DIGEST, "")
    size = bundle.annotations.get(published.INDEX_SIZE, "")
    is_number = size.isascii() and size.isdigit() and len(size) <= _LONGEST_SIZE
    if not (is_digest(digest) and is_number and int(size) <= jsondoc.MAX_INTEGER):
        return ()
    return (Blob(digest, int(size), BlobKind.BUNDLE_INDEX),)


def _image(
    reference: Reference, images: ImageDocuments, matcher: Matcher, architecture: str, depth: Depth
) -> tuple[Sequence[ImageContents], Sequence[Blob], list[str]]:
    """What a client takes of a service's image, bare indexes, and notes; see `AppContents`."""
    name = reference.familiar
    raw, media_type = images.root(reference)
    root = oci.loads(raw, name, media_type=media_type)
    top = Descriptor(root.media_type, reference.digest or "", len(raw))
    reader = BlobReader(images.documents(reference), name)
    # No config is read for those who do not look at it.
    configs = True if depth >= Depth.CONFIGS else None
    try:
        listing = list_images(top, reader, matcher, document=root, configs=configs)
        takes_all = matcher.takes_top(root)
    except TooManyError as error:
        raise DocumentError(f"{name}: {error.what}") from None
    except UnusableIndexError as error:
        raise DocumentError(f"{name}: {error}") from None
    number = len(listing.images)
    if takes_all and not number:
        note = f"{name}: has no image for {architecture}: the client counts the index alone"
        return [], [_blob(top, BlobKind.IMAGE_INDEX, reference)], [note]
    if takes_all:
        several = f"{name}: has {number} images for {architecture}: the client counts all of them"
        found = [_contents(image, reference) for image in listing.images]
        return found, [], [several] if number > 1 else []
    if not number:
        raise DocumentError(f"{name}: has no image for {architecture}; it has: {listing.has}")
    asked = Platform(architecture, LINUX)
    chosen = platforms.preferred(listing.images, asked, lambda one: one.platform)
    notes = listing.notes(name)
    if number > 1:
        variant = chosen.platform.variant or "none"
        notes.append(f"{name}: has several images for {architecture}; took variant {variant}")
    return [_contents(chosen, reference)], [], notes


def _blob(descriptor: Descriptor, kind: BlobKind, reference: Reference) -> Blob:
    blob = Blob(descriptor.digest, descriptor.size, kind, descriptor.media_type)
    return _referenced(blob, reference.repository)


def _contents(image: IndexedImage, reference: Reference) -> ImageContents:
    indexes = (_blob(one, BlobKind.IMAGE_INDEX, reference) for one in image.indexes)
    return ImageContents(
        reference.familiar,
        (*indexes, _blob(image.descriptor, BlobKind.IMAGE_MANIFEST, reference)),
        _blob(image.manifest.config, BlobKind.CONFIG, reference),
        tuple(_blob(layer, BlobKind.LAYER, reference) for layer in image.manifest.layers),
        _chain_ids(image, reference.familiar),
    )


def _chain_ids(image: IndexedImage, name: str) -> tuple[str, ...]:
    """The chain_ids of its layers, none where its config was not read."""
    if image.config is None:
        return ()
    diff_ids = image.config.diff_ids
    if len(diff_ids) != len(image.manifest.layers):
        raise DocumentError(
            f"{name}: its config has {len(diff_ids)} layers, its manifest "
            f"{len(image.manifest.layers)}"
        )
    return tuple(chain_ids(diff_ids))
