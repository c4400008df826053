"""What the tests of tables of contents share: trees, from a table and from the whole."""

import json
import re
from collections.abc import Iterable
from typing import Any

from layerscan.sources.decompress import decompressed
from layerscan.sources.toc import Content, table_of_contents
from layerscan.tar._tar import TarFault, TarScanner
from tests.builders.chunked import Blobs, Chunked

Tree = tuple[list[Any], ...]


def scanned(parts: Iterable[bytes | Content], *, tar_split: bool = True) -> tuple[Tree, bytes]:
    """The tree that a tar makes, as lists, and its tar-split, for which no path may come twice."""
    scanner = TarScanner(tar_split=tar_split)
    for part in parts:
        if isinstance(part, Content):
            scanner.skip(part.length, checksum=part.checksum)
        else:
            scanner.feed(part)
    tree = scanner.finish()
    return tuple(column.tolist() for column in tree), scanner.take_tar_split()


def checksums(document: bytes) -> list[str]:
    """Those of all files with content, in the order of a tar-split document."""
    # Names are as they are in the tar, of whatever bytes.
    lines = (json.loads(line.decode("latin-1")) for line in document.split(b"\n")[:-1])
    return [line["payload"] for line in lines if line["type"] == 1 and line["payload"]]


def without_checksums(document: bytes) -> bytes:
    """A tar-split document with the same in place of each checksum."""
    return re.sub(rb'"payload":"[^"]{11}=",', b"", document)


def repeats(document: bytes) -> list[int]:
    """For each of `checksums`, which of them is the first like it."""
    found = checksums(document)
    first: dict[str, int] = {}
    return [first.setdefault(one, number) for number, one in enumerate(found)]


def of_the_whole(layer: Chunked) -> Tree | str:
    """The tree of all of the blob, or that it is refused."""
    try:
        blob = decompressed(iter([layer.blob]), limit=1 << 40)
        return scanned(blob, tar_split=False)[0]
    except TarFault:
        return "refused"


def of_the_table(layer: Chunked) -> Tree | str:
    """The tree of the layer's table of contents, or that it is refused."""
    table = table_of_contents(Blobs.of(layer), layer.layer)
    assert table is not None
    try:
        return scanned(table.parts(), tar_split=False)[0]
    except TarFault:
        return "refused"
