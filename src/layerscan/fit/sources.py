"""Finding an App that the user named: in a registry, in a store of blobs, in a dry run.

Owns what a name may be, and where the documents of the App's images then are.
"""

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from layerscan import oci
from layerscan import reference as references
from layerscan.apps.published import PublishedApp, loads_app
from layerscan.digest import is_digest
from layerscan.errors import DocumentError
from layerscan.fit.contents import AppContents, ImageDocuments, from_metadata
from layerscan.jsondoc import read_file
from layerscan.layersmeta import MAX_DOCUMENT
from layerscan.oci import Descriptor
from layerscan.oci.blobs import APP_MANIFEST_FILE, BlobFolder, Blobs, DryRunFolder
from layerscan.reference import Reference
from layerscan.registry import RegistryClient
from layerscan.sources.extents import FolderFiles
from layerscan.sources.images import find_images
from layerscan.sources.model import Source, SourceImage
from layerscan.sources.oci_layout import OciLayout
from layerscan.sources.registry import RegistrySource
from layerscan.text import printable

_LONGEST_APP_MANIFEST = 64 * 1024
"""Bytes of the longest blob that is looked at to find the Apps of a store."""


class FoundApp(NamedTuple):
    """An App, and who has the rest of it."""

    app: PublishedApp  # its manifest
    documents: Blobs  # who has what the manifest refers to
    images: ImageDocuments  # who has the documents of its images
    repository: str = ""  # ``host/repository`` of it, empty where that is not known


class RegistryImages:
    """Images in registries."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def root(self, reference: Reference) -> tuple[bytes, str | None]:
        """The manifest or index of an image, and its media type."""
        named = reference.digest or reference.tag or references.DEFAULT_TAG
        fetched = self._client.repository(reference).manifest(named)
        return fetched.raw, fetched.media_type

    def documents(self, reference: Reference) -> Blobs:
        """The repository of the image."""
        return self._client.repository(reference)

    def source(self, reference: Reference) -> Source:
        """The image in its registry."""
        return RegistrySource(reference.familiar, reference, lambda: self._client)


class StoredImages:
    """Images in a store of blobs."""

    def __init__(self, folder: BlobFolder) -> None:
        self._folder = folder

    def root(self, reference: Reference) -> tuple[bytes, str | None]:
        """The manifest or index of an image; its media type only it itself says."""
        return _whole(self._folder, reference.digest or ""), None

    def documents(self, reference: Reference) -> Blobs:  # noqa: ARG002 - a store knows no names
        """The store."""
        return self._folder

    def source(self, reference: Reference) -> Source:
        """The image in the store."""
        return _StoredImage(self._folder.root, reference)


class _StoredImage(OciLayout):
    """An image in a store of blobs, which has no index of its images."""

    def __init__(self, root: str, reference: Reference) -> None:
        super().__init__(reference.familiar, FolderFiles(root), None)
        self._folder = BlobFolder(root)
        self._digest = reference.digest or ""

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """The images that are under the digest."""
        raw = _whole(self._folder, self._digest)
        document = oci.loads(raw, self.name)
        top = Descriptor(document.media_type, self._digest, len(raw))
        images, self.notes = find_images(self, top, document, architectures, source=self.name)
        return images


def is_metadata(name: str) -> bool:
    """Whether `name`, of an App or of a file of metadata, means the latter, there or not."""
    return os.path.isfile(name) or name.endswith(".json")


def from_file(path: str) -> AppContents:
    """What a file of metadata alone says; DocumentError where it cannot be read."""
    return from_metadata(read_file(path, MAX_DOCUMENT), path)


def find_app(name: str, client: RegistryClient) -> FoundApp:
    """Find an App; LayerscanError where there is none of that name.

    The name is a reference; the folder of a dry run, whose images are in registries, too; or
    a folder with ``blobs/sha256``, followed by ``@`` and the digest of the App manifest if
    it has several Apps.
    """
    folder, at, digest = name.rpartition("@")
    if not (at and is_digest(digest) and os.path.isdir(folder)):
        folder, digest = name, ""
    if os.path.isdir(folder):
        if not digest and os.path.lexists(os.path.join(folder, APP_MANIFEST_FILE)):
            dry_run = DryRunFolder(folder)
            app = loads_app(dry_run.app_manifest(), os.path.join(folder, APP_MANIFEST_FILE))
            return FoundApp(app._replace(source=folder), dry_run, RegistryImages(client))
        return _stored(folder, digest)
    reference, images = references.parse(name), RegistryImages(client)
    app = loads_app(images.root(reference)[0], reference.familiar)
    return FoundApp(app, images.documents(reference), images, reference.repository)


def _stored(root: str, digest: str) -> FoundApp:
    folder = BlobFolder(root)
    if not os.path.isdir(os.path.join(root, "blobs", "sha256")):
        raise DocumentError(
            f"{printable(root)}: has neither {APP_MANIFEST_FILE}, as the folder of a dry run has, "
            "nor blobs/sha256, as a store of blobs has"
        )
    app = loads_app(_whole(folder, digest), f"{root}@{digest}") if digest else _only_app(folder)
    return FoundApp(app, folder, StoredImages(folder))


def _only_app(folder: BlobFolder) -> PublishedApp:
    found = []
    for digest in sorted(folder.digests()):
        if 0 < folder.partial(digest) <= _LONGEST_APP_MANIFEST:
            try:
                found.append(loads_app(_whole(folder, digest), f"{folder.root}@{digest}"))
            except DocumentError:
                # Any other small blob, as most are.
                continue
    if len(found) == 1:
        return found[0]
    name = printable(folder.root)
    if not found:
        raise DocumentError(f"{name}: has no App manifest among its blobs")
    several = ", ".join(app.digest for app in found)
    raise DocumentError(f"{name}: has several Apps; add @ and the digest of one: {several}")


def _whole(folder: BlobFolder, digest: str) -> bytes:
    """A document of which only the digest is known."""
    size = folder.partial(digest)
    return folder.fetch(Descriptor("", digest, size), limit=oci.MAX_MANIFEST)
