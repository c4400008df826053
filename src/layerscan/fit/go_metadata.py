"""An App's layers metadata as composectl reads it: with Go's decoder, which forgives much.

The rules are those of encoding/json, "Unmarshal", for a map of architectures
whose values have an integer `fs_block_size` and a map `layers` of digests, with the
integers `size`, `usage` and `archive_size`:

- Text that is not JSON gives nothing at all.
- A value of a wrong type is a fault; the rest is decoded all the same. The client
  goes on with what it got, but leaves the document out of what it fetches.
- null leaves a number as it is and empties a map.
- Names of fields match without regard to case, and of several the last counts. Digests
  and architectures are keys of maps: nothing of them is checked.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit.figures import ClientLayer, Metadata, is_of_one, lacks
from layerscan.jsondoc import MAX_INTEGER, Members, Place, decode_members

# The letters beside ASCII's which fold to one of these (Unicode, simple case folding).
_FOLDED = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ\u212a\u017f", "abcdefghijklmnopqrstuvwxyzks")

_FIELDS = ("size", "usage", "archive_size")


class GoMetadata(NamedTuple):
    """What the client reads of a document: figures as they stand there, also below nothing."""

    architectures: Mapping[str, Mapping[str, ClientLayer]]  # by name, for each layers by digest
    fault: DocumentError | None  # what is wrong with it, None for nothing

    def layers(self, architecture: str, source: str) -> Mapping[str, ClientLayer]:
        """The layers of `architecture`; DocumentError where nothing is there of it."""
        if architecture in self.architectures:
            return self.architectures[architecture]
        if self.fault is not None and not self.architectures:
            raise self.fault
        raise lacks(source, architecture, self.architectures)


def read(raw: bytes, source: str) -> GoMetadata:
    """Read the document of an App."""
    try:
        document = decode_members(raw, source)
    except DocumentError as error:
        return GoMetadata({}, error)
    decoder = _Decoder()
    found: dict[str, Mapping[str, ClientLayer]] = {}
    for name, value, at in decoder.members(document, Place(source)):
        found[name] = decoder.architecture(value, at)
    return GoMetadata(found, decoder.fault)


def read_alone(metadata: Metadata, architecture: str) -> GoMetadata:
    """Read a document that a user gave: of several architectures, or of `architecture` alone.

    Raises DocumentError where it is not JSON.
    """
    document = decode_members(metadata.raw, metadata.source)
    keys = {key for key, _ in document} if isinstance(document, Members) else set()
    if not is_of_one(keys):
        return read(metadata.raw, metadata.source)
    decoder, place = _Decoder(), Place(metadata.source)
    return GoMetadata({architecture: decoder.architecture(document, place)}, decoder.fault)


class _Decoder:
    """Decodes values, and keeps the first fault."""

    def __init__(self) -> None:
        self.fault: DocumentError | None = None

    def members(self, value: object, place: Place) -> list[tuple[str, object, Place]]:
        """The members of an object with their places; of anything else, none."""
        if isinstance(value, Members):
            return [(key, inner, place.key(key)) for key, inner in value]
        if value is not None:
            self._wrong(place, "must be an object")
        return []

    def architecture(self, value: object, place: Place) -> dict[str, ClientLayer]:
        """The layers of one architecture."""
        layers: dict[str, ClientLayer] = {}
        for key, inner, at in self.members(value, place):
            field = key.translate(_FOLDED)
            if field == "fs_block_size":
                self._integer(inner, at)
            elif field == "layers" and inner is None:
                layers = {}
            elif field == "layers":
                # Given twice, the map is filled twice.
                layers |= {
                    digest: self._layer(one, where)
                    for digest, one, where in self.members(inner, at)
                }
        return layers

    def _layer(self, value: object, place: Place) -> ClientLayer:
        layer = ClientLayer()
        for key, inner, at in self.members(value, place):
            field = key.translate(_FOLDED)
            number = self._integer(inner, at) if field in _FIELDS else None
            if number is not None and field in ClientLayer._fields:
                layer = layer._replace(**{field: number})
        return layer

    def _integer(self, value: object, place: Place) -> int | None:
        """An integer of 64 bits; None for what leaves the field as it is."""
        if value is None:
            return None
        # JSON's true is Python's 1; a number with a point or an exponent is no integer to Go.
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong(place, "must be an integer")
        elif not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            self._wrong(place, f"must be at most {MAX_INTEGER}")
        else:
            return value
        return None

    def _wrong(self, place: Place, what: str) -> None:
        self.fault = self.fault or place.fault(what)
