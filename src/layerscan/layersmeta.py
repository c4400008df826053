"""The layers metadata documents: their types, reading, writing, merging.

Alone knows their JSON ("Contract: JSON" in the design; the schemas are in
``schemas/``). It knows nothing of stores, images or walks: where the figures
come from is the caller's matter.

A reader accepts keys it does not know and refuses everything else that is not
as it should be. Each refusal is one `DocumentError` that names the document
and the JSON path of the fault.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from layerscan import digest as digests
from layerscan.errors import DocumentError

MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of the longest file that is read: some half a million layers."""

MAX_INTEGER = 2**63 - 1
"""The largest figure: what the update clients' signed 64-bit fields hold."""

_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class LayerMeta(NamedTuple):
    """What one layer costs, in bytes; the rules are those of accounting.md.

    Attributes:
        size: content of its files, without block rounding.
        usage: what it takes of the disk, with block rounding.
        archive_size: length of its compressed blob, None where it is unknown.
    """

    size: int
    usage: int
    archive_size: int | None = None


class LayersMeta(NamedTuple):
    """The layers of one architecture.

    Attributes:
        fs_block_size: block size in bytes of the file system they were
            measured on.
        layers: what each costs, by the digest of its compressed blob.
    """

    fs_block_size: int
    layers: Mapping[str, LayerMeta]


def is_architecture(text: str) -> bool:
    """Whether `text` can be a GOARCH name: ``amd64``, ``arm``, ``386``, …."""
    return _ARCHITECTURE.fullmatch(text) is not None


def loads(text: str | bytes, source: str) -> LayersMeta:
    """Read the document of one architecture.

    Args:
        text: the document; bytes must be UTF-8.
        source: what to call it in messages, a file name as a rule.

    Raises:
        DocumentError: it is malformed.
    """
    return _one(_decode(text, source), _Place(source))


def loads_by_arch(text: str | bytes, source: str) -> dict[str, LayersMeta]:
    """Read a document of several architectures; see `loads`."""
    place = _Place(source)
    document = _mapping(_decode(text, source), place)
    for architecture in document:
        if not is_architecture(architecture):
            raise place.key(architecture).fault("is no architecture name")
        if architecture in {"fs_block_size", "layers"}:
            raise place.fault("is the document of one architecture, not of several")
    return {name: _one(value, place.key(name)) for name, value in sorted(document.items())}


def load(path: str) -> LayersMeta:
    """Read the file `path`, a document of one architecture.

    Raises:
        DocumentError: the file cannot be read, is longer than `MAX_DOCUMENT`
            or is malformed.
    """
    return loads(_read(path), path)


def load_by_arch(path: str) -> dict[str, LayersMeta]:
    """Read the file `path`, a document of several architectures; see `load`."""
    return loads_by_arch(_read(path), path)


def dumps(meta: LayersMeta) -> bytes:
    """Write the document of one architecture.

    Returns:
        UTF-8 JSON, indented by two spaces for reading and comparing in a build
        log, keys sorted, ended by a newline: equal content, equal bytes.
    """
    return _encode(_plain(meta))


def dumps_by_arch(metas: Mapping[str, LayersMeta]) -> bytes:
    """Write the document of several architectures; see `dumps`."""
    return _encode({architecture: _plain(meta) for architecture, meta in metas.items()})


def merge(pairs: Iterable[tuple[str, LayersMeta, str]]) -> dict[str, LayersMeta]:
    """Put documents of one architecture together.

    Architectures may come more than once if their documents do not contradict
    each other: what each says is then united. The order of `pairs` does not
    matter, and giving a document twice changes nothing.

    Args:
        pairs: for each document its architecture, its content and what to call
            it in messages.

    Raises:
        DocumentError: an architecture's name is none, or two documents give
            different figures for the same thing.
    """
    by_arch: dict[str, list[tuple[LayersMeta, str]]] = {}
    for architecture, meta, source in pairs:
        if not is_architecture(architecture):
            raise DocumentError(
                f"{_printable(source)}: {_quoted(architecture)} is no architecture name"
            )
        by_arch.setdefault(architecture, []).append((meta, source))
    return {name: _unite(name, documents) for name, documents in sorted(by_arch.items())}


def _unite(architecture: str, documents: list[tuple[LayersMeta, str]]) -> LayersMeta:
    """One document out of several of the same architecture."""
    # For every path the figure, and the document that gave it first, which a
    # message about a contradiction must name.
    known: dict[str, tuple[int, str]] = {}

    def agreed(path: str, figure: int | None, source: str) -> int | None:
        if figure is None:
            return known[path][0] if path in known else None
        before, witness = known.setdefault(path, (figure, source))
        if before != figure:
            raise _Place(source, path).fault(
                f"{figure} contradicts {before} in {_printable(witness)}"
                f" (both are given as {architecture})"
            )
        return figure

    layers: dict[str, LayerMeta] = {}
    for meta, source in documents:
        agreed("$.fs_block_size", meta.fs_block_size, source)
        for digest, layer in meta.layers.items():
            path = f"$.layers[{_quoted(digest)}]"
            agreed(f"{path}.size", layer.size, source)
            agreed(f"{path}.usage", layer.usage, source)
            archive_size = agreed(f"{path}.archive_size", layer.archive_size, source)
            layers[digest] = LayerMeta(layer.size, layer.usage, archive_size)
    return LayersMeta(documents[0][0].fs_block_size, dict(sorted(layers.items())))


