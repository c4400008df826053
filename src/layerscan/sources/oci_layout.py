"""Images in an OCI image layout: a folder, or a tar archive of one.

Owns what ``index.json`` and the blobs of a layout stand for (OCI image
specification, "Image Layout"), and which images a name means, which is as for
skopeo's ``oci:`` and ``oci-archive:``.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from layerscan import digest as digests
from layerscan import oci
from layerscan.digest import Hashing
from layerscan.documents import verified
from layerscan.errors import SourceError
from layerscan.jsondoc import printable, quoted
from layerscan.oci import Descriptor, Index
from layerscan.sources.extents import Files
from layerscan.sources.images import Top, find_images
from layerscan.sources.model import Local, SourceImage, SourceLayer
from layerscan.sources.names import place, shortened

NAME = "org.opencontainers.image.ref.name"
"""The annotation in ``index.json`` that has an image's name."""

INDEX = "index.json"

_MOST_SHOWN = 20


class OciLayout(Local):
    """Images in a layout; see `Source`.

    Args:
        name: what the user called it.
        files: the layout's.
        wanted: the name or place (``@0``) of the image meant, None for all.
    """

    def __init__(self, name: str, files: Files, wanted: str | None) -> None:
        self.name = name
        self.notes: Sequence[str] = ()
        self._files = files
        self._wanted = wanted

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        if not self._files.has(INDEX):
            hint = "; did you mean docker-archive:?" if self._files.has("manifest.json") else ""
            raise SourceError(f"{printable(self.name)}: is no OCI layout: it has no {INDEX}{hint}")
        with self._files.open(INDEX) as extent:
            index = oci.loads(extent.read(oci.MAX_MANIFEST), extent.where)
            where = printable(extent.where)
        if not isinstance(index, Index):
            raise SourceError(f"{where}: is no index of images")
        tops = [Top(self._label(entry), entry) for entry in self._chosen(index, where)]
        return find_images(self, tops, architectures, source=printable(self.name))

    def _label(self, entry: Descriptor) -> str:
        name = entry.annotations.get(NAME)
        if self._wanted is not None or name is None:
            return printable(self.name)
        return f"{printable(self.name)}:{shortened(name)}"

    def _chosen(self, index: Index, where: str) -> Sequence[Descriptor]:
        """The entries that are meant."""
        wanted = self._wanted
        if wanted is None:
            return [entry for entry in index.manifests if not entry.is_attestation]
        number = place(wanted, len(index.manifests), where)
        if number is not None:
            return [index.manifests[number]]
        named = [entry for entry in index.manifests if NAME in entry.annotations]
        found = [entry for entry in named if entry.annotations[NAME] == wanted]
        if len(found) == 1:
            return found
        if found:
            raise SourceError(
                f"{where}: has {len(found)} images {quoted(wanted)}; @N takes the one at place N"
            )
        there = sorted({quoted(entry.annotations[NAME]) for entry in named})[:_MOST_SHOWN]
        raise SourceError(
            f"{where}: has no image {quoted(wanted)}; its names: {', '.join(there) or 'none'}"
        )

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """A document, verified; see `layerscan.documents.Documents`."""
        with self._files.open(_path(descriptor.digest)) as extent:
            return verified(extent.read(limit), descriptor, extent.where)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there."""
        return self._files.has(_path(descriptor.digest))

    @contextmanager
    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The blob of a layer; see `Source`."""
        with self._files.open(_path(layer.digest)) as extent:
            extent.check_length(layer.archive_size)
            yield extent.chunks(layer.digest, hashing)

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._files.close()


def _path(digest: str) -> str:
    """Where a layout has a blob."""
    assert digests.is_digest(digest)  # noqa: S101 - no other gets into a descriptor
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
