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

RULES = 4  # raised with every change of a rule that makes the figures of any layer others

_LONGEST = 4096  # bytes of the longest file that is read
_MOST_NOTES = 10
_OTHERS = "others can write to it; only what you or root alone can write is used"


class CacheConditions(NamedTuple):
    """What the figures of a layer depend on beside the layer."""

    file_system: str  # its name, which says all that the figures depend on
    tar_split: str  # how the store keeps the file that restores the tar


class KnownLayer(NamedTuple):
    """The figures of a layer."""

    figures: LayerFigures
    is_whole: bool  # whether all of the layer was read, and not its table of contents alone
    notes: tuple[str, ...] = ()  # why an engine would refuse it, without its name


class PredictionCache:
    """The figures, of this run alone or kept in `folder`, which is made; thread-safe.

    Raises LayerscanError where it cannot be made, is none, or others may have led there.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._path = folder or ""
        self._folder: int | None = None
        self._lock = threading.Lock()
        self._notes: dict[str, str] = {}
        self._known: dict[tuple[str, str], KnownLayer] = {}
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

    def find(self, layer: SourceLayer, conditions: CacheConditions) -> KnownLayer | None:
        """The figures of `layer`, None if they are not known."""
        name = _name(layer, conditions)
        with self._lock:
            known = self._known.get((layer.diff_id, name))
        if known is None and self._folder is not None:
            known = self._load(self._folder, name, _identity(layer, conditions))
        # Who says that the blob has another length is found out by reading it.
        return known if known and known.figures.archive_size == layer.archive_size else None

    def keep(self, layer: SourceLayer, conditions: CacheConditions, known: KnownLayer) -> None:
        """Keep the figures of `layer`. A folder that cannot be written gives a note."""
        name = _name(layer, conditions)
        with self._lock:
            self._known[layer.diff_id, name] = known
        if self._folder is None:
            return
        figures = {"figures": known.figures._asdict()}
        document = _identity(layer, conditions) | known._asdict() | figures
        content = json.dumps(document, indent=2).encode() + b"\n"
        try:
            # Not synced: what a crash leaves half-written is found out when it is read.
            replace(self._folder, name, content, mode=0o644, durable=False)
        except OSError as error:
            path = printable(os.path.join(self._path, name))
            self._note("not all layers are kept", f"{path}: {error.strerror}")

    def _load(self, folder: int, name: str, identity: dict[str, object]) -> KnownLayer | None:
        path = os.path.join(self._path, name)
        try:
            return _loads(_read(folder, name, path), path, identity)
        except FileNotFoundError:
            return None
        except OSError as error:
            fault = f"{printable(path)}: {error.strerror}"
        except DocumentError as error:
            fault = str(error)
        self._note("what is there of some layers is not used", fault)
        return None

    def _note(self, outcome: str, reason: str) -> None:
        """Tell it, with the first reason."""
        with self._lock:
            self._notes.setdefault(outcome, reason)


def _name(layer: SourceLayer, conditions: CacheConditions) -> str:
    """What the file is called.

    Manifests that annotate a layer are told apart: they say which table of contents it
    has. Who lies about it must not be believed when another image with the same layer is
    asked for.
    """
    parts = [layer.digest.partition(":")[2]]
    if layer.annotations:
        annotations = json.dumps(sorted(layer.annotations.items())).encode()
        parts.append(digests.sha256(annotations).removeprefix("sha256:")[:32])
    return "-".join([*parts, *conditions, f"{RULES}.json"])


def _identity(layer: SourceLayer, conditions: CacheConditions) -> dict[str, object]:
    known = {"rules": RULES, "digest": layer.digest, "diff_id": layer.diff_id}
    return known | conditions._asdict()


def _loads(raw: bytes, source: str, identity: dict[str, object]) -> KnownLayer:
    """The figures, or a DocumentError if the file has none, or those of something else."""
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
    notes = jsondoc.strings(document, "notes", place, longest=_MOST_NOTES)
    return KnownLayer(LayerFigures(*figures), is_whole, tuple(map(printable, notes)))


def _read(folder: int, name: str, path: str) -> bytes:
    """Content of a file, which messages call `path`, of at most `_LONGEST` bytes."""
    file, found = open_regular(name, folder)
    try:
        if is_others(found):
            raise DocumentError(f"{printable(path)}: {_OTHERS}")
        raw = os.read(file, _LONGEST + 1)
    finally:
        os.close(file)
    if len(raw) > _LONGEST:
        raise DocumentError(f"{printable(path)}: is longer than {_LONGEST} bytes")
    return raw
