"""The length of a layer's tar-split file, from what would be in it.

Docker and containers/storage keep with each layer a document from which they can
make its tar again (`_split.pxd` writes what matters of it), and compress it. Their
compressors are not at hand here. What zlib makes of the document, and a factor for
each of them, is near enough: docs/measurements/prediction.md has
the measurements.
"""

from enum import StrEnum
from zlib import compressobj


class TarSplit(StrEnum):
    """How a store keeps the document."""

    NONE = "none"
    """Not at all."""
    GZIP = "gzip"
    """Go's compress/gzip, default level: Docker."""
    PGZIP = "pgzip"
    """klauspost's pgzip, best speed: containers/storage."""


_LIKE = {TarSplit.GZIP: (6, 0.9945, 16), TarSplit.PGZIP: (2, 0.946, 28)}
"""What is like a store's compressor: a level of zlib, its length times a factor, and more.

More is for short documents: both compressors end with an empty block, and most
documents with a line about nothing.
"""

_GZIP_FILE = 31  # the wbits of zlib for a file with gzip's header and trailer
_MOST_COUNTED = 512 << 20
"""Bytes of a document of which the length is counted. Those of most layers have some
MiB. To search a document that was made to be slow takes as long as a minute for so much."""


class TarSplitLength:
    """Adds up the document of one layer. Memory does not grow with it.

    The result does not depend on how the document is cut into pieces. What follows
    the first `_MOST_COUNTED` bytes counts by its length, as those do.
    """

    def __init__(self, kind: TarSplit) -> None:
        level, self._factor, self._more = _LIKE[kind]
        self._compressor = compressobj(level, wbits=_GZIP_FILE)
        self._length = 0
        self._packed = 0

    def add(self, document: bytes, /) -> None:
        """Add the next piece of the document."""
        left = max(_MOST_COUNTED - self._length, 0)
        self._packed += len(self._compressor.compress(document[:left]))
        self._length += len(document)

    def end(self) -> int:
        """Bytes of the file; to be asked once, at the end."""
        packed = self._packed + len(self._compressor.flush())
        all_of_it = packed * max(self._length / _MOST_COUNTED, 1)
        return round(all_of_it * self._factor) + self._more
