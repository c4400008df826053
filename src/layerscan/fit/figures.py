"""An App's metadata as the exact policy reads it, and for whom it is predicted.

Nobody who judges an App uses `size`, and `fs_block_size` only for a warning: so a
document that ``layersmeta`` refuses may be good enough. What the clients make of the
same document is in ``go_metadata`` and ``skopeo_metadata``.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.jsondoc import Place
from layerscan.layersmeta import read_inodes
from layerscan.text import printable, quoted


class ClientLayer(NamedTuple):
    """What is read of a layer."""

    usage: int = 0  # bytes of disk that it takes
    archive_size: int | None = None  # bytes of its blob, None where the document has none


class Figures(NamedTuple):
    """What is read of one architecture."""

    fs_block_size: int | None  # None where the document has none that can be
    layers: Mapping[str, ClientLayer]  # by digest
    inodes: Mapping[str, int]  # how many each makes the engine create, so far as it is known
    file_system: str | None  # as ``--fs`` takes it; None where the document does not say it


def archive_sizes(layers: Mapping[str, ClientLayer], source: str) -> dict[str, int]:
    """Bytes of the blob of each of `layers`; DocumentError where `source` lacks one."""
    for digest, layer in layers.items():
        if layer.archive_size is None:
            raise DocumentError(
                f"{printable(source)}: layer {printable(digest)}: "
                'key "archive_size" is missing; publishing an App adds it'
            )
    return {digest: layer.archive_size or 0 for digest, layer in layers.items()}


class Metadata:
    """One document of metadata, of several architectures or of one, which each reads its way."""

    def __init__(self, raw: bytes, source: str) -> None:
        self.raw = raw
        self.source = source

    @cached_property
    def _document(self) -> dict[str, object]:
        return jsondoc.mapping(jsondoc.decode(self.raw, self.source), Place(self.source))

    def figures(self, architecture: str) -> Figures:
        """What it says of `architecture`; DocumentError where it is nothing, or malformed."""
        place = Place(self.source)
        if is_of_one(self._document):
            return _figures(self._document, place)
        if architecture not in self._document:
            raise lacks(self.source, architecture, self._document)
        return _figures(self._document[architecture], place.key(architecture))


def is_of_one(document: Collection[object]) -> bool:
    """Whether a document, or its keys, are those of the metadata of one architecture."""
    return "fs_block_size" in document and "layers" in document


def lacks(source: str, architecture: str, known: Iterable[str]) -> DocumentError:
    """The error that `source` says nothing of `architecture`, but of those that are `known`."""
    has = ", ".join(map(quoted, sorted(known))) or "none"
    return DocumentError(f"{printable(source)}: has no {architecture}; it has: {has}")


def _figures(value: object, place: Place) -> Figures:
    document = jsondoc.mapping(value, place)
    at_layers = place.key("layers")
    layers = jsondoc.mapping(jsondoc.member(document, "layers", place), at_layers)
    found: dict[str, ClientLayer] = {}
    for digest, layer in sorted(layers.items()):
        at = at_layers.key(digest)
        if not digests.is_digest(digest):
            raise at.fault(digests.NO_DIGEST)
        figures = jsondoc.mapping(layer, at)
        has_size = "archive_size" in figures
        archive_size = jsondoc.integer(figures, "archive_size", at) if has_size else None
        found[digest] = ClientLayer(jsondoc.integer(figures, "usage", at), archive_size)
    block_size, file_system = document.get("fs_block_size"), document.get("file_system")
    known = isinstance(block_size, int) and not isinstance(block_size, bool) and block_size > 0
    return Figures(
        block_size if known else None,  # type: ignore[arg-type]
        found,
        read_inodes(document, place),
        file_system if isinstance(file_system, str) else None,
    )
