"""Layers metadata and layers manifests as the old engine of aktualizr-lite reads them.

Owns what a layer needs by each of the two documents, and when the engine gives one up.
How it decodes them, ``jsoncpp`` knows. Of a layer whose blob is there it looks at the
digest alone. Numbers are added up in 64 bits without a sign: one below nothing becomes
2^64 less that much, and a sum that does not fit is a fault.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from layerscan.errors import DocumentError
from layerscan.fit.figures import Metadata, is_of_one, lacks
from layerscan.fit.jsoncpp import LARGEST_UNSIGNED, SMALLEST, decode_until_fault
from layerscan.fit.verdict import Missing
from layerscan.jsondoc import MAX_INTEGER, Place
from layerscan.text import printable

COMPRESSION = 5  # how many times its blob a layer is taken to need where nothing is known of it

_DIGEST = re.compile(r"sha256:.{64}", re.DOTALL)
"""All that the engine asks of a digest; it takes capitals for small letters."""

_MODULUS = LARGEST_UNSIGNED + 1

HasBlob = Callable[[str], bool]  # whether a blob of that digest is there, by its name


def is_enough(metadata: Metadata | None, architecture: str) -> bool:
    """Whether the engine makes do with `metadata`, whatever blobs are there."""
    if metadata is None:
        return False
    try:
        precise(metadata, architecture, lambda _: False)
    except DocumentError:
        return False
    return True


def precise(
    metadata: Metadata, architecture: str, has_blob: HasBlob, *, alone: bool = False
) -> list[Missing]:
    """The layers that are missing, by an App's metadata.

    If a user gave it `alone`, it may be the document of one architecture.
    Raises DocumentError where the engine does not use it.
    """
    place = Place(metadata.source)
    document = decode_until_fault(metadata.raw, metadata.source)
    members = document if isinstance(document, dict) else {}
    if not (alone and is_of_one(members)):
        if architecture not in members:
            raise lacks(metadata.source, architecture, members)
        document, place = members[architecture], place.key(architecture)
    at = place.key("layers")
    layers = _member(document, "layers", place)
    found = [
        _figures(digest, layer, at.key(key))
        for key, layer in _items(layers)
        if not has_blob(digest := _digest(key, at.key(key)))
    ]
    return _added(found, metadata.source)


def estimate(raw: bytes, source: str, has_blob: HasBlob) -> list[Missing]:
    """The same by an App's layers manifest; DocumentError where the engine fails on it."""
    found = []
    for digest, layer, place in _manifest_layers(raw, source):
        if has_blob(digest):
            continue
        size = _member(layer, "size", place)
        if not _is_int64(size) or (number := int(cast("float", size))) < 0:
            raise place.key("size").fault(f"must be an integer from 0 to {MAX_INTEGER}")
        found.append(Missing(digest, number, COMPRESSION * number, estimated=True))
    return _added(found, source)


def manifest_digests(raw: bytes, source: str) -> set[str]:
    """The digests of all layers of a layers manifest; raises as `estimate`."""
    return {digest for digest, _, _ in _manifest_layers(raw, source)}


def _manifest_layers(raw: bytes, source: str) -> Iterator[tuple[str, object, Place]]:
    place = Place(source)
    layers = _member(decode_until_fault(raw, source), "layers", place)
    for key, layer in _items(layers):
        at = place.key("layers").key(key)
        yield _digest(_member(layer, "digest", at), at.key("digest")), layer, at


def _member(value: object, key: str, place: Place) -> object:
    """What an object has under `key`; nothing of what is null."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise place.fault("must be an object")
    return value.get(key)


def _items(value: object) -> Iterable[tuple[str | int, object]]:
    """The members of an object or the entries of an array; of anything else, none."""
    if isinstance(value, dict):
        return sorted(value.items())
    return enumerate(value) if isinstance(value, list) else ()


def _digest(value: object, place: Place) -> str:
    if isinstance(value, str) and _DIGEST.fullmatch(value.lower()):
        return value.lower()
    raise place.fault("is no digest of sha256")


def _figures(digest: str, layer: object, place: Place) -> Missing:
    usage = _member(layer, "usage", place)
    if not _is_int64(usage):
        raise place.key("usage").fault("must be an integer of 64 bits")
    _as_int64(layer, "size", place)
    archive_size = _as_int64(layer, "archive_size", place)
    return Missing(
        digest, archive_size % _MODULUS, int(cast("float", usage)) % _MODULUS, estimated=False
    )


def _is_int64(value: object) -> bool:
    if isinstance(value, float):
        return SMALLEST <= value < -SMALLEST and value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool) and value <= MAX_INTEGER


def _as_int64(layer: object, key: str, place: Place) -> int:
    """What is under `key`, made an integer as far as that goes: true is 1, and null is 0."""
    value = _member(layer, key, place)
    if value is None:
        return 0
    if isinstance(value, float) and SMALLEST <= value < -SMALLEST:
        return int(value)
    if isinstance(value, int) and value <= MAX_INTEGER:
        return int(value)
    raise place.key(key).fault("cannot be made an integer of 64 bits")


def _added(found: Sequence[Missing], source: str) -> list[Missing]:
    """Each digest once; of one that is there several times, the figures are added up."""
    sums = (sum(one.archive_size for one in found), sum(one.usage for one in found))
    if max(sums) > LARGEST_UNSIGNED:
        raise DocumentError(
            f"{printable(source)}: its figures add up to more than {LARGEST_UNSIGNED}"
        )
    layers: dict[str, Missing] = {}
    for one in found:
        size, usage = one.archive_size, one.usage
        if (known := layers.get(one.digest)) is not None:
            size, usage = size + known.archive_size, usage + known.usage
        layers[one.digest] = one._replace(archive_size=size, usage=usage)
    return list(layers.values())
