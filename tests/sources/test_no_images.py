"""What is no image, and images whose layers nobody could unpack: one clear line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.documents import INDEX, descriptor, encoded, sha256
from tests.builders.image_archives import blob_path, index_json, layout, write_folder
from tests.builders.images import Image, Index, Layer
from tests.builders.sources_case import AMD64, BASE, fault, read_all

if TYPE_CHECKING:
    from pathlib import Path


def in_layout(image: Image | Index, tmp_path: Path) -> str:
    return f"oci:{write_folder(layout(image), tmp_path / 'a')}"


HELM = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "is encrypted"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "is encrypted"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted", "is encrypted"),
        ("application/vnd.in-toto+json", 'is of type "application/vnd.in-toto+json", no tar'),
        ("application/vnd.erofs", "no tar of files"),
    ],
)
def test_layers_that_cannot_be_unpacked(media_type: str, words: str, tmp_path: Path) -> None:
    image = Image(layers=(Layer(BASE), Layer(BASE, "", media_type)))
    message = fault(in_layout(image, tmp_path))
    assert f"layer {sha256(BASE)}: " in message
    assert words in message


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_foreign_layers(media_type: str, tmp_path: Path) -> None:
    image = Image.of(Layer(BASE, "gzip", media_type))
    files = layout(image)
    folder = write_folder(files, tmp_path / "a")
    assert len(read_all(f"oci:{folder}")) == 1
    (folder / blob_path(image.layers[0].blob)).unlink()
    message = fault(f"oci:{folder}")
    assert "is a foreign one, which is kept elsewhere" in message


def test_layers_without_a_type_are_told_by_their_bytes(tmp_path: Path) -> None:
    image = Image(layers=(Layer(BASE, "zstd", ""), Layer(BASE, "gzip", "")))
    assert len(read_all(in_layout(image, tmp_path))) == 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(config_changes={"rootfs": {"diff_ids": [sha256(b"")]}}), "1 diff_ids for 0 layers"),
        (Image(config_changes={"rootfs": {"diff_ids": ["sha256:x"]}}), "is no digest"),
        (Image(config_changes={"rootfs": None}), 'key "rootfs" is missing'),
        (Image("../x"), '"../x" is not an architecture name'),
        (
            Image(layers=(Layer(BASE, "gzip", HELM),), config_type="application/vnd.cncf.helm"),
            f'is no image: its layers are of type "{HELM}", no tars',
        ),
        (
            Image(config_type="application/vnd.oci.empty.v1+json"),
            'is no image: its config is of type "application/vnd.oci.empty.v1+json"',
        ),
        (Image(changes={"artifactType": "text/x"}), 'is an artifact of type "text/x", no image'),
        (Image(changes={"annotations": {"compose-app": "v1"}}), "is a Compose App, no image"),
        (Image(changes={"schemaVersion": 1}), "$.schemaVersion: must be 2"),
        (Image(layers=(Layer(BASE),), changes={"layers": None}), "1 diff_ids for 0 layers"),
    ],
)
def test_what_is_no_image(image: Image, words: str, tmp_path: Path) -> None:
    assert words in fault(in_layout(image, tmp_path))


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "is of Docker's schema 1"),
        ("application/vnd.example", 'is of type "application/vnd.example", no image'),
        ("", 'is of type "", no image'),
    ],
)
def test_entries_that_are_no_manifests(media_type: str, words: str, tmp_path: Path) -> None:
    files = layout(AMD64) | index_json({**AMD64.descriptor, "mediaType": media_type})
    assert words in fault(f"oci:{write_folder(files, tmp_path / 'a')}")


def test_a_layers_manifest_is_no_image(tmp_path: Path) -> None:
    document = {"schemaVersion": 2, "mediaType": INDEX, "layers": [Layer(BASE).descriptor]}
    content = encoded(document)
    files = layout() | {blob_path(content): content} | index_json(descriptor(content, INDEX))
    message = fault(f"oci:{write_folder(files, tmp_path / 'a')}")
    assert "is a layers manifest of a Compose App, no image" in message
