"""A tar-split document, as zstd:chunked layers have it: the tree of the tar that it stands for."""

from __future__ import annotations

from layerscan.sources.toc_zstd_chunked import _split_parts
from tests.fuzz.json_values import mutated
from tests.fuzz.tables import tree_of

LONGEST = 16 * 1024


def run(data: bytes) -> None:
    tree_of(lambda: _split_parts(data))


def mutate(data: bytes, seed: int) -> bytes | None:
    """One of its lines is mutated."""
    lines = data.splitlines(keepends=True) or [b""]
    which = seed // 2 % len(lines)
    line = mutated(lines[which], seed)
    return line and b"".join((*lines[:which], line, b"\n", *lines[which + 1 :]))
