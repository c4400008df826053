"""The layers metadata documents: their types, reading, writing, merging.

Alone knows their JSON; the schemas are in ``schemas/``. Where the figures come
from is the caller's matter.

A reader accepts keys it does not know and refuses everything else that is not
as it should be. Each refusal is one `DocumentError` that names the document
and the JSON path of the fault.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from layerscan import digest as digests
from layerscan.errors import DocumentError, LayerscanError
from layerscan.jsondoc import Place, decode, integer, mapping, member, read_file
from layerscan.jsondoc import text as string
from layerscan.text import printable, quoted, shown

# Bytes of the longest file that is read: some half a million layers.
MAX_DOCUMENT = 64 * 1024 * 1024

_Figure = TypeVar("_Figure", int, int | None, str | None)

_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


class LayerMeta(NamedTuple):
    """What one layer costs, in bytes; the rules are those of docs/explanation/accounting.md."""

    size: int  # content of its files, without block rounding
    usage: int  # what it takes of the disk, with block rounding
    archive_size: int | None = None  # of its compressed blob, None where it is unknown


class LayersMeta(NamedTuple):
    """The layers of one architecture: what each costs, by the digest of its compressed blob.

    Attributes:
        fs_block_size: block size in bytes of the file system they were measured on.
        file_system: its full name, as ``--fs`` takes it; None where it is unknown.
        inodes: how many each makes the engine create, by digest; others are unknown.
    """

    fs_block_size: int
    layers: Mapping[str, LayerMeta]
    file_system: str | None = None
    inodes: Mapping[str, int] = {}


def is_architecture(text: str) -> bool:
    """Whether `text` can be a GOARCH name: ``amd64``, ``arm``, ``386``, …."""
    return _ARCHITECTURE.fullmatch(text) is not None


def of_images(
    images: Iterable[Iterable[tuple[str, LayerMeta, int | None]]],
    fs_block_size: int,
    file_system: str | None = None,
) -> LayersMeta:
    """What each blob costs, from what the layers of images cost.

    An image may have one blob several times, as layers on top of others: what they
    take together is what the blob costs there. Of several images, the one with the
    largest figures counts: on another parent a layer may take another block.

    For each of `images` there are its layers: the digest of each, what it costs, and how
    many inodes it makes the engine create, None where that is unknown.
    """
    nothing = LayerMeta(0, 0)
    layers: dict[str, LayerMeta] = {}
    inodes: dict[str, int] = {}
    for image in images:
        together: dict[str, LayerMeta] = {}
        created: Counter[str] = Counter()
        for digest, (size, usage, archive_size), count in image:
            before = together.get(digest, nothing)
            together[digest] = LayerMeta(before.size + size, before.usage + usage, archive_size)
            if count is not None:
                created[digest] += count
        for digest, (size, usage, archive_size) in together.items():
            known = layers.get(digest, nothing)
            layers[digest] = LayerMeta(max(size, known.size), max(usage, known.usage), archive_size)
        for digest, count in created.items():
            inodes[digest] = max(count, inodes.get(digest, 0))
    return LayersMeta(fs_block_size, layers, file_system, inodes)


def check_architectures(images: Iterable[tuple[str, str]]) -> None:
    """Refuse an architecture that can be no key of the document; each is with its image's name."""
    for label, architecture in images:
        if not architecture:
            raise LayerscanError(
                f"image {label}: nothing says its architecture; say it with --arch"
            )
        if not is_architecture(architecture):
            raise LayerscanError(
                f"image {label}: its config gives the architecture "
                f"{architecture!r}, which is not a valid name; leave it out with --arch"
            )


def loads(text: str | bytes, source: str) -> LayersMeta:
    """Read the document of one architecture; a `DocumentError` calls it `source`."""
    return _one(decode(text, source), Place(source))


def loads_by_arch(text: str | bytes, source: str) -> dict[str, LayersMeta]:
    """Read a document of several architectures; see `loads`."""
    place = Place(source)
    document = mapping(decode(text, source), place)
    for architecture in document:
        if not is_architecture(architecture):
            raise place.key(architecture).fault("is no architecture name")
        if architecture in {"fs_block_size", "layers"}:
            raise place.fault("is the document of one architecture, not of several")
    return {name: _one(value, place.key(name)) for name, value in sorted(document.items())}


def load(path: str) -> LayersMeta:
    """Read the file `path`, a document of one architecture of at most `MAX_DOCUMENT` bytes."""
    return loads(read_file(path, MAX_DOCUMENT), path)


def load_by_arch(path: str) -> dict[str, LayersMeta]:
    """Read the file `path`, a document of several architectures; see `load`."""
    return loads_by_arch(read_file(path, MAX_DOCUMENT), path)


def dumps(meta: LayersMeta) -> bytes:
    """Write the document of one architecture: equal content, equal bytes.

    Returns:
        UTF-8 JSON, indented by two spaces, keys sorted, ended by a newline.
    """
    return _encode(_plain(meta))


