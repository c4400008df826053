"""The report of ``inspect``, line by line and field by field."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.cli.inspect_report import compression
from layerscan.digest import sha256
from layerscan.oci import OCI_INDEX, OCI_MANIFEST
from tests.builders.documents import TAR, descriptor
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.published_apps import WEB, AppBuilder
from tests.cli_runner import run_here

if TYPE_CHECKING:
    from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("docker_config")

LOW, HIGH = sorted([sha256(b"one"), sha256(b"two")])
BOTTOM, TOP = Layer(bytes(1000), ""), Layer(bytes(2000), "")
IMAGE = Image.of(BOTTOM, TOP, platform="arm/v7")
SILENT = replace(
    attestation(IMAGE), annotations={"vnd.docker.reference.type": "attestation-manifest"}
)
OTHER = descriptor(b"x", "a/" + "b" * 99)


def lines(registry: OpenRegistry, name: str) -> list[str]:
    """The lines of the report, with one blank between columns."""
    result = run_here("inspect", f"{registry.address}/{name}")
    assert (result.status, result.lines) == (0, [])
    return [" ".join(line.split()) for line in result.text.splitlines()]


def short(digest: str) -> str:
    return digest[7:19]


def test_an_app_line_by_line(open_registry: OpenRegistry) -> None:
    figures = {
        LOW: {"size": 1000, "usage": 4096, "archive_size": 400},
        HIGH: {"size": 2048, "usage": 8192, "archive_size": 1024},
    }
    unknown = {sha256(b"arm"): {"size": 10, "usage": 512}}
    app = AppBuilder(metadata={"arm": unknown, "amd64": figures})
    raw = app.put(open_registry)
    bundle, metadata = json.loads(raw)["layers"]
    assert lines(open_registry, "fleet/shop:1") == [
        f"{open_registry.address}/fleet/shop:1: app, {len(raw):,} bytes",
        f"{sha256(raw)} {OCI_MANIFEST}",
        "",
        "SIZE DOCUMENT DIGEST",
        f"{bundle['size']} B bundle {bundle['digest']}",
        f"{metadata['size']} B layers metadata {metadata['digest']}",
        "",
        "SERVICE IMAGE",
        f"web {WEB}",
        "",
        "SIZE MODE KIND FILE",
        "126 B 0644 file docker-compose.yml",
        "10 B 0755 file start.sh",
        "0 B 0777 symlink latest -> start.sh",
        "",
        "SIZE USAGE ARCHIVE RATIO ARCH LAYER",
        f"2.0 KiB 8.0 KiB 1.0 KiB 2.00 amd64 {short(HIGH)}",
        f"1000 B 4.0 KiB 400 B 2.50 amd64 {short(LOW)}",
        f"10 B 512 B arm {short(sha256(b'arm'))}",
        "",
        "SIZE USAGE ARCHIVE RATIO LAYERS ARCH",
        "3.0 KiB 12.0 KiB 1.4 KiB 2.14 2 amd64",
        "10 B 512 B 1 arm",
        "",
    ]


def test_the_layers_manifests_of_an_app_are_sorted(open_registry: OpenRegistry) -> None:
    layer = {LOW: {"size": 1000, "usage": 4096, "archive_size": 400}}
    AppBuilder(metadata={"arm": layer, "amd64": layer}, with_layers_manifests=True).put(
        open_registry
    )
    names = [line.split(" B ")[1] for line in lines(open_registry, "fleet/shop:1")[4:8]]
    assert [name.partition(" sha256:")[0] for name in names] == [
        "bundle",
        "layers metadata",
        "layers manifest amd64",
        "layers manifest arm",
    ]


TABLES = [
    "ARCHIVE LAYERS MANIFEST IMAGE ID PLATFORM",
    f"2.9 KiB 2 {short(IMAGE.digest)} {short(sha256(IMAGE.config))} linux/arm/v7",
    "",
    "ARCHIVE LAYER TYPE PLATFORM",
    f"1000 B {short(BOTTOM.digest)} tar linux/arm/v7",
    f"2.0 KiB {short(TOP.digest)} tar linux/arm/v7",
    "",
]


def test_an_index_line_by_line(open_registry: OpenRegistry) -> None:
    index = Index((IMAGE, attestation(IMAGE), SILENT, OTHER))
    index.put(open_registry, "acme/web:1")
    assert lines(open_registry, "acme/web:1") == [
        f"{open_registry.address}/acme/web:1: index, {len(index.document):,} bytes",
        f"{index.digest} {OCI_INDEX}",
        "",
        *TABLES,
        f"attestation {short(attestation(IMAGE).digest)} about {short(IMAGE.digest)}",
        f"attestation {short(SILENT.digest)}",
        f"no image: {short(sha256(b'x'))} a/{'b' * 98}",
    ]


def test_a_layers_manifest_line_by_line(open_registry: OpenRegistry) -> None:
    raw = AppBuilder(with_layers_manifests=True).put(open_registry)
    entry = json.loads(raw)["manifests"][1]
    name = f"fleet/shop@{entry['digest']}"
    assert lines(open_registry, name) == [
        f"{open_registry.address}/{name}: layers manifest, {entry['size']} bytes",
        f"{entry['digest']} {OCI_INDEX}",
        "",
        "ARCHIVE LAYERS MANIFEST IMAGE ID PLATFORM",
        f"1.4 MiB 1 {short(entry['digest'])} arm64",
        "",
        "ARCHIVE LAYER TYPE PLATFORM",
        f"1.4 MiB {short(sha256(b'arm'))} gzip arm64",
        "",
    ]


def plain(registry: OpenRegistry, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(run_here("inspect", f"{registry.address}/{name}", "--format", "json").text)


def test_an_index_field_by_field(open_registry: OpenRegistry) -> None:
    index = Index((IMAGE, attestation(IMAGE), SILENT, OTHER))
    index.put(open_registry, "acme/web:1")
    about = [(attestation(IMAGE), IMAGE.digest), (SILENT, None)]
    assert plain(open_registry, "acme/web:1") == {
        "reference": f"{open_registry.address}/acme/web:1",
        "kind": "index",
        "digest": index.digest,
        "media_type": OCI_INDEX,
        "size": len(index.document),
        "app": None,
        "images": [
            {
                "platform": "linux/arm/v7",
                "architecture": "arm",
                "os": "linux",
                "variant": "v7",
                "digest": IMAGE.digest,
                "media_type": OCI_MANIFEST,
                "size": len(IMAGE.document),
                "image_id": sha256(IMAGE.config),
                "layers": [
                    {"digest": one.digest, "media_type": TAR, "archive_size": len(one.tar)}
                    for one in (BOTTOM, TOP)
                ],
                "archive_size": 3000,
            }
        ],
        "attestations": [
            {"digest": one.digest, "size": len(one.document), "about": subject}
            for one, subject in about
        ],
        "others": [{"digest": OTHER["digest"], "media_type": OTHER["mediaType"], "size": 1}],
    }


def test_an_image_of_unknown_platform_has_empty_fields(open_registry: OpenRegistry) -> None:
    artifact = replace(IMAGE, changes={"artifactType": "application/x"})
    artifact.put(open_registry, "acme/web:1")
    (image,) = plain(open_registry, "acme/web:1")["images"]
    assert [image[key] for key in ("platform", "architecture", "os", "variant")] == [
        "unknown",
        "",
        "",
        "",
    ]


def test_a_layer_that_is_there_twice_is_one_archive(open_registry: OpenRegistry) -> None:
    Image.of(BOTTOM, TOP, BOTTOM).put(open_registry, "acme/web:1")
    (image,) = plain(open_registry, "acme/web:1")["images"]
    assert (len(image["layers"]), image["archive_size"]) == (3, 3000)


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [
        ("application/tar+gzip", "gzip"),
        ("application/tar.zstd", "zstd"),
        ("application/tar.zstd+encrypted", "application/tar.zstd+encrypted"),
        ("x" * 101, "x" * 100),
    ],
)
def test_what_an_archive_is_packed_with(media_type: str, shown: str) -> None:
    assert compression(media_type) == shown
