"""A zstd:chunked layer: annotations, a line each, an empty line, and the blob. Not packed here."""

from __future__ import annotations

from tests.builders.chunked import PREFIX, Chunked
from tests.builders.documents import sha256
from tests.fuzz.targets.estargz import read_as

LONGEST = 16 * 1024


def run(data: bytes) -> None:
    head, _, blob = data.partition(b"\n\n")
    lines = [line.partition(" ") for line in head.decode(errors="replace").split("\n")]
    annotations = {"manifest-checksum": sha256(b"")} | {key: value for key, _, value in lines}
    prefixed = {PREFIX + key: value for key, value in annotations.items()}
    read_as(Chunked(b"", ready=blob, annotations=prefixed))
