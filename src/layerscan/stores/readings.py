"""Reading a store that an engine works in: what is lost, and when to read again.

Owns what all stores do alike with a fault: it is told once, with the images
that are lost with it, and where something is missing the store is read again.
What such a call of `images` met, `StoreBase` keeps.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import sleep
from typing import Protocol, TypeVar

from layerscan.files.safefs import Fault
from layerscan.problem import Problem
from layerscan.stores.model import Layer

_MOST_NAMED = 3
"""Of the images lost with a file, how many its problem names."""


PAUSES = (0.05, 0.1, 0.2)
"""Seconds to wait before each further reading of a store that is changing."""


class StoreReading(Protocol):
    """One reading of a store."""

    @property
    def settled(self) -> bool:
        """False if something was missing or changed meanwhile."""

    @property
    def seen(self) -> Mapping[str, str]:
        """What to call each image that there seems to be, by what tells them apart."""

    def problems(self) -> Sequence[Problem]:
        """What could not be read, each with the images lost with it."""


R = TypeVar("R", bound=StoreReading)


class StoreBase:
    """Where a store is, and what the last call of `images` met: alike in all kinds."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._problems: tuple[Problem, ...] = ()
        self._vanished: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """Absolute path of the store's folder, symbolic links resolved."""
        return self._root

    @property
    def problems(self) -> Sequence[Problem]:
        """What the last call of `images` could not read, sorted."""
        return self._problems

    @property
    def vanished(self) -> Sequence[str]:
        """Images that were removed during the last call of `images`, sorted.

        That an engine at work removes images is no problem: they are gone.
        """
        return self._vanished

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the last call of `images`, a line each."""
        return self._notes

    def _keep(self, first: StoreReading, last: StoreReading) -> None:
        """Keep what the first and the last reading of one call of `images` met."""
        self._problems = tuple(sorted(last.problems()))
        gone = {label for key, label in first.seen.items() if key not in last.seen}
        self._vanished = tuple(sorted(gone))


def read_until_settled(read: Callable[[], R], pauses: Sequence[float]) -> tuple[R, R]:
    """Read a store, and again after each of `pauses` while it is changing.

    Returns:
        The first reading and the last, which may be the same.
    """
    with _uncollected():
        first = last = read()
        for pause in pauses:
            if last.settled:
                break
            sleep(pause)
            last = read()
    return first, last


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector of garbage from looking, again and again, for what is not there.

    A reading makes objects by the hundred thousand, none of them in a circle:
    going through them all took a fifth of its time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Losses:
    """The faults of one reading.

    Attributes:
        settled: False if something was missing or changed meanwhile, which
            another reading may mend.
    """

    def __init__(self) -> None:
        self.settled = True
        self._lost: dict[tuple[str, str], set[str]] = {}

    def note(self, fault: Fault, *, then: str = "", lost: str | None = None) -> None:
        """Keep a fault: `then` is what follows from it, `lost` the image lost with it."""
        labels = self._lost.setdefault((fault.where, fault.what + then), set())
        if lost is not None:
            labels.add(lost)
        if fault.gone:
            self.settled = False

    def problems(self) -> list[Problem]:
        """What could not be read, each with the images lost with it."""
        return [
            Problem(where, what + _left_out(lost)) for (where, what), lost in self._lost.items()
        ]


def refuse_shared_folders(layers: dict[str, Layer | Fault]) -> None:
    """Put a fault in the place of layers that name the same folder: one is a lie."""
    there = [layer for layer in layers.values() if isinstance(layer, Layer)]
    if len({layer.folder for layer in there}) == len(there):
        return
    by_folder: dict[str, list[Layer]] = defaultdict(list)
    for layer in there:
        by_folder[layer.folder].append(layer)
    for folder, sharing in by_folder.items():
        if len(sharing) > 1:
            fault = Fault(
                folder, f"is claimed by {len(sharing)} layers, {sharing[0].chain_id} first"
            )
            layers.update(dict.fromkeys((layer.chain_id for layer in sharing), fault))


def _left_out(lost: set[str]) -> str:
    return f"; left out: {some(lost)}" if lost else ""


def some(labels: Iterable[str]) -> str:
    """A few of `labels`, and how many more there are."""
    named = sorted(set(labels))
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
