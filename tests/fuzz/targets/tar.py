"""The tar scanner: one tree, however the stream is cut, and also by way of its tar-split."""

from __future__ import annotations

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

NO_CONTENT = b'"payload":"AAAAAAAAAAA="'
"""The checksum of no bytes, in the document of an entry that has a size."""


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
    again = tree_of(lambda: _split_parts(document))
    if isinstance(again, Refused):
        # The document has the size of a sparse file with its holes, and of links the header's.
        assert "no content of that length" in again.message
        assert b"GNU.sparse." in data or NO_CONTENT in document
    else:
        assert same(tree, again)


def scanned(chunks: Iterable[bytes]) -> tuple[LayerTree, bytes, str]:
    """The tree, the tar-split, and the first path that came twice."""
    scanner = TarScanner(tar_split=True)
    document = []
    for chunk in chunks:
        scanner.feed(chunk)
        document.append(scanner.take_tar_split())
    tree = scanner.finish()
    return tree, b"".join((*document, scanner.take_tar_split())), scanner.repeated
