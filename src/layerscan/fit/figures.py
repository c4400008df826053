"""An App's metadata as an update client reads it: less than is in it, and less strictly.

The clients use `usage` and `archive_size`; neither looks at `size` or
`fs_block_size`. So a document that ``layersmeta`` refuses may be good enough
for them, and what they answer is what counts here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.jsondoc import Place
from layerscan.layersmeta import LayersMeta
from layerscan.text import printable, quoted


class ClientLayer(NamedTuple):
    """What a client reads of a layer.

    Attributes:
        usage: bytes of disk that it takes.
        archive_size: bytes of its blob, None where the document has none.
    """

    usage: int
    archive_size: int | None


class Figures(NamedTuple):
    """What a client reads of one architecture.

    Attributes:
        source: what the document is called in messages.
        fs_block_size: of the file system that `usage` was measured on, None
            where the document has none that can be.
        layers: by digest.
    """

    source: str
    fs_block_size: int | None
    layers: Mapping[str, ClientLayer]

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
    """One document of metadata, of several architectures or of one.

    Args:
        raw: the document.
        source: what to call it in messages.

    Attributes:
        source: as given.
        architectures: those that it has; None for the document of one, which
            does not say which.

    Raises:
        DocumentError: it is no JSON object.
    """

    def __init__(self, raw: bytes, source: str) -> None:
        self.source = source
        place = Place(source)
        self._document = jsondoc.mapping(jsondoc.decode(raw, source), place)
        one = "fs_block_size" in self._document and "layers" in self._document
        self.architectures = None if one else sorted(self._document)

    def figures(self, architecture: str) -> Figures:
        """What it says of `architecture`.

        Raises:
            DocumentError: it says nothing of it, or a layer has no digest, or
                figures that are none.
        """
        place = Place(self.source)
        if self.architectures is None:
            return _figures(self._document, place)
        if architecture not in self._document:
            known = ", ".join(map(quoted, self.architectures)) or "none"
            raise DocumentError(f"{printable(self.source)}: has no {architecture}; it has: {known}")
        return _figures(self._document[architecture], place.key(architecture))


class PredictedMetadata:
    """Metadata that was predicted, for one architecture; asked like `Metadata`.

    Args:
        predicted: what layers cost.
        architecture: for which.
        source: what to call it in messages.
    """

    def __init__(self, predicted: LayersMeta, architecture: str, source: str) -> None:
        self.source = source
        self.architectures = [architecture]
        self._predicted = predicted

    def figures(self, architecture: str) -> Figures:
        """What it says of `architecture`.

        Raises:
            DocumentError: it is for another.
        """
        if architecture not in self.architectures:
            raise DocumentError(f"{self.source}: has no {architecture}")
        layers = {
            digest: ClientLayer(layer.usage, layer.archive_size)
            for digest, layer in self._predicted.layers.items()
        }
        return Figures(self.source, self._predicted.fs_block_size, layers)


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
    return Figures(place.source, block_size if known else None, found)  # type: ignore[arg-type]
