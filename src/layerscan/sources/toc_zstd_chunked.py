"""The table of contents of a zstd:chunked layer: in a frame that decompressors skip.

Owns the annotations of containers/storage that say where it is (its package
pkg/chunked); the footer, which says the same, is not needed. Newer writers put
the layer's tar-split beside it: all of the tar that is in no file, as it is.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.digest import is_digest, of_content
from layerscan.jsondoc import Place
from layerscan.sources import toc_model
from layerscan.sources.model import Source, SourceLayer
from layerscan.sources.toc_entries import parts, table_members
from layerscan.sources.toc_headers import END
from layerscan.sources.toc_json import Values
from layerscan.sources.toc_model import MAX_TABLE, NAME, Content, Part, TableFault, TableOfContents

PREFIXES = ("io.github.containers.zstd-chunked.", "io.containers.zstd-chunked.")
"""What the annotations' names begin with, now and in writers until 2022."""

CHECKSUM, POSITION = "manifest-checksum", "manifest-position"
SPLIT_CHECKSUM, SPLIT_POSITION = "tarsplit-checksum", "tarsplit-position"

_GAP = 64 * 1024
"""Bytes between the two that may be fetched for nothing: another request takes longer."""

_SPLIT = "the tar-split"
_SPLIT_DIGEST = "tarSplitDigest"
_CRFS = 1  # the type of table that eStargz has, too; there is no other
_NUMBERS = re.compile(r"\d{1,18}(?::\d{1,18})*", re.ASCII)
_MOST_SPLIT = 1024 * 1024 * 1024
"""Bytes of the longest tar-split, unpacked, that is read; never all of it is in memory."""

MOST_LINES = 1_000_000  # of a tar-split: as many as that of half a million files has

_SPLIT_FILE, _SPLIT_SEGMENT = 1, 2
_CHECKSUM_LENGTH = 8


class _DocumentPlace(NamedTuple):
    """Where a document is in the blob, and its bytes unpacked."""

    offset: int
    length: int
    unpacked: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def annotations(layer: SourceLayer) -> dict[str, str]:
    """The annotations of the format, without what they begin with; empty for none."""
    for prefix in PREFIXES:
        if prefix + CHECKSUM in layer.annotations:
            return {
                key.removeprefix(prefix): value
                for key, value in layer.annotations.items()
                if key.startswith(prefix)
            }
    return {}


def read(source: Source, layer: SourceLayer, given: Mapping[str, str]) -> TableOfContents | None:
    """The table of a layer with the annotations `given`.

    One request as a rule: the tar-split follows the table.
    """
    checksum = given[CHECKSUM]
    if not is_digest(checksum):
        raise TableFault(f"the annotation {CHECKSUM} is no digest")
    places = _places(given)
    packed = _fetch(source, layer, places)
    if packed is None:
        return None
    with toc_model.as_fault():
        table = _unpacked_table(packed[0], checksum, places[0].unpacked)
        digest = _split_digest(table, given) if len(packed) > 1 else None
    if digest is None:
        # Nothing vouches for a tar-split without a digest.
        return TableOfContents(is_exact=False, make=lambda: _rebuilt(table))
    if of_content(packed[1], digest) != digest:
        raise TableFault("the tar-split has not the digest that it must have")
    return TableOfContents(is_exact=True, make=lambda: _split_parts(packed[1]))


def _places(given: Mapping[str, str]) -> list[_DocumentPlace]:
    """Where the table and the tar-split are; not every writer has the second."""
    *place, kind = _numbers(given, POSITION, 4)
    if kind != _CRFS:
        raise TableFault(f"the table of contents is of type {kind}, which is not known")
    places = [_DocumentPlace(*place)]
    if SPLIT_POSITION in given:
        places.append(_DocumentPlace(*_numbers(given, SPLIT_POSITION, 3)))
    return places


def _numbers(given: Mapping[str, str], key: str, count: int) -> list[int]:
    text = given.get(key, "")
    if not _NUMBERS.fullmatch(text) or text.count(":") != count - 1:
        raise TableFault(f"the annotation {key} must be {count} numbers with colons between them")
    return [int(number) for number in text.split(":")]


def _fetch(
    source: Source, layer: SourceLayer, places: Sequence[_DocumentPlace]
) -> list[bytes] | None:
    """The documents, packed; by one request if that fetches little else."""
    first, last = min(places), max(places)
    length = last.end - first.offset
    if 0 <= last.offset - first.end <= _GAP and length <= MAX_TABLE:
        all_of_them = toc_model.section(source, layer, first.offset, length)
        if all_of_them is None:
            return None
        return [all_of_them[p.offset - first.offset : p.end - first.offset] for p in places]
    found = []
    for place in places:
        part = toc_model.section(source, layer, place.offset, place.length)
        if part is None:
            return None
        found.append(part)
    return found


def _unpacked_table(packed: bytes, checksum: str, length: int) -> bytes:
    """The table, verified."""
    if of_content(packed, checksum) != checksum:
        raise TableFault(f"the table of contents has not the digest of the annotation {CHECKSUM}")
    if length > MAX_TABLE:
        raise TableFault(f"the table of contents has {length} bytes; only {MAX_TABLE} are read")
    table = b"".join(toc_model.unpacked(packed, limit=length, name=NAME))
    if len(table) != length:
        raise TableFault(f"the table of contents has {len(table)} bytes, and must have {length}")
    return table


def _split_digest(table: bytes, given: Mapping[str, str]) -> str | None:
    """The digest of the packed tar-split: from the table or, in 2023, an annotation."""
    digest: object = given.get(SPLIT_CHECKSUM)
    for key, value in table_members(table):
        if key == _SPLIT_DIGEST:
            digest = value
    if digest is None or (isinstance(digest, str) and is_digest(digest)):
        return digest
    raise TableFault("the digest of the tar-split is no digest")


def _rebuilt(table: bytes) -> Iterator[Part]:
    yield from parts(table)
    yield END


def _split_parts(packed: bytes) -> Iterator[Part]:
    """The tar of which `packed` is the tar-split (vbatts/tar-split, tar/storage/entry.go)."""
    values = Values(toc_model.unpacked(packed, limit=_MOST_SPLIT, name=_SPLIT), _SPLIT, MOST_LINES)
    place = Place(_SPLIT)
    while not values.at_end():
        entry = jsondoc.mapping(values.value(), place)
        kind = jsondoc.integer(entry, "type", place)
        if kind == _SPLIT_SEGMENT:
            yield _payload(entry, place)
        elif kind == _SPLIT_FILE:
            size = jsondoc.integer(entry, "size", place, 0)
            if size:
                yield Content(size, _checksum(entry, place))
        else:
            raise place.key("type").fault(f"{kind} is not known")


def _checksum(entry: dict[str, object], place: Place) -> int | None:
    """The CRC-64 of a file's content."""
    found = _payload(entry, place)
    if found and len(found) != _CHECKSUM_LENGTH:
        raise place.key("payload").fault(f"is no checksum of {_CHECKSUM_LENGTH} bytes")
    return int.from_bytes(found, "big") if found else None


def _payload(entry: dict[str, object], place: Place) -> bytes:
    if entry.get("payload") is None:
        return b""
    try:
        return base64.b64decode(jsondoc.text(entry, "payload", place), validate=True)
    except ValueError:
        raise place.key("payload").fault("is no base64") from None
