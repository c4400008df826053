"""An App's metadata as the exact policy reads it, and for whom it is predicted.

Nobody who judges an App uses `size`, and `fs_block_size` only for a warning: so a
document that ``layersmeta`` refuses may be good enough. What the clients make of the
same document is in ``go_metadata`` and ``skopeo_metadata``.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.jsondoc import Place
from layerscan.layersmeta import LayersMeta, read_inodes
from layerscan.text import printable, quoted


class ClientLayer(NamedTuple):
    """What is read of a layer.

    Attributes:
        usage: bytes of disk that it takes.
        archive_size: bytes of its blob, None where the document has none.
    """

    usage: int
    archive_size: int | None


class Figures(NamedTuple):
    """What is read of one architecture.

    Attributes:
        source: what the document is called in messages.
        fs_block_size: of the file system that `usage` was measured on, None
            where the document has none that can be.
        layers: by digest.
        inodes: how many inodes each makes the engine create, so far as it is known.
        file_system: that which `usage` is for, as ``--fs`` takes it; None where the document
            does not say it.
    """

    source: str
    fs_block_size: int | None
    layers: Mapping[str, ClientLayer]
    inodes: Mapping[str, int] = {}
    file_system: str | None = None

    def archive_sizes(self) -> dict[str, int]:
        """How many bytes the blob of each layer has.

        Raises:
            DocumentError: of a layer, the document does not say it.
        """
        sizes: dict[str, int] = {}
        for digest, layer in self.layers.items():
            if layer.archive_size is None:
                raise DocumentError(
                    f"{printable(self.source)}: layer {digest}: "
                    'key "archive_size" is missing; publishing an App adds it'
                )
            sizes[digest] = layer.archive_size
        return sizes


class Metadata:
    """One document of metadata, of several architectures or of one, which each reads its way.

    Args:
        raw: the document.
        source: what to call it in messages.

    Attributes:
        raw: as given.
        source: as given.
    """

    def __init__(self, raw: bytes, source: str) -> None:
        self.raw = raw
        self.source = source

    @cached_property
    def _document(self) -> dict[str, object]:
        return jsondoc.mapping(jsondoc.decode(self.raw, self.source), Place(self.source))

    def figures(self, architecture: str) -> Figures:
        """What it says of `architecture`.

        Raises:
            DocumentError: it is no JSON object, or says nothing of the architecture, or
                a layer has no digest, or figures that are none.
        """
        place = Place(self.source)
        if is_of_one(self._document):
            return _figures(self._document, place)
        if architecture not in self._document:
            known = ", ".join(map(quoted, sorted(self._document))) or "none"
            raise DocumentError(f"{printable(self.source)}: has no {architecture}; it has: {known}")
        return _figures(self._document[architecture], place.key(architecture))


def is_of_one(document: Collection[object]) -> bool:
    """Whether a document, or its keys, are those of the metadata of one architecture."""
    return "fs_block_size" in document and "layers" in document


class PredictedMetadata:
    """Metadata that was predicted, for one architecture; asked like `Metadata`.

    Args:
        predicted: what layers cost.
        architecture: for which.
        source: what to call it in messages.
    """

    def __init__(self, predicted: LayersMeta, architecture: str, source: str) -> None:
        self.source = source
        self._architecture = architecture
        self._predicted = predicted

    def figures(self, architecture: str) -> Figures:
        """What it says of `architecture`.

        Raises:
            DocumentError: it is for another.
        """
        if architecture != self._architecture:
            raise DocumentError(f"{self.source}: has no {architecture}")
        layers = {
            digest: ClientLayer(layer.usage, layer.archive_size)
            for digest, layer in self._predicted.layers.items()
        }
        predicted = self._predicted
        return Figures(
            self.source,
            predicted.fs_block_size,
            layers,
            predicted.inodes,
            predicted.file_system,
        )


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
        archive_size = (
            jsondoc.integer(figures, "archive_size", at) if "archive_size" in figures else None
        )
        found[digest] = ClientLayer(jsondoc.integer(figures, "usage", at), archive_size)
    block_size = document.get("fs_block_size")
    known = isinstance(block_size, int) and not isinstance(block_size, bool) and block_size > 0
    return Figures(
        place.source,
        block_size if known else None,  # type: ignore[arg-type]
        found,
        read_inodes(document, place),
        file_system if isinstance(file_system := document.get("file_system"), str) else None,
    )