class _Place(NamedTuple):
    """A value's place: the document, and the JSON path within it."""

    source: str
    path: str = "$"

    def key(self, key: str | int) -> "_Place":
        if isinstance(key, int):
            step = f"[{key}]"
        else:
            step = f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{_quoted(key)}]"
        return _Place(self.source, self.path + step)

    def fault(self, what: str) -> DocumentError:
        return DocumentError(f"{_printable(self.source)}: {self.path}: {what}")


class _Refused(NamedTuple):
    """Stands in the decoded document where JSON was read that is refused."""

    what: str


def _decode(text: str | bytes, source: str) -> object:
    """The JSON value of `text`, of which nothing but the JSON grammar is sure."""
    refused: list[_Refused] = []

    def refuse(what: str) -> _Refused:
        refused.append(_Refused(what))
        return refused[-1]

    def to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
        document = dict(pairs)
        if len(document) == len(pairs):
            return document
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        return refuse(f"key {_quoted(twice)} is given twice")

    name = _printable(source)
    try:
        value: object = json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=to_dict,
            parse_constant=lambda constant: refuse(f"{constant} is no JSON number"),
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name}: is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{name}: is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise DocumentError(f"{name}: is nested too deeply") from None
    if refused:
        raise _fault_of_refused(value, source)
    return value


def _bounded_int(literal: str) -> int:
    # Longer literals would cost time or exceed int()'s own limit. Twenty
    # characters hold every figure allowed; what is longer is out of range
    # whatever its digits are, and all that counts is on which side.
    if len(literal) <= len(str(MAX_INTEGER)) + 1:
        return int(literal)
    return -(MAX_INTEGER + 1) if literal.startswith("-") else MAX_INTEGER + 1


def _fault_of_refused(document: object, source: str) -> DocumentError:
    """The fault of the first refused value, in document order."""
    # The path is spelt out for that one value only: a document can hold
    # millions of values at a depth of hundreds.
    steps: list[str | int] = []
    levels: list[Iterator[tuple[str | int, object]]] = [iter([("$", document)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            del steps[-1:]
            continue
        step, value = entry
        if isinstance(value, _Refused):
            place = _Place(source)
            for inner in [*steps, step][1:]:
                place = place.key(inner)
            return place.fault(value.what)
        if isinstance(value, dict | list):
            steps.append(step)
            levels.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))
    raise AssertionError("a refused value is part of the document")


def _one(value: object, place: _Place) -> LayersMeta:
    document = _mapping(value, place)
    fs_block_size = _figure(document, "fs_block_size", place)
    if fs_block_size == 0:
        raise place.key("fs_block_size").fault("must be positive")
    at_layers = place.key("layers")
    layers: dict[str, LayerMeta] = {}
    for digest, layer in sorted(_mapping(_member(document, "layers", place), at_layers).items()):
        at = at_layers.key(digest)
        if not digests.is_digest(digest):
            raise at.fault("is no digest (sha256: and 64 lower-case hex digits)")
        figures = _mapping(layer, at)
        layers[digest] = LayerMeta(
            size=_figure(figures, "size", at),
            usage=_figure(figures, "usage", at),
            archive_size=_figure(figures, "archive_size", at)
            if "archive_size" in figures
            else None,
        )
    return LayersMeta(fs_block_size, layers)


def _mapping(value: object, place: _Place) -> dict[str, object]:
    if not isinstance(value, dict):
        raise place.fault("must be an object")
    return value


def _member(document: dict[str, object], key: str, place: _Place) -> object:
    if key not in document:
        raise place.fault(f'key "{key}" is missing')
    return document[key]


def _figure(document: dict[str, object], key: str, place: _Place) -> int:
    value = _member(document, key, place)
    # JSON's true is Python's 1, and 4096.0 is no integer to the clients.
    if not isinstance(value, int) or isinstance(value, bool):
        raise place.key(key).fault("must be an integer")
    if value < 0:
        raise place.key(key).fault("must not be negative")
    if value > MAX_INTEGER:
        raise place.key(key).fault(f"must be at most {MAX_INTEGER}")
    return value


def _plain(meta: LayersMeta) -> dict[str, object]:
    layers: dict[str, dict[str, int]] = {}
    for digest, layer in meta.layers.items():
        layers[digest] = {"size": layer.size, "usage": layer.usage}
        if layer.archive_size is not None:
            layers[digest]["archive_size"] = layer.archive_size
    return {"fs_block_size": meta.fs_block_size, "layers": layers}


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def _read(path: str) -> bytes:
    """Content of the file `path`, never more than `MAX_DOCUMENT` bytes of it."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_DOCUMENT + 1)
    except (OSError, ValueError) as error:
        # A path with a NUL character is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DocumentError(f"{_printable(path)}: cannot be read: {reason}") from None
    if len(content) > MAX_DOCUMENT:
        raise DocumentError(f"{_printable(path)}: is longer than {MAX_DOCUMENT} bytes")
    return content


def _quoted(text: str) -> str:
    """`text` as a JSON string for a message: bounded, ASCII, on one line."""
    longest = 100
    return json.dumps(text if len(text) <= longest else text[:longest] + "…")


def _printable(source: str) -> str:
    """A file's name for a message: on one line whatever is in it."""
    return source if source.isprintable() else repr(source)
