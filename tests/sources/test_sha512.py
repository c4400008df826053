"""Documents and layers that are named by sha512: verified as those of sha256 are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError
from layerscan.oci.blobs import BlobFolder
from layerscan.prediction.images import predict
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.documents import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Document,
    descriptor,
    index,
    manifest,
)
from tests.builders.image_archives import index_json, write_folder
from tests.builders.images import Image, Layer
from tests.builders.tree import File, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.prediction.images import Prediction

TAR = tar_of(File("one", b"1" * 5000))
BLOB = Layer(TAR).blob


def sha512(content: bytes) -> str:
    return "sha512:" + hashlib.sha512(content).hexdigest()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "layout"
    (folder / "blobs" / "sha512").mkdir(parents=True)

    def put(content: bytes, media_type: str, **more: object) -> Document:
        digest = sha512(content)
        (folder / "blobs" / digest.replace(":", "/")).write_bytes(content)
        return descriptor(content, media_type, digest=digest, **more)

    image = Image(config_changes={"rootfs": {"diff_ids": [sha512(TAR)]}})
    raw = manifest(put(image.config, CONFIG), [put(BLOB, LAYER)])
    inner = index([put(raw, MANIFEST, platform=image.platform)])
    write_folder(index_json(put(inner, INDEX)), folder)
    return folder


def predicted(layout: Path) -> Prediction:
    with RegistryClient() as client, open_source(f"oci:{layout}", lambda: client) as source:
        return predict([source])


def test_an_image_is_read(layout: Path) -> None:
    found = predicted(layout)
    assert [*found.document().layers] == [sha512(BLOB)]
    assert found.images[0].layers[0].size == 5000
    assert BlobFolder(str(layout)).digests() >= {sha512(BLOB)}


@pytest.mark.parametrize("content", ["layer", "other"])
def test_damage_is_found(layout: Path, content: str) -> None:
    for path in (layout / "blobs" / "sha512").iterdir():
        if (path.name == sha512(BLOB)[7:]) == (content == "layer"):
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(LayerscanError, match="damaged"):
        predicted(layout)


def test_another_tar_than_the_config_says_is_found(layout: Path) -> None:
    for path in (layout / "blobs" / "sha512").iterdir():
        content = path.read_bytes()
        if b"rootfs" not in content:
            continue
        changed = content.replace(sha512(TAR).encode(), sha512(b"").encode())
        put_in_place(layout, content, changed)
    with pytest.raises(LayerscanError, match="its tar has the digest sha512:"):
        predicted(layout)


def put_in_place(layout: Path, old: bytes, new: bytes) -> None:
    """Exchange a document, and so all that lead to it."""
    (layout / "blobs" / "sha512" / sha512(new)[7:]).write_bytes(new)
    for path in [*(layout / "blobs" / "sha512").iterdir(), layout / "index.json"]:
        content = path.read_bytes()
        if sha512(old).encode() not in content:
            continue
        changed = content.replace(sha512(old).encode(), sha512(new).encode())
        if path.name == "index.json":
            path.write_bytes(changed)
        else:
            put_in_place(layout, content, changed)
