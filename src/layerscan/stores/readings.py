"""Reading a store that an engine works in: what is lost, and when to read again.

Owns what all stores do alike with a fault: it is told once, with the images
that are lost with it, and where something is missing the store is read again.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import sleep
from typing import TypeVar

from layerscan import oci
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, or_fault
from layerscan.oci.platforms import is_plain
from layerscan.problem import Problem
from layerscan.reference import Reference, parse
from layerscan.stores.collector import uncollected
from layerscan.stores.engine_files import document_fault, store_error
from layerscan.stores.model import Image, Layer
from layerscan.text import shown

LayerPosition = tuple[str | None, str]
"""What a chain_id stands for: that of the layer beneath, None at the bottom, and the diff_id."""

_MOST_LAYERS = 1000
"""The kernel stacks at most 500 (overlayfs, OVL_MAX_STACK), Docker 125 (moby, maxLayerDepth)."""

_MOST_NAMED = 3
"""Of the images lost with a file, how many its problem names."""

PAUSES = (0.05, 0.1, 0.2)
"""Seconds to wait before each further reading of a store that is changing."""


class Reading:
    """What one reading of a store found, and the faults that it met.

    Attributes:
        images: the images that could be read whole, sorted by image id.
        seen: what to call each image that there seems to be, read or not, by its own key.
        notes: what the user should know, a line each.
        settled: False if something was missing or changed, which another reading may mend.
    """

    def __init__(self) -> None:
        self.images: list[Image] = []
        self.seen: dict[str, str] = {}
        self.notes: list[str] = []
        self.settled = True
        self._lost: dict[tuple[str, str], set[str]] = {}

    def problems(self) -> list[Problem]:
        """What could not be read, each with the images lost with it."""
        return [
            Problem(where, what + (f"; left out: {some(lost)}" if lost else ""))
            for (where, what), lost in self._lost.items()
        ]

    def _note(self, fault: Fault, *lost: str, then: str = "") -> None:
        """Keep a fault: `then` is what follows from it, `lost` the images lost with it."""
        self._lost.setdefault((fault.where, fault.what + then), set()).update(lost)
        if fault.gone:
            self.settled = False

    def _whole(self, stack: Sequence[Layer | Fault], *labels: str) -> tuple[Layer, ...] | None:
        """An image's layers; None if one cannot be read, and the image is lost with it."""
        for layer in stack:
            if isinstance(layer, Fault):
                self._note(layer, *labels)
        whole = tuple(layer for layer in stack if isinstance(layer, Layer))
        return whole if len(whole) == len(stack) else None


R = TypeVar("R", bound=Reading)


class StoreBase:
    """What all stores have of `layerscan.stores.model.Store`.

    On construction a store is opened, or it is a `StoreError`; every call of `images` reads
    it anew. Nothing stays open between calls. The folder that the user named may be a
    symbolic link, inside it none is followed. If it is to be `exact`, the `exact_paths` of
    layers and images are found, too: about twice the system calls.
    """

    kind: str  # each store's own

    def __init__(self, root: str, layers: str) -> None:
        self.root = root
        self.layers_root = os.path.join(root, layers)
        self.problems: Sequence[Problem] = ()
        self.vanished: Sequence[str] = ()
        self.unused = ""
        self._noted: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"<{self.kind} store at {self.root!r}>"

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the last call of `images`, a line each."""
        if not self.unused:
            return self._noted
        return (f"{self.root}: its engine does not use this store: {self.unused}", *self._noted)

    def _settled(self, read: Callable[[], R]) -> R:
        """The last reading of the store: again after each of `PAUSES` while it is changing.

        While an engine is at work, records and files vanish under the reader. What
        still does not fit in the last reading is a problem.
        """
        with uncollected(), store_error():
            first = last = read()
            for pause in PAUSES:
                if last.settled:
                    break
                sleep(pause)
                last = read()
        self.problems = tuple(sorted(last.problems()))
        # That an engine at work removes images is no problem: they are gone.
        gone = {label for key, label in first.seen.items() if key not in last.seen}
        self.vanished = tuple(sorted(gone))
        self._noted = tuple(last.notes)
        return last


def read_layers(
    wanted: Mapping[str, LayerPosition],
    read: Callable[[str, str | None, str], Layer],
    exact_paths: Callable[[Layer], tuple[str, ...]] | None,
) -> dict[str, Layer | Fault]:
    """The layers by their chain_ids; in place of one that cannot be read, the reason."""
    layers = {chain: or_fault(read, chain, *position) for chain, position in wanted.items()}
    by_folder: dict[str, list[str]] = defaultdict(list)
    for chain, layer in layers.items():
        if isinstance(layer, Layer):
            by_folder[layer.folder].append(chain)
    for folder, sharing in by_folder.items():
        if len(sharing) > 1:
            # One of them is a lie.
            what = f"is claimed by {len(sharing)} layers, {sharing[0]} first"
            layers.update(dict.fromkeys(sharing, Fault(folder, what)))
    for chain, layer in layers.items():
        if exact_paths is not None and isinstance(layer, Layer):
            paths = or_fault(exact_paths, layer)
            layers[chain] = paths if isinstance(paths, Fault) else layer._replace(exact_paths=paths)
    return layers


def image_config(raw: bytes, where: str) -> oci.Config:
    """The image config `raw`, which is at `where`; a `Fault` if it is none, or of no real image."""
    with document_fault(where):
        config = oci.loads_config(raw, where)
    if not is_plain(config.platform):
        raise Fault(where, "is no image config: its platform is no plain text")
    if len(config.diff_ids) > _MOST_LAYERS:
        raise Fault(where, f"is no image config: it has {len(config.diff_ids)} layers")
    return config


def full_name(text: str) -> Reference:
    """The image name `text`; a ReferenceSyntaxError if it is none, or has no tag or digest."""
    name = parse(text, default_tag=False)
    if name.tag is None and name.digest is None:
        raise ReferenceSyntaxError(f"the name {shown(text)} has neither tag nor digest")
    return name


def image_label(names: Sequence[Reference], nameless: str) -> str:
    """What to call an image with these names: by a tag, if it has one."""
    if not names:
        return nameless
    return next((name for name in names if name.tag), names[0]).familiar


def some(labels: Iterable[str]) -> str:
    """A few of `labels`, and how many more there are."""
    named = sorted(set(labels))
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
