"""What skopeo copies into a folder: ``dir:``."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.documents import CONFIG, LAYER, descriptor, manifest, sha256
from tests.builders.image_archives import Files, layout, skopeo_dir, write_folder
from tests.builders.images import Image, Index
from tests.builders.sources_case import AMD64, ARM64, INDEX, fault, images, read_all

if TYPE_CHECKING:
    from pathlib import Path

LAST = AMD64.layers[1].blob


def name(content: bytes) -> str:
    return sha256(content).removeprefix("sha256:")


def written(files: Files, tmp_path: Path) -> str:
    return f"dir:{write_folder(files, tmp_path / 'dir')}"


def test_an_image(tmp_path: Path) -> None:
    files = skopeo_dir(AMD64)
    # It is its own manifest, which has no other file.
    del files[f"{name(AMD64.document)}.manifest.json"]
    text = written(files, tmp_path)
    ((image, tars),) = read_all(text)
    assert image.name == text
    assert image.image_id == sha256(AMD64.config)
    assert image.documents == (len(AMD64.config), len(AMD64.document))
    assert [layer.digest for layer in image.layers] == [one.digest for one in AMD64.layers]
    assert list(tars) == AMD64.diff_ids


def test_an_index(tmp_path: Path) -> None:
    text = written(skopeo_dir(Index((INDEX, Image("arm")))), tmp_path)
    found = read_all(text)
    assert [one.image.platform.architecture for one in found] == ["amd64", "arm64", "arm"]
    assert [list(one.tars) for one in found] == [AMD64.diff_ids, ARM64.diff_ids, []]
    outer = len(Index((INDEX, Image("arm"))).document)
    assert found[1].image.documents[1:] == (len(ARM64.document), len(INDEX.document), outer)
    (only,) = images(text, {"arm64"})
    assert only.image_id == sha256(ARM64.config)
    assert fault(text, {"riscv64"}).startswith(f"{text}: has no image for riscv64; it has: ")


def test_blobs_of_sha512(tmp_path: Path) -> None:
    layers, files = [], skopeo_dir(AMD64)
    for layer in AMD64.layers:
        digest = hashlib.sha512(layer.blob).hexdigest()
        layers.append(descriptor(layer.blob, LAYER, digest=f"sha512:{digest}"))
        files[f"sha512-{digest}"] = files.pop(name(layer.blob))
    files["manifest.json"] = manifest(descriptor(AMD64.config, CONFIG), layers)
    with open_source(written(files, tmp_path), RegistryClient) as source:
        (found,) = source.images()
        assert [layer.diff_id for layer in found.layers] == AMD64.diff_ids
        for one, expected in zip(found.layers, AMD64.layers, strict=True):
            assert one.digest.startswith("sha512:")
            with source.layer(one) as chunks:
                assert b"".join(chunks) == expected.blob


def test_a_foreign_layer_may_be_there(tmp_path: Path) -> None:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    image = Image.of(replace(AMD64.layers[0], media_type=kind))
    text = written(skopeo_dir(image), tmp_path)
    assert [list(one.tars) for one in read_all(text)] == [image.diff_ids]
    (tmp_path / "dir" / name(image.layers[0].blob)).unlink()
    assert "is a foreign one, which is kept elsewhere" in fault(text)


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("manifest.json", None, "is no folder of skopeo's: it has no manifest.json"),
        ("manifest.json", b"{", "manifest.json: is not JSON"),
        ("manifest.json", b"{}".ljust((4 << 20) + 1), "is longer than 4194304 bytes"),
        (name(AMD64.config), None, f"{name(AMD64.config)}: "),
        (name(AMD64.config), AMD64.config + b" ", "it was fetched in part, or damaged"),
        (name(LAST), None, f"{name(LAST)}: "),
        (name(LAST), LAST + b"x", f"has {len(LAST) + 1} bytes, not {len(LAST)}: it was fetched"),
        (name(LAST), bytes(len(LAST)), f"it should have the digest {sha256(LAST)}"),
    ],
)
def test_damage(tmp_path: Path, path: str, content: bytes | None, words: str) -> None:
    files = skopeo_dir(AMD64)
    del files[path]
    message = fault(written(files | ({} if content is None else {path: content}), tmp_path))
    assert words in message
    assert "did you mean" not in message


def test_a_manifest_is_not_looked_for_where_blobs_are(tmp_path: Path) -> None:
    files = skopeo_dir(INDEX)
    files[name(ARM64.document)] = files.pop(f"{name(ARM64.document)}.manifest.json")
    assert [one.platform.architecture for one in images(written(files, tmp_path))] == ["amd64"]


def test_a_layout_is_another_transport(tmp_path: Path) -> None:
    assert fault(written(layout(AMD64), tmp_path)).endswith("; did you mean oci:?")


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_folder(tmp_path: Path, is_file: bool) -> None:  # noqa: FBT001
    path = tmp_path / "a:b"
    if is_file:
        path.write_bytes(b"")
        words = f"{path}: is no folder; did you mean oci-archive:{path}?"
    else:
        words = f"{path}: there is no such folder"
    assert fault(f"dir:{path}") == words
    path.unlink(missing_ok=True)
    path.symlink_to("nowhere")
    assert fault(f"dir:{path}") == f"{path}: is no folder"
