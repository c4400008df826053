"""Images in an archive of ``docker save``, of all its engines.

Owns what its ``manifest.json`` stands for (Docker's image specification 1.2, "Combined
Image JSON + Filesystem Changeset Format"; skopeo's ``docker-archive:``). There are no
manifests, and layers are plain tars as a rule: what they are in registries is not known.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc, oci, reference
from layerscan.digest import Hashing
from layerscan.errors import ReferenceSyntaxError, SourceError
from layerscan.jsondoc import Place
from layerscan.oci import Descriptor
from layerscan.oci.images import Listing, PassedOver, told_by_config, unwanted
from layerscan.oci.matchers import ForLinux
from layerscan.sources.archive import Archive, normal
from layerscan.sources.decompress import LONGEST_MAGIC, is_packed
from layerscan.sources.images import nothing, source_image
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.sources.names import place, unknown
from layerscan.text import printable

if TYPE_CHECKING:
    from layerscan.sources.extents import Extent

MANIFEST = "manifest.json"
_MOST_NAMES = 10_000  # tags, or layers, of one image

_CONFIG = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?", re.ASCII)
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})", re.ASCII)
"""How files are named after their content; ``<id>/layer.tar`` has another id."""

_NOTE = (
    "its layers are plain tars, as docker save writes them: their digests and archive sizes "
    "are not those of a registry"
)


class _SavedImage(NamedTuple):
    """One image, as ``manifest.json`` says it."""

    config: str  # name of its config's file
    tags: tuple[str, ...]
    layers: tuple[str, ...]  # names of their files, bottom up


class DockerArchive(Source):
    """Images in an archive, which is closed with this; see `Source`.

    `wanted` is the name or place (``@0``) of the image meant, None for all.
    """

    def __init__(self, name: str, archive: Archive, wanted: str | None) -> None:
        self.name = name
        self._archive = archive
        self._wanted = wanted
        self._extents: dict[str, Extent] = {}
        self._computed: dict[int, str] = {}

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        matcher = ForLinux(architectures)
        found: dict[str, SourceImage] = {}
        others: list[PassedOver] = []
        for entry in self._chosen():
            image = self._image(entry, matcher)
            if isinstance(image, PassedOver):
                others.append(image)
            else:
                found.setdefault(image.image_id, image)
        if not found:
            raise nothing(printable(self.name), matcher, Listing((), tuple(others)))
        images = list(found.values())
        if any(layer.digest == layer.diff_id for image in images for layer in image.layers):
            self.notes = (f"{printable(self.name)}: {_NOTE}",)
        return images

    @contextmanager
    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The blob of a layer; see `Source`."""
        extent = self._extents[layer.digest]
        extent.check_length(layer.archive_size)
        yield extent.chunks(layer.digest, hashing)

    def close(self) -> None:
        """Close the archive. Idempotent."""
        self._archive.close()

    def _chosen(self) -> Sequence[_SavedImage]:
        """The images that are meant."""
        entries = self._entries()
        if self._wanted is None:
            return entries
        number = place(self._wanted, len(entries), printable(self.name))
        if number is not None:
            return [entries[number]]
        wanted = str(reference.parse(self._wanted))
        found = [entry for entry in entries if wanted in map(_full, entry.tags)]
        if not found:
            tags = (tag for entry in entries for tag in entry.tags)
            raise unknown(self._wanted, tags, printable(self.name))
        return found

    def _entries(self) -> list[_SavedImage]:
        if not self._archive.has(MANIFEST):
            hint = "; did you mean oci-archive:?" if self._archive.has("index.json") else ""
            raise SourceError(
                f"{printable(self.name)}: is no archive of docker save: it has no {MANIFEST}{hint}"
            )
        extent = self._archive.find(MANIFEST)
        document = jsondoc.decode(extent.read(oci.MAX_MANIFEST), extent.where, as_go=True)
        top = Place(extent.where)
        images = jsondoc.array(document, top, longest=oci.MOST_IMAGES)
        return [_entry(image, top.key(number)) for number, image in enumerate(images)]

    def _image(self, entry: _SavedImage, matcher: ForLinux) -> SourceImage | PassedOver:
        extent = self._archive.find(normal(entry.config))
        content = extent.read(oci.MAX_CONFIG)
        image_id = _verified(content, normal(entry.config), printable(extent.where))
        config = oci.loads_config(content, extent.where)
        name = printable(self.name)
        if self._wanted is None and entry.tags:
            name += f":{printable(entry.tags[0])}"
        platform = told_by_config(config, matcher)
        if not matcher.takes(platform):
            return unwanted(Descriptor("", image_id, len(content)), platform)
        # Those without a diff_id are refused with the image.
        diff_ids = [*config.diff_ids, *[""] * len(entry.layers)]
        layers = [
            self._layer(layer, diff_id)
            for layer, diff_id in zip(entry.layers, diff_ids, strict=False)
        ]
        return source_image(name, (len(content),), image_id, config, layers, platform=platform)

    def _layer(self, path: str, diff_id: str) -> Descriptor:
        """A layer's descriptor, made of what is in the archive."""
        extent = self._archive.find(normal(path))
        head = extent.section(0, min(extent.length, LONGEST_MAGIC))
        named = _BLOB.fullmatch(normal(path))
        if not is_packed(head):
            # The tar itself: its digest is the diff_id.
            digest = diff_id
        elif named is not None:
            digest = f"sha256:{named[1]}"
        else:
            # Several names may lead to it.
            if extent.offset not in self._computed:
                computed = digests.hashing(None)
                for _ in extent.chunks(None, computed):
                    pass
                self._computed[extent.offset] = digests.computed(computed, None)
            digest = self._computed[extent.offset]
        self._extents[digest] = extent
        return Descriptor("", digest, extent.length)


def _entry(value: object, at: Place) -> _SavedImage:
    document = jsondoc.mapping(value, at)
    return _SavedImage(
        jsondoc.text(document, "Config", at),
        jsondoc.strings(document, "RepoTags", at, longest=_MOST_NAMES),
        jsondoc.strings(document, "Layers", at, longest=_MOST_NAMES),
    )


def _full(tag: str) -> str | None:
    """A tag of the archive in its full form; None if it is not a reference."""
    try:
        return str(reference.parse(tag))
    except ReferenceSyntaxError:
        return None


def _verified(content: bytes, path: str, where: str) -> str:
    """The digest of a config, which its file's name tells too."""
    image_id = digests.sha256(content)
    named = _CONFIG.fullmatch(path)
    if named is not None and image_id != f"sha256:{named[1]}":
        raise SourceError(f"{where}: is damaged: it has another digest than its name")
    return image_id
