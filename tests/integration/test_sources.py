"""Sources that real tools wrote: the same image is the same wherever skopeo copies it.

What is expected comes from ``skopeo inspect`` and ``docker image inspect``, and
from reading all layers.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.documents import sha256
from tests.builders.image_archives import write_layout
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.sources_case import fault, read_all
from tests.builders.tree import File
from tests.conftest import require_programs
from tests.engines.images import siblings, write_context
from tests.engines.skopeo import skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.sources_case import Found
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = pytest.mark.engine


def copy(source: str, destination: str, *options: str) -> str:
    """What skopeo copied, as a source."""
    insecure = ["--src-tls-verify=false"] if source.startswith("docker:") else []
    if destination.startswith("docker:"):
        insecure.append("--dest-tls-verify=false")
    skopeo("copy", "--quiet", *insecure, *options, source, destination)
    return destination


def told(found: list[Found]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By architecture the image_id and the diff_ids, which its layers have indeed."""
    for image, tars in found:
        assert tuple(layer.diff_id for layer in image.layers) == tars
    return {image.platform.architecture: (image.image_id, tars) for image, tars in found}


def check_parts(text: str) -> None:
    """Hold parts of all layers, which real registries serve, against the whole."""
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        for image in source.images():
            for layer in image.layers:
                with source.layer(layer) as chunks:
                    blob = b"".join(chunks)
                assert source.section(layer, 3, len(blob) - 5) == blob[3:-2]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A layout with an index of two images, an attestation among them."""
    require_programs("skopeo")
    base = Layer.of(File("base", b"of both" * 5000))
    plain = Layer.of(File("plain", b"not packed" * 5000), packed="")
    amd64 = Image.of(base, Layer.of(File("one", b"1" * 9000)), plain)
    arm64 = Image.of(base, Layer.of(File("two", b"2" * 9000)), platform="arm64")
    index = Index((amd64, attestation(amd64), arm64))
    return write_layout(index, "web:1", tmp_path_factory.mktemp("layout"))


def test_every_transport_gives_the_same(origin: str, registry: Registry, tmp_path: Path) -> None:
    expected = told(read_all(origin))
    assert sorted(expected) == ["amd64", "arm64"]
    config = json.loads(skopeo("inspect", "--override-arch", "arm64", "--config", origin))
    assert expected["arm64"][1] == tuple(config["rootfs"]["diff_ids"])

    pushed = copy(origin, f"docker://{registry.address}/sources/web:1", "--all")
    assert told(read_all(pushed)) == expected
    check_parts(pushed)
    archived = copy(pushed, f"oci-archive:{tmp_path / 'all.tar'}:web:1", "--all")
    assert told(read_all(archived)) == told(read_all(archived.removesuffix(":web:1"))) == expected
    assert told(read_all(copy(archived, f"oci:{tmp_path / 'back'}", "--all"))) == expected
    assert told(read_all(copy(pushed, f"dir:{tmp_path / 'dir'}", "--all"))) == expected
    for architecture, image in expected.items():
        one_folder = copy(
            pushed, f"dir:{tmp_path / 'dir'}-{architecture}", "--override-arch", architecture
        )
        assert told(read_all(one_folder)) == {architecture: image}
        only = ("--override-arch", architecture)
        path = tmp_path / architecture
        saved = copy(pushed, f"docker-archive:{path}.tar:acme/web:1", *only)
        assert told(read_all(saved)) == {architecture: image}
        one = copy(pushed, f"oci:{path}:acme/web", *only)
        assert told(read_all(one)) == {architecture: image}
        assert told(read_all(pushed, {architecture})) == {architecture: image}
        raw = skopeo("inspect", "--raw", one)
        ((found, _),) = read_all(one)
        layers = json.loads(raw)["layers"]
        assert [(layer.digest, layer.archive_size) for layer in found.layers] == [
            (layer["digest"], layer["size"]) for layer in layers
        ]
        assert found.documents[1] == len(raw)


def test_packed_again_with_zstd(origin: str, tmp_path: Path) -> None:
    expected = told(read_all(origin, {"amd64"}))["amd64"][1]
    only = ("--override-arch", "amd64")
    saved = copy(origin, f"docker-archive:{tmp_path / 'a.tar'}:acme/web:1", *only)
    again = f"oci:{tmp_path / 'a'}:web"
    ((found, tars),) = read_all(copy(saved, again, "--dest-compress-format", "zstd"))
    assert tars == expected
    assert {layer.media_type for layer in found.layers} == {
        "application/vnd.oci.image.layer.v1.tar+zstd"
    }


def test_archives_packed_by_other_programs(origin: str, tmp_path: Path) -> None:
    require_programs("gzip", "zstd")
    archived = copy(origin, f"oci-archive:{tmp_path / 'a.tar'}:web:1", "--all")
    expected = told(read_all(archived))
    for program in ("gzip", "zstd"):
        packed = subprocess.run(
            [program, "-c", tmp_path / "a.tar"], check=True, capture_output=True
        ).stdout
        (tmp_path / "packed").write_bytes(packed)
        assert told(read_all(f"oci-archive:{tmp_path / 'packed'}")) == expected


def test_what_docker_saves(docker: Docker, base_image: str, tmp_path: Path) -> None:
    images = siblings("one", "two", base=base_image)
    names = [f"sources/{number}:1" for number in range(len(images))]
    for image, name in zip(images, names, strict=True):
        docker.build(write_context(image, tmp_path / name.replace("/", "-")), name)
    path = tmp_path / "saved.tar"
    docker.run("save", "--output", str(path), *names)
    found = {image.image_id: (image, tars) for image, tars in read_all(f"docker-archive:{path}")}
    assert len(found) == len(names)
    for name in names:
        inspected: dict[str, Any] = json.loads(docker.run("image", "inspect", name))[0]
        saved, tars = found[inspected["Id"]]
        assert list(tars) == inspected["RootFS"]["Layers"]
        assert [layer.digest for layer in saved.layers] == list(tars)
        ((one, _),) = read_all(f"docker-archive:{path}:{name}")
        assert one._replace(name=saved.name) == saved
        config = skopeo("inspect", "--raw", "--config", f"docker-archive:{path}:{name}")
        assert saved.documents == (len(config),)
        assert saved.image_id == sha256(config)
    assert "has no image" in fault(f"docker-archive:{path}:sources/none:1")
