"""Packed data: the same tar however the blob is cut, in pieces of a bounded length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerscan.errors import SourceError
from layerscan.sources.decompress import PIECE, _begins_zstd, decompressed
from tests.fuzz.outcome import Refused, outcome, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 16 * 1024

LIMIT = 1 << 22


def run(data: bytes) -> None:
    whole = outcome(lambda: unpacked([data]), SourceError)
    cut = outcome(lambda: unpacked(pieces(data)), SourceError)
    if isinstance(whole, Refused) or isinstance(cut, Refused):
        # libzstd holds the content's size against a frame that ends with an empty block
        # only if it has all of it at once.
        assert isinstance(whole, Refused) == isinstance(cut, Refused) or _begins_zstd(data)
    else:
        assert whole == cut


def unpacked(chunks: Iterable[bytes]) -> bytes:
    found = list(decompressed(iter(chunks), limit=LIMIT))
    assert all(0 < len(piece) <= PIECE for piece in found)
    return b"".join(found)
