"""Figures of layers that were read before, in memory and in a folder: a file each.

Owns the files. A layer is known by its digest, its diff_id and all that its
figures depend on, so what is there stays right for ever. Several processes may
use a folder at a time. What is damaged, foreign, or can be written by others counts as
not there: figures decide whether an update fits.
"""

import json
import os
import threading
import weakref
from collections.abc import Iterator
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError, LayerscanError
from layerscan.files.safefs import open_regular
from layerscan.files.writing import is_others, open_folder, replace
from layerscan.jsondoc import Place
from layerscan.prediction.stores.model import LayerFigures
from layerscan.sources.model import SourceLayer
from layerscan.text import printable

RULES = 4
"""Raised with every change of a rule that makes the figures of any layer others."""

_LONGEST = 4096
"""Bytes of the longest file that is read."""

_MOST_NOTES = 10
_OTHERS = "others can write to it; only what you or root alone can write is used"


class CacheConditions(NamedTuple):
    """What the figures of a layer depend on beside the layer.

    Attributes:
        file_system: its name, which says all that the figures depend on.
        tar_split: how the store keeps the file that restores the tar, ``none``
            where it keeps none.
    """

    file_system: str
    tar_split: str


class KnownLayer(NamedTuple):
    """The figures of a layer.

    Attributes:
        figures: the figures.
        is_whole: whether all of the layer was read, and not its table of
            contents alone.
        notes: why an engine would refuse it, each a message without its name.
    """

    figures: LayerFigures
    is_whole: bool
    notes: tuple[str, ...] = ()


class PredictionCache:
    """The figures; thread-safe.

    Args:
        folder: made if it is not there; None for those of this run alone.

    Raises:
        LayerscanError: the folder cannot be made, is none, or others may have led there.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._path = folder
        self._folder: int | None = None
        self._lock = threading.Lock()
        self._notes: dict[str, str] = {}
        self._known: dict[tuple[str, ...], KnownLayer] = {}
        if folder is None:
            return
        try:
            opened = open_folder(folder)
        except (OSError, ValueError) as error:
            # A path with a NUL character is a ValueError.
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise LayerscanError(
                f"--cache {printable(folder)}: the folder cannot be made: {reason}"
            ) from None
        weakref.finalize(self, os.close, opened)
        if is_others(os.fstat(opened)):
            self._note("the folder is not used", f"{printable(folder)}: {_OTHERS}")
        else:
            self._folder = opened

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the folder: at most a line on reading, one on writing."""
        with self._lock:
            return tuple(f"--cache: {outcome}: {why}" for outcome, why in self._notes.items())

    def find(self, layer: SourceLayer, circumstances: CacheConditions) -> KnownLayer | None:
        """The figures of `layer`, None if they are not known."""
        with self._lock:
            known = self._known.get(_key(layer, circumstances))
        if known is None and self._folder is not None:
            name = _name(layer, circumstances)
            known = self._load(self._folder, name, _identity(layer, circumstances))
        # Who says that the blob has another length is found out by reading it.
        return known if known and known.figures.archive_size == layer.archive_size else None

    def keep(self, layer: SourceLayer, circumstances: CacheConditions, known: KnownLayer) -> None:
        """Keep the figures of `layer`. A folder that cannot be written gives a note."""
        with self._lock:
            self._known[_key(layer, circumstances)] = known
        if self._folder is not None:
            content = _dumps(_identity(layer, circumstances), known)
            self._save(self._folder, _name(layer, circumstances), content)

    def _load(self, folder: int, name: str, identity: dict[str, object]) -> KnownLayer | None:
        path = self._path_of(name)
        try:
            raw = _read(folder, name, path)
            return None if raw is None else _loads(raw, path, identity)
        except OSError as error:
            fault = f"{printable(path)}: {error.strerror}"
        except DocumentError as error:
            fault = str(error)
        self._note("what is there of some layers is not used", fault)
        return None

    def _save(self, folder: int, name: str, content: bytes) -> None:
        try:
            # Not synced: what a crash leaves half-written is found out when it is read.
            replace(folder, name, content, mode=0o644, durable=False)
        except OSError as error:
            path = printable(self._path_of(name))
            self._note("not all layers are kept", f"{path}: {error.strerror}")

    def _path_of(self, name: str) -> str:
        """What to call a file in messages."""
        return os.path.join(self._path or "", name)

    def _note(self, outcome: str, reason: str) -> None:
        """Tell it, with the first reason."""
        with self._lock:
            self._notes.setdefault(outcome, reason)


