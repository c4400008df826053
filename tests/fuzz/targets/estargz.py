"""The end of an eStargz layer: its footer, and the file that has the table. Not packed here."""

from __future__ import annotations

from unittest.mock import patch

from layerscan.sources import toc_estargz, toc_zstd_chunked
from layerscan.sources.toc import TableFault, table_of_contents
from tests.builders.chunked import TOC_DIGEST, Blobs, Chunked
from tests.builders.documents import sha256
from tests.fuzz.outcome import Refused, outcome
from tests.fuzz.tables import tree_of

LONGEST = 16 * 1024


def run(data: bytes) -> None:
    read_as(Chunked(b"", ready=data, annotations={TOC_DIGEST: sha256(b"")}))


def read_as(layer: Chunked) -> None:
    """Read the table of a layer. All digests are right: a fuzzer would hit none."""
    with (
        patch.object(toc_estargz, "of_content", lambda _, digest: digest),
        patch.object(toc_zstd_chunked, "of_content", lambda _, digest: digest),
    ):
        table = outcome(lambda: table_of_contents(Blobs.of(layer), layer.layer), TableFault)
        assert table is not None
        if not isinstance(table, Refused):
            tree_of(table.make)
