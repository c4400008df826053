"""What a table of contents is to the rest: a layer's tar stream without the files' content.

Owns the types, and how parts of a blob are asked for. What the tables look like,
`toc_estargz` and `toc_zstd_chunked` know.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from layerscan.errors import LayerscanError, NotInRegistryError, RegistryError
from layerscan.sources.decompress import decompressed
from layerscan.sources.model import Source, SourceLayer

NAME = "the table of contents"  # what it is called in messages
MAX_TABLE = 64 * 1024 * 1024  # bytes of the longest table that is read, packed and unpacked

MAX_CONTENT = 2**60
"""Bytes of all files of a layer: more than any disk has, and sums of it are no trouble."""


class Content(NamedTuple):
    """Content of a file, in whose place nothing is there."""

    length: int  # bytes
    checksum: int | None = None  # 64 bits that equal contents have in common


Part = bytes | Content
"""Bytes of a tar stream, or what follows of it that is not there."""


class TableFault(Exception):  # noqa: N818
    """A layer's table of contents is not what it must be: the layer has to be read."""


class TableOfContents(NamedTuple):
    """All of a layer's tar stream but what is in its files.

    Where it is not exact, headers and checksums are made anew: the same tree, but other bytes
    here and there. `make` is the stream, as `parts` gives it; from it come other errors, too.
    """

    is_exact: bool
    make: Callable[[], Iterator[Part]]

    def parts(self) -> Iterator[Part]:
        """The stream, for a scanner: `feed` it with bytes, let it `skip` `Content`.

        A TableFault from it, or what the scanner refuses, makes what was read useless.
        """
        content = 0
        with as_fault():
            for part in self.make():
                if isinstance(part, Content):
                    content += part.length
                    if content > MAX_CONTENT:
                        raise TableFault(f"{NAME} has files of more than {MAX_CONTENT} bytes")
                yield part


@contextmanager
def as_fault() -> Iterator[None]:
    """What is wrong with a document in this block is a `TableFault`, and ends nothing."""
    try:
        yield
    except LayerscanError as error:
        raise TableFault(str(error)) from None


def section(source: Source, layer: SourceLayer, offset: int, length: int) -> bytes | None:
    """Exactly `length` bytes of a layer's blob from `offset` on, None as `Source.section`."""
    if length > MAX_TABLE:
        raise TableFault(f"{NAME} has {length} bytes; only {MAX_TABLE} are read")
    if length < 1 or offset + length > layer.archive_size:
        raise TableFault(f"{NAME} is said to be beyond the layer's end")
    try:
        found = source.section(layer, offset, length)
    except NotInRegistryError:
        raise
    except RegistryError as error:
        # What serves parts badly may serve the whole well.
        raise TableFault(str(error)) from None
    if found is not None and len(found) != length:
        raise TableFault(f"{length} bytes of the layer were asked for, {len(found)} came")
    return found


def unpacked(packed: bytes, *, limit: int, name: str) -> Iterator[bytes]:
    """What `packed`, which is called `name`, unpacks to: at most `limit` bytes."""
    length = 0
    for piece in decompressed(iter([packed]), limit=sys.maxsize, where=name):
        length += len(piece)
        if length > limit:
            raise TableFault(f"{name} has more than {limit} bytes, unpacked")
        yield piece
