"""The image in a folder, as skopeo's ``dir:`` writes it.

A manifest or index in ``manifest.json``, those that an index leads to in
``<hex>.manifest.json``, and every blob in a file that is called by its digest: ``<hex>`` of
sha256, ``sha512-<hex>`` of others.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from layerscan import digest as digests
from layerscan import oci
from layerscan.digest import Hashing
from layerscan.errors import SourceError
from layerscan.oci import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST, Descriptor, Index
from layerscan.oci.blobs import verified
from layerscan.sources.extents import FolderFiles
from layerscan.sources.images import find_images
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.text import printable

MANIFEST = "manifest.json"


class ImageFolder(Source):
    """The image in a folder, or those of an index; see `Source`."""

    def __init__(self, name: str, files: FolderFiles) -> None:
        self.name = name
        self._files = files

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        if not self._files.has(MANIFEST):
            hint = "; did you mean oci:?" if self._files.has("index.json") else ""
            what = f"is no folder of skopeo's: it has no {MANIFEST}"
            raise SourceError(f"{printable(self.name)}: {what}{hint}")
        with self._files.open(MANIFEST) as extent:
            raw = extent.read(oci.MAX_MANIFEST)
            document = oci.loads(raw, extent.where)
        media_type = OCI_INDEX if isinstance(document, Index) else OCI_MANIFEST
        images, self.notes = find_images(
            self,
            Descriptor(media_type, digests.sha256(raw), len(raw)),
            document,
            architectures,
            source=printable(self.name),
        )
        return images

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """A document, verified; see `layerscan.oci.blobs.Blobs`."""
        with self._files.open(self._path(descriptor)) as extent:
            return verified(extent.read(limit), descriptor, extent.where)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there."""
        return self._files.has(self._path(descriptor))

    @contextmanager
    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The blob of a layer; see `Source`."""
        with self._files.open(_file(layer.digest)) as extent:
            extent.check_length(layer.archive_size)
            yield extent.chunks(layer.digest, hashing)

    def _path(self, descriptor: Descriptor) -> str:
        if descriptor.media_type in INDEX_TYPES + MANIFEST_TYPES:
            return f"{_file(descriptor.digest)}.{MANIFEST}"
        return _file(descriptor.digest)


def _file(digest: str) -> str:
    assert digests.is_digest(digest)  # noqa: S101 - no other gets into a descriptor
    algorithm, _, encoded = digest.partition(":")
    return encoded if algorithm == "sha256" else f"{algorithm}-{encoded}"
