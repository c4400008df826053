"""The tar scanner: one tree, however the stream is cut, and also by way of its tar-split."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from layerscan.sources.toc_zstd_chunked import _split_parts
from layerscan.tar._tar import TarFault, TarScanner
from tests.builders.tar_case import check, same
from tests.fuzz.outcome import Refused, outcome, pieces
from tests.fuzz.sealed import sealed_tar
from tests.fuzz.tables import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerscan.tar.tree import LayerTree

LONGEST = 32 * 1024

ASCII = bytes(range(0x80)) + b"?" * 0x80
"""A table that makes names good JSON; they are as they are in the tar, of whatever bytes."""


def run(data: bytes) -> None:
    data = sealed_tar(data)
    whole = outcome(lambda: scanned([data]), TarFault)
    cut = outcome(lambda: scanned(pieces(data)), TarFault)
    if isinstance(whole, Refused) or isinstance(cut, Refused):
        assert whole == cut
        return
    (tree, document, repeated), (other, *rest) = whole, cut
    check(tree)
    assert same(tree, other)
    assert rest == [document, repeated]
    again = tree_of(lambda: _split_parts(document.translate(ASCII)))
    if isinstance(again, Refused):
        # The document has the size of a sparse file with its holes, and of links the header's.
        assert "no content of that length" in again.message
        assert b"GNU.sparse." in data or lacks_content(document)
    else:
        assert same(tree, again)


def lacks_content(document: bytes) -> bool:
    """Whether an entry with a size has no content: its checksum is of the size alone."""
    found = re.findall(rb'"size":([0-9]+),"payload":"([^"]+)"', document)
    return any(base64.b64decode(one) == int(size).to_bytes(8, "big") for size, one in found)


def scanned(chunks: Iterable[bytes]) -> tuple[LayerTree, bytes, str]:
    """The tree, the tar-split, and the first path that came twice."""
    scanner = TarScanner(tar_split=True)
    document = []
    for chunk in chunks:
        scanner.feed(chunk)
        document.append(scanner.take_tar_split())
    tree = scanner.finish()
    return tree, b"".join((*document, scanner.take_tar_split())), scanner.repeated
