"""What the tests of sources share: opening them, and reading all that they give."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerscan.errors import LayerscanError
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from layerscan.sources.decompress import decompressed
from tests.builders.documents import sha256
from tests.builders.image_archives import Files, write_tar
from tests.builders.images import Image, Index, attestation
from tests.builders.tree import File, tar_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from layerscan.sources import Source, SourceImage, SourceLayer

BASE = tar_of(File("base", b"of both" * 50))
AMD64 = Image.of(BASE, tar_of(File("one", b"1" * 2000)))
ARM64 = Image.of(BASE, tar_of(File("one", b"2" * 3000)), platform="arm64")
INDEX = Index((AMD64, attestation(AMD64), ARM64, attestation(ARM64).descriptor))


class Found(NamedTuple):
    """An image, and what its layers turned out to be when they were read."""

    image: SourceImage
    tars: tuple[str, ...]


def images(text: str, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        return source.images(architectures)


def read_all(text: str, architectures: Collection[str] | None = None) -> list[Found]:
    """Its images, all of whose layers are read to the end and unpacked."""
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        return [
            Found(image, tuple(unpacked_digest(source, layer) for layer in image.layers))
            for image in source.images(architectures)
        ]


def unpacked_digest(source: Source, layer: SourceLayer) -> str:
    computed = hashlib.sha256()
    length = 0
    with source.layer(layer) as chunks:
        blob = list(chunks)
        length = sum(map(len, blob))
        for piece in decompressed(iter(blob), limit=1 << 30):
            computed.update(piece)
    assert length == layer.archive_size
    assert sha256(b"".join(blob)) == layer.digest
    return f"sha256:{computed.hexdigest()}"


def fault(text: str, architectures: Collection[str] | None = None) -> str:
    """The error of a source, of which everything is read: one printable line."""
    with pytest.raises(LayerscanError) as caught:
        read_all(text, architectures)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    return message


def saved(tmp_path: Path, files: Files, packed: str = "") -> str:
    return f"docker-archive:{write_tar(files, tmp_path / 'saved.tar', packed)}"
