"""Images in an OCI image layout: a folder, or a tar archive of one.

Owns what ``index.json`` and the blobs stand for (OCI image specification, "Image Layout"),
and which images a name means, which is as for skopeo's ``oci:`` and ``oci-archive:``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layerscan import digest as digests
from layerscan import oci, reference
from layerscan.digest import Hashing
from layerscan.errors import ReferenceSyntaxError, SourceError
from layerscan.oci import Descriptor, Index
from layerscan.oci.blobs import verified
from layerscan.oci.images import IndexedImage
from layerscan.sources.images import find_images
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.sources.names import MOST_SHOWN, place, unknown
from layerscan.text import printable, quoted

if TYPE_CHECKING:
    from layerscan.sources.archive import Archive
    from layerscan.sources.extents import FolderFiles

NAME = "org.opencontainers.image.ref.name"
"""The annotation in ``index.json`` that has an image's name, or a part of it."""

FULL_NAME = "io.containerd.image.name"
"""The annotation in which containerd, and Docker with it, has all of the name."""

INDEX = "index.json"


class OciLayout(Source):
    """Images in a layout; see `Source`.

    `wanted` is the name or place (``@0``) of the image meant, None for all.
    """

    def __init__(self, name: str, files: "FolderFiles | Archive", wanted: str | None) -> None:
        self.name = name
        self._files = files
        self._wanted = wanted

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        if not self._files.has(INDEX):
            hint = "; did you mean docker-archive:?" if self._files.has("manifest.json") else ""
            raise SourceError(f"{printable(self.name)}: is no OCI layout: it has no {INDEX}{hint}")
        with self._files.open(INDEX) as extent:
            raw = extent.read(oci.MAX_MANIFEST)
            index = oci.loads(raw, extent.where)
            where = printable(extent.where)
        if not isinstance(index, Index):
            raise SourceError(f"{where}: is no index of images")
        chosen = index._replace(manifests=tuple(self._chosen(index, where)))
        names = _shown_names(chosen.manifests)

        def label(image: IndexedImage) -> str:
            entry = (*image.indexes, image.descriptor)[1]
            name = names.get(entry.digest)
            if self._wanted is not None or name is None:
                return printable(self.name)
            return f"{printable(self.name)}:{printable(name)}"

        images, self.notes = find_images(
            self,
            Descriptor(oci.OCI_INDEX, digests.sha256(raw), len(raw)),
            chosen,
            architectures,
            source=printable(self.name),
            label=label,
        )
        return images

    def _chosen(self, index: Index, where: str) -> Sequence[Descriptor]:
        """The entries that are meant."""
        wanted = self._wanted
        if wanted is None:
            return index.manifests
        number = place(wanted, len(index.manifests), where)
        if number is not None:
            return [index.manifests[number]]
        named = [entry for entry in index.manifests if _names(entry)]
        found = [entry for entry in named if entry.annotations.get(NAME) == wanted]
        if len({entry.digest for entry in found}) != 1:
            # A tag alone may be that of several images: their full names differ.
            found = [entry for entry in named if _is_full_name(entry, wanted)] or found
        if len({entry.digest for entry in found}) == 1:
            return found[:1]
        if found:
            full = ", ".join(sorted(quoted(_names(entry)[0]) for entry in found)[:MOST_SHOWN])
            raise SourceError(
                f"{where}: has {len(found)} images {quoted(wanted)}: {full}; ask for one "
                "by its full name, or @N for the one at place N"
            )
        raise unknown(wanted, (name for entry in named for name in _names(entry)), where)

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """A document, verified; see `layerscan.oci.blobs.Blobs`."""
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


def _names(entry: Descriptor) -> list[str]:
    """What an entry of the index is called, the fullest name first."""
    found = (entry.annotations.get(key) for key in (FULL_NAME, NAME))
    return [name for name in found if name is not None]


def _is_full_name(entry: Descriptor, wanted: str) -> bool:
    """Whether `wanted` is, in any form of it, the full name of an entry."""
    full = entry.annotations.get(FULL_NAME)
    if full is None:
        return False
    if full == wanted:
        return True
    try:
        return reference.parse(full) == reference.parse(wanted)
    except ReferenceSyntaxError:
        return False


def _shown_names(entries: Sequence[Descriptor]) -> Mapping[str, str]:
    """By digest what entries are called: by the short name, if it is one entry's alone."""
    shorts = [entry.annotations.get(NAME) for entry in entries]
    names: dict[str, str] = {}
    for entry, short in zip(entries, shorts, strict=True):
        known = _names(entry)
        if known:
            name = short if short is not None and shorts.count(short) == 1 else known[0]
            names.setdefault(entry.digest, name)
    return names


def _path(digest: str) -> str:
    """Where a layout has a blob."""
    assert digests.is_digest(digest)  # noqa: S101 - no other gets into a descriptor
    return f"blobs/{digests.blob_path(digest)}"
