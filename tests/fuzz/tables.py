"""What the stream of a table of contents makes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from layerscan.prediction.stream import read_table
from layerscan.sources.toc_model import Part, TableFault, TableOfContents
from layerscan.tar.tarsplit import TarSplit
from tests.builders.tar_case import check
from tests.fuzz.outcome import Refused, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerscan.tar.tree import LayerTree


def tree_of(make: Callable[[], Iterator[Part]]) -> LayerTree | Refused:
    """The tree of the stream that `make` gives."""
    table = TableOfContents(is_exact=False, make=make)
    never = threading.Event()
    found = outcome(lambda: read_table(table, tar_split=TarSplit.NONE, cancel=never), TableFault)
    if isinstance(found, Refused):
        return found
    check(found.tree)
    return found.tree