def _key(layer: SourceLayer, circumstances: CacheConditions) -> tuple[str, ...]:
    return (layer.diff_id, _name(layer, circumstances))


def _name(layer: SourceLayer, circumstances: CacheConditions) -> str:
    """What the file is called."""
    digest = layer.digest.partition(":")[2]
    return "-".join((digest, *_annotated(layer), *map(str, circumstances), f"{RULES}.json"))


def _annotated(layer: SourceLayer) -> tuple[str, ...]:
    """What tells apart the manifests that annotate a layer, empty for those that do not.

    They say which table of contents the layer has. Who lies about it must not be
    believed when another image with the same layer is asked for.
    """
    if not layer.annotations:
        return ()
    annotations = json.dumps(sorted(layer.annotations.items())).encode()
    return (digests.sha256(annotations).removeprefix("sha256:")[:32],)


def _identity(layer: SourceLayer, circumstances: CacheConditions) -> dict[str, object]:
    return {
        "rules": RULES,
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        **circumstances._asdict(),
    }


def _dumps(identity: dict[str, object], known: KnownLayer) -> bytes:
    document = {**identity, **known._asdict(), "figures": known.figures._asdict()}
    return json.dumps(document, indent=2).encode() + b"\n"


def _loads(raw: bytes, source: str, identity: dict[str, object]) -> KnownLayer:
    """The figures.

    Raises:
        DocumentError: the file has none of these, or those of something else.
    """
    place = Place(source)
    document = jsondoc.mapping(jsondoc.decode(raw, source), place)
    for key, value in identity.items():
        if jsondoc.member(document, key, place) != value:
            raise place.key(key).fault("is not that of the layer that the file is named after")
    at = place.key("figures")
    given = jsondoc.mapping(jsondoc.member(document, "figures", place), at)
    figures = [
        # What a file system's model takes back of the blocks that it counts is below zero.
        jsondoc.integer(given, key, at, signed=key == "overhead")
        for key in LayerFigures._fields
    ]
    is_whole = jsondoc.member(document, "is_whole", place)
    if not isinstance(is_whole, bool):
        raise place.key("is_whole").fault("must be true or false")
    return KnownLayer(LayerFigures(*figures), is_whole, tuple(_notes(document, place)))


def _notes(document: dict[str, object], place: Place) -> Iterator[str]:
    at = place.key("notes")
    value = jsondoc.member(document, "notes", place)
    for number, note in enumerate(jsondoc.array(value, at, longest=_MOST_NOTES)):
        if not isinstance(note, str):
            raise at.key(number).fault("must be a string")
        yield printable(note)


def _read(folder: int, name: str, path: str) -> bytes | None:
    """Content of a file, which messages call `path`; None if there is none.

    Raises:
        DocumentError: it is too long, or others can have written it.
        OSError: it cannot be read, or is no regular file.
    """
    try:
        file, found = open_regular(name, folder)
    except FileNotFoundError:
        return None
    try:
        if is_others(found):
            raise DocumentError(f"{printable(path)}: {_OTHERS}")
        raw = os.read(file, _LONGEST + 1)
    finally:
        os.close(file)
    if len(raw) > _LONGEST:
        raise DocumentError(f"{printable(path)}: is longer than {_LONGEST} bytes")
    return raw