def dumps_by_arch(metas: Mapping[str, LayersMeta], *, compact: bool = False) -> bytes:
    """As `dumps`, for several; with `compact` without blanks and newline, as devices get it."""
    document = {architecture: _plain(meta) for architecture, meta in metas.items()}
    if compact:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return _encode(document)


def merge(pairs: Iterable[tuple[str, LayersMeta, str]]) -> dict[str, LayersMeta]:
    """Put documents of one architecture together.

    Architectures may come more than once if their documents do not contradict
    each other: what each says is then united. Order and repetition do not matter.

    Args:
        pairs: for each document its architecture, its content and what to call
            it in messages.

    Raises:
        DocumentError: an architecture's name is none, or two documents give
            different figures for the same thing.
        TypeError: one of `pairs` is not such a triple.
    """
    by_arch: dict[str, list[tuple[LayersMeta, str]]] = {}
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 3 and isinstance(pair[1], LayersMeta)):  # noqa: PLR2004 - those that follow
            raise TypeError(
                "merge takes triples of an architecture, a LayersMeta, and a name for messages; "
                f"not {shown(pair)}"
            )
        architecture, meta, source = pair
        if not is_architecture(architecture):
            raise DocumentError(
                f"{printable(source)}: {quoted(architecture)} is no architecture name"
            )
        by_arch.setdefault(architecture, []).append((meta, source))
    return {name: _unite(name, documents) for name, documents in sorted(by_arch.items())}


def _unite(architecture: str, documents: list[tuple[LayersMeta, str]]) -> LayersMeta:
    """One document out of several of the same architecture."""
    # For every path the figure, and the document that gave it first, which a
    # message about a contradiction must name.
    known: dict[str, tuple[Any, str]] = {}

    def agreed(path: str, figure: _Figure, source: str) -> _Figure:
        if figure is None:
            return known[path][0] if path in known else None
        before, witness = known.setdefault(path, (figure, source))
        if before != figure:
            raise Place(source, path).fault(
                f"{printable(str(figure))} contradicts {printable(str(before))} in "
                f"{printable(witness)} (both are given as {architecture})"
            )
        return figure

    layers: dict[str, LayerMeta] = {}
    inodes: dict[str, int] = {}
    file_system: str | None = None
    for meta, source in documents:
        agreed("$.fs_block_size", meta.fs_block_size, source)
        file_system = agreed("$.file_system", meta.file_system, source)
        for digest, layer in meta.layers.items():
            path = f"$.layers[{quoted(digest)}]"
            agreed(f"{path}.size", layer.size, source)
            agreed(f"{path}.usage", layer.usage, source)
            archive_size = agreed(f"{path}.archive_size", layer.archive_size, source)
            layers[digest] = LayerMeta(layer.size, layer.usage, archive_size)
        for digest, count in meta.inodes.items():
            inodes[digest] = agreed(f"$.inodes[{quoted(digest)}]", count, source)
    fs_block_size = documents[0][0].fs_block_size
    return LayersMeta(
        fs_block_size, dict(sorted(layers.items())), file_system, dict(sorted(inodes.items()))
    )


def _one(value: object, place: Place) -> LayersMeta:
    document = mapping(value, place)
    fs_block_size = integer(document, "fs_block_size", place)
    if fs_block_size == 0:
        raise place.key("fs_block_size").fault("must be positive")
    at_layers = place.key("layers")
    layers: dict[str, LayerMeta] = {}
    for digest, layer in sorted(mapping(member(document, "layers", place), at_layers).items()):
        at = at_layers.key(digest)
        if not digests.is_digest(digest):
            raise at.fault(digests.NO_DIGEST)
        figures = mapping(layer, at)
        archive_size = integer(figures, "archive_size", at) if "archive_size" in figures else None
        layers[digest] = LayerMeta(
            integer(figures, "size", at), integer(figures, "usage", at), archive_size
        )
    file_system = string(document, "file_system", place) if "file_system" in document else None
    return LayersMeta(fs_block_size, layers, file_system, read_inodes(document, place))


def read_inodes(document: dict[str, object], place: Place) -> dict[str, int]:
    """The inodes of each layer by its digest, of the document of one architecture at `place`."""
    at = place.key("inodes")
    counts = mapping(document.get("inodes", {}), at)
    for digest in counts:
        if not digests.is_digest(digest):
            raise at.key(digest).fault(digests.NO_DIGEST)
    return {digest: integer(counts, digest, at) for digest in sorted(counts)}


def _plain(meta: LayersMeta) -> dict[str, object]:
    layers: dict[str, dict[str, int]] = {}
    for digest, layer in meta.layers.items():
        layers[digest] = {"size": layer.size, "usage": layer.usage}
        if layer.archive_size is not None:
            layers[digest]["archive_size"] = layer.archive_size
    document: dict[str, object] = {"fs_block_size": meta.fs_block_size, "layers": layers}
    if meta.file_system is not None:
        document["file_system"] = meta.file_system
    if meta.inodes:
        document["inodes"] = dict(meta.inodes)
    return document


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
