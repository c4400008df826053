"""Documents and layers that are named by sha512: verified as those of sha256 are."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.errors import LayerscanError
from layerscan.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from layerscan.oci.blobs import BlobFolder
from layerscan.prediction.images import predict
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.image_archives import encoded, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.prediction.images import Prediction

TAR = tar_of(one=b"1" * 5000)
LAYER = gzip.compress(TAR, mtime=0)


def sha512(content: bytes) -> str:
    return "sha512:" + hashlib.sha512(content).hexdigest()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "layout"
    (folder / "blobs" / "sha512").mkdir(parents=True)

    def put(content: bytes, media_type: str) -> dict[str, Any]:
        digest = sha512(content)
        (folder / "blobs" / digest.replace(":", "/")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    platform = {"architecture": "amd64", "os": "linux"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": put(encoded({**platform, "rootfs": {"diff_ids": [sha512(TAR)]}}), OCI_CONFIG),
        "layers": [put(LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = put(encoded(manifest), OCI_MANIFEST) | {"platform": platform}
    index = put(
        encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}), OCI_INDEX
    )
    (folder / "index.json").write_bytes(encoded({"schemaVersion": 2, "manifests": [index]}))
    return folder


def predicted(layout: Path) -> Prediction:
    with RegistryClient() as client, open_source(f"oci:{layout}", lambda: client) as source:
        return predict([source])


def test_an_image_is_read(layout: Path) -> None:
    found = predicted(layout)
    assert [*found.document().layers] == [sha512(LAYER)]
    assert found.images[0].layers[0].size == 5000
    assert BlobFolder(str(layout)).digests() >= {sha512(LAYER)}


@pytest.mark.parametrize("content", ["layer", "other"])
def test_damage_is_found(layout: Path, content: str) -> None:
    for path in (layout / "blobs" / "sha512").iterdir():
        if (path.name == sha512(LAYER)[7:]) == (content == "layer"):
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
