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
from layerscan.fit.figures import is_of_one
from layerscan.jsondoc import MAX_INTEGER, Members, Place, decode_members
from layerscan.text import printable, quoted

# The letters beside ASCII's which fold to one of these (Unicode, simple case folding).
_FOLDED = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ\u212a\u017f", "abcdefghijklmnopqrstuvwxyzks")

_FIELDS = ("size", "usage", "archive_size")


class GoLayer(NamedTuple):
    """What the client reads of a layer.

    Attributes:
        usage: bytes of disk, as they stand there, below nothing, too; 0 if they do not.
        archive_size: bytes of its blob, None where nothing says it; the client itself
            does not use them.
    """

    usage: int = 0
    archive_size: int | None = None


class GoMetadata(NamedTuple):
    """What the client reads of a document.

    Attributes:
        architectures: by name, for each its layers by digest.
        fault: what is wrong with it, None for nothing.
    """

    architectures: Mapping[str, Mapping[str, GoLayer]]
    fault: DocumentError | None

    def layers(self, architecture: str, source: str) -> Mapping[str, GoLayer]:
        """The layers of `architecture`.

        Raises:
            DocumentError: nothing is there of it.
        """
        if architecture in self.architectures:
            return self.architectures[architecture]
        if self.fault is not None and not self.architectures:
            raise self.fault
        known = ", ".join(map(quoted, sorted(self.architectures))) or "none"
        raise DocumentError(f"{printable(source)}: has no {architecture}; it has: {known}")


def read(raw: bytes, source: str) -> GoMetadata:
    """Read the document of an App."""
    try:
        document = decode_members(raw, source)
    except DocumentError as error:
        return GoMetadata({}, error)
    decoder = _Decoder()
    found: dict[str, Mapping[str, GoLayer]] = {}
    for name, value, at in decoder.members(document, Place(source)):
        found[name] = decoder.architecture(value, at)
    return GoMetadata(found, decoder.fault)


def read_alone(raw: bytes, source: str, architecture: str) -> GoMetadata:
    """Read a document that a user gave: of several architectures, or of `architecture` alone.

    Raises:
        DocumentError: it is not JSON.
    """
    document = decode_members(raw, source)
    keys = {key for key, _ in document} if isinstance(document, Members) else set()
    if not is_of_one(keys):
        return read(raw, source)
    decoder = _Decoder()
    return GoMetadata({architecture: decoder.architecture(document, Place(source))}, decoder.fault)


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

    def architecture(self, value: object, place: Place) -> dict[str, GoLayer]:
        """The layers of one architecture."""
        layers: dict[str, GoLayer] = {}
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

    def _layer(self, value: object, place: Place) -> GoLayer:
        layer = GoLayer()
        for key, inner, at in self.members(value, place):
            field = key.translate(_FOLDED)
            number = self._integer(inner, at) if field in _FIELDS else None
            if number is not None and field in GoLayer._fields:
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
