"""The length of a layer's tar-split file, from what would be in it.

Docker and containers/storage keep with each layer a document from which they can
make its tar again (`_tar_split.pxd` writes it), and compress it. Docker uses Go's
own compressor, which `_goflate` follows to the byte. The other one's is not at
hand here, but two others are, and for nearly all layers what they make of such a
document tells how long the file is (docs/measurements/prediction.md): a fast one,
which reads all of it, and one that is nearer but slow, which reads samples.
"""

import math
from enum import StrEnum
from typing import Protocol
from zlib import compressobj

from layerscan.extras import needed
from layerscan.tar._goflate import GoGzipLength


class TarSplit(StrEnum):
    """How a store keeps the document."""

    NONE = "none"
    """Not at all."""
    GZIP = "gzip"
    """Go's compress/gzip, default level: Docker."""
    PGZIP = "pgzip"
    """klauspost's pgzip, best speed: containers/storage."""


class TarSplitLength(Protocol):
    """Adds up the document of one layer. Memory does not grow with it.

    The result does not depend on how the document is cut into pieces.
    """

    def add(self, document: bytes, /) -> None:
        """Add the next piece of the document."""

    def end(self) -> int:
        """Bytes of the file; to be asked once, at the end."""


def tar_split_length(kind: TarSplit) -> TarSplitLength | None:
    """What adds up the document; None if the store keeps none."""
    if kind is TarSplit.GZIP:
        return GzipLength()
    return PgzipLength() if kind is TarSplit.PGZIP else None


_MOST_COUNTED = 512 << 20
"""Bytes of a document of which the length is counted. Those of most layers have some
MiB. To search a document that was made to be slow takes as long as a minute for so much."""


class GzipLength:
    """The length of what Go's compress/gzip makes, to the byte; see `TarSplitLength`.

    What follows the first `_MOST_COUNTED` bytes counts by its length, as those do.
    """

    def __init__(self) -> None:
        self._counted = GoGzipLength()
        self._length = 0

    def add(self, document: bytes, /) -> None:
        """Add the next piece of the document."""
        left = max(_MOST_COUNTED - self._length, 0)
        self._counted.add(document if len(document) <= left else document[:left])
        self._length += len(document)

    def end(self) -> int:
        """Bytes of the file; to be asked once, at the end."""
        file = self._counted.end()
        return file * max(self._length, _MOST_COUNTED) // _MOST_COUNTED


_GZIP_FILE = 31
"""The ``wbits`` of zlib for a file with gzip's header and trailer."""

_BLOCK = 128 * 1024
_WHOLE = 8
_EVERY = 8
"""The slow compressor reads the first `_WHOLE` blocks, each of `_BLOCK` bytes, and
every eighth of the rest: a layer's entries are so alike that this tells of all."""

_SLOW_LEVEL = 3
_FACTOR = 1.004
"""By which pgzip's result is longer than the geometric mean of both."""


class _Compressor(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Measure:
    """How long what a compressor makes becomes; the output itself is of no use."""

    def __init__(self, compressor: _Compressor) -> None:
        self._compressor = compressor
        self.length = 0

    def add(self, block: memoryview) -> None:
        self.length += len(self._compressor.compress(block))

    def end(self) -> int:
        self.length += len(self._compressor.flush())
        return self.length


class PgzipLength:
    """The length of what pgzip makes at its best speed, nearly; see `TarSplitLength`."""

    def __init__(self) -> None:
        with needed("isal"):
            from isal import isal_zlib

        self._waiting = bytearray()
        self._blocks = 0
        self._all = _Measure(isal_zlib.compressobj(1, wbits=_GZIP_FILE))
        # The ratio of these two, over the same blocks, holds for all.
        self._fast = _Measure(isal_zlib.compressobj(1, wbits=_GZIP_FILE))
        self._slow = _Measure(compressobj(_SLOW_LEVEL, wbits=_GZIP_FILE))

    def add(self, document: bytes, /) -> None:
        """Add the next piece of the document."""
        self._waiting += document
        whole = len(self._waiting) // _BLOCK * _BLOCK
        with memoryview(self._waiting) as waiting:
            for start in range(0, whole, _BLOCK):
                self._add_block(waiting[start : start + _BLOCK])
        del self._waiting[:whole]

    def end(self) -> int:
        """Bytes of the file; to be asked once, at the end."""
        with memoryview(self._waiting) as rest:
            self._add_block(rest)
        ratio = self._slow.end() / self._fast.end()
        return round(self._all.end() * math.sqrt(ratio) * _FACTOR)

    def _add_block(self, block: memoryview) -> None:
        self._all.add(block)
        if self._blocks < _WHOLE or self._blocks % _EVERY == 0:
            self._fast.add(block)
            self._slow.add(block)
        self._blocks += 1
