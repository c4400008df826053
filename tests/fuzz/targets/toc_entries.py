"""The JSON of a table of contents, eStargz's and zstd:chunked's: the tree that it makes."""

from __future__ import annotations

from layerscan.sources.toc_zstd_chunked import _rebuilt
from tests.fuzz.json_values import mutated
from tests.fuzz.tables import tree_of

mutate = mutated
LONGEST = 16 * 1024


def run(data: bytes) -> None:
    tree_of(lambda: _rebuilt(data))
