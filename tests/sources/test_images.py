"""Images that are not unpacked: which of them a source gives, and what they are."""

from __future__ import annotations

import bz2
import hashlib
import json
import lzma
import os
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError
from layerscan.oci import Platform
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.documents import sha256
from tests.builders.image_archives import (
    Saved,
    docker_save,
    docker_save_25,
    layout,
    named,
    write_folder,
    write_layout,
    write_tar,
)
from tests.builders.images import Image, Index, Layer
from tests.builders.sources_case import AMD64, ARM64, BASE, INDEX, fault, images, read_all, saved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry


def in_registry(_: Path, registry: OpenRegistry) -> str:
    AMD64.put(registry, "acme/web:1")
    return f"docker://{registry.address}/acme/web:1"


def in_folder(tmp_path: Path, _: OpenRegistry) -> str:
    return write_layout(AMD64, "web:1", tmp_path / "layout")


def in_archive(tmp_path: Path, _: OpenRegistry) -> str:
    return f"oci-archive:{write_tar(layout(AMD64), tmp_path / 'layout.tar')}"


def saved_old(tmp_path: Path, _: OpenRegistry) -> str:
    return saved(tmp_path, docker_save(Saved(AMD64, ("web:1",)))) + ":web:1"


def saved_new(tmp_path: Path, _: OpenRegistry) -> str:
    return saved(tmp_path, docker_save_25(Saved(AMD64, ("web:1",))))


def saved_from_containerd(tmp_path: Path, _: OpenRegistry) -> str:
    return saved(tmp_path, docker_save_25(Saved(AMD64), packed=True))


EVERYWHERE = (in_registry, in_folder, in_archive, saved_old, saved_new, saved_from_containerd)
AS_TARS = (saved_old, saved_new)


@pytest.mark.parametrize("place", EVERYWHERE)
def test_the_same_image_everywhere(
    place: Callable[[Path, OpenRegistry], str], tmp_path: Path, open_registry: OpenRegistry
) -> None:
    ((image, tars),) = read_all(place(tmp_path, open_registry))
    assert image.platform == Platform("amd64", "linux")
    assert image.image_id == sha256(AMD64.config)
    assert [layer.diff_id for layer in image.layers] == AMD64.diff_ids
    assert list(tars) == AMD64.diff_ids
    blobs = [layer.tar if place in AS_TARS else layer.blob for layer in AMD64.layers]
    assert [layer.digest for layer in image.layers] == [sha256(blob) for blob in blobs]
    assert [layer.archive_size for layer in image.layers] == [len(blob) for blob in blobs]
    assert image.documents[0] == len(AMD64.config)
    is_saved = place in {*AS_TARS, saved_from_containerd}
    assert image.documents[1:] == (() if is_saved else (len(AMD64.document),))


@pytest.mark.parametrize("place", EVERYWHERE)
def test_only_a_registry_gives_parts_of_a_blob(
    place: Callable[[Path, OpenRegistry], str], tmp_path: Path, open_registry: OpenRegistry
) -> None:
    text = place(tmp_path, open_registry)
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        (image,) = source.images()
        layer = image.layers[1]
        with source.layer(layer) as chunks:
            blob = b"".join(chunks)
        for start, end in ((0, 10), (7, len(blob)), (len(blob) - 1, len(blob))):
            expected = blob[start:end] if place is in_registry else None
            assert source.section(layer, start, end - start) == expected


@pytest.mark.parametrize("place", EVERYWHERE)
def test_the_digest_of_a_layer_may_be_computed_elsewhere(
    place: Callable[[Path, OpenRegistry], str], tmp_path: Path, open_registry: OpenRegistry
) -> None:
    text = place(tmp_path, open_registry)
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        (image,) = source.images()
        for layer in image.layers:
            # The second has begun with other bytes.
            computed, other = hashlib.sha256(), hashlib.sha256(b"more")
            with source.layer(layer, computed) as chunks:
                list(chunks)
            assert f"sha256:{computed.hexdigest()}" == layer.digest
            with source.layer(layer, other) as chunks, pytest.raises(LayerscanError):
                list(chunks)


@pytest.mark.parametrize("place", EVERYWHERE)
def test_only_tars_of_docker_save_are_noted(
    place: Callable[[Path, OpenRegistry], str], tmp_path: Path, open_registry: OpenRegistry
) -> None:
    text = place(tmp_path, open_registry)
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        source.images()
        notes = list(source.notes)
    assert len(notes) == (place in AS_TARS)
    assert all("not those of a registry" in note for note in notes)


@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
def test_archives_may_be_packed(tmp_path: Path, packed: str) -> None:
    archive = write_tar(layout(AMD64), tmp_path / "a.tar", packed)
    ((image, tars),) = read_all(f"oci-archive:{archive}")
    assert image.image_id == sha256(AMD64.config)
    assert list(tars) == AMD64.diff_ids
    ((image, tars),) = read_all(saved(tmp_path, docker_save(Saved(AMD64)), packed))
    assert image.image_id == sha256(AMD64.config)
    assert list(tars) == AMD64.diff_ids


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_archives_may_be_packed_as_docker_load_takes_them(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    archive = write_tar(docker_save(Saved(AMD64)), tmp_path / "a.tar")
    archive.write_bytes(pack(archive.read_bytes()))
    ((image, tars),) = read_all(f"docker-archive:{archive}")
    assert image.image_id == sha256(AMD64.config)
    assert list(tars) == AMD64.diff_ids


@pytest.mark.parametrize("prefix", ["/", "./", "//"])
def test_names_in_an_archive_are_from_its_root(tmp_path: Path, prefix: str) -> None:
    files = docker_save(Saved(AMD64))
    content = json.loads(bytes(files["manifest.json"]))  # type: ignore[arg-type]
    content[0]["Layers"] = [prefix + name for name in content[0]["Layers"]]
    moved = {prefix + name: raw for name, raw in files.items()}
    moved[f"{prefix}manifest.json"] = json.dumps(content).encode()
    ((_, tars),) = read_all(f"docker-archive:{write_tar(moved, tmp_path / 'a.tar')}")
    assert list(tars) == AMD64.diff_ids


def test_nothing_is_left_of_an_unpacked_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    archive = write_tar(layout(AMD64), tmp_path / "a.tar.gz", "gzip")
    before = set(os.listdir("/proc/self/fd"))
    with open_source(f"oci-archive:{archive}", RegistryClient) as source:
        assert len(source.images()) == 1
        assert not list(temporary.iterdir())
    source.close()
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("packed", ["gzip", "zstd", ""])
def test_layers_may_be_packed_in_any_way(tmp_path: Path, packed: str) -> None:
    image = Image.of(Layer(BASE, packed), Layer.of(packed=packed), Layer(b"", ""))
    write_folder(layout(image), tmp_path / "a")
    ((found, tars),) = read_all(f"oci:{tmp_path / 'a'}")
    assert list(tars) == image.diff_ids == [layer.diff_id for layer in found.layers]


def test_packed_layers_of_docker_save_have_their_own_digest(tmp_path: Path) -> None:
    files = docker_save(Saved(AMD64))
    for name, content in files.items():
        if name.endswith("/layer.tar") and isinstance(content, bytes):
            files[name] = Layer(content).blob
    ((found, tars),) = read_all(saved(tmp_path, files))
    assert [layer.digest for layer in found.layers] == [layer.digest for layer in AMD64.layers]
    assert list(tars) == AMD64.diff_ids


# Indexes.


def test_an_index_gives_all_its_images_but_attestations(
    tmp_path: Path, open_registry: OpenRegistry
) -> None:
    INDEX.put(open_registry, "acme/web:1")
    write_folder(layout(INDEX), tmp_path / "layout")
    for text in (f"docker://{open_registry.address}/acme/web:1", f"oci:{tmp_path / 'layout'}"):
        found = images(text)
        assert [one.platform.architecture for one in found] == ["amd64", "arm64"]
        assert found[1].documents == (len(ARM64.config), len(ARM64.document), len(INDEX.document))


def test_only_the_architectures_that_are_wanted_are_fetched(open_registry: OpenRegistry) -> None:
    INDEX.put(open_registry, "acme/web:1")
    text = f"docker://{open_registry.address}/acme/web:1"
    (found,) = images(text, {"arm64"})
    assert found.platform.architecture == "arm64"
    assert open_registry.count("GET", sha256(AMD64.document)) == 0
    assert len(images(text, {"arm64", "amd64"})) == 2
    assert fault(text, {"riscv64"}).endswith(
        "has no image for riscv64; it has: linux/amd64, linux/arm64"
    )


def test_indexes_within_indexes(tmp_path: Path) -> None:
    inner = Index((AMD64, ARM64))
    middle = Index((inner, AMD64))
    outer = Index((middle, Index((Image("arm", variant="v7"),))))
    write_folder(layout(outer), tmp_path / "a")
    found = images(f"oci:{tmp_path / 'a'}")
    assert [one.platform.architecture for one in found] == ["amd64", "arm64", "arm"]
    indexes = (len(inner.document), len(middle.document), len(outer.document))
    assert found[0].documents[2:] == indexes


def test_too_many_indexes_within_each_other(tmp_path: Path) -> None:
    nested: Index | Image = AMD64
    for _ in range(9):
        nested = Index((nested,))
    write_folder(layout(nested), tmp_path / "a")
    assert "more than 8 indexes within each other" in fault(f"oci:{tmp_path / 'a'}")


def test_more_images_than_are_looked_at(tmp_path: Path) -> None:
    many = [Image(layers=(), config_changes={"created": str(number)}) for number in range(201)]
    write_folder(layout(Index(tuple(many))), tmp_path / "a")
    assert "more than 200 images; choose one, or" in fault(f"oci:{tmp_path / 'a'}")


def test_the_index_says_what_an_image_is_for_or_else_the_config(tmp_path: Path) -> None:
    # The index gives no platform, or a wrong one.
    files = layout(Index((AMD64, ARM64.bare)), ARM64)
    write_folder(files, tmp_path / "a")
    found = images(f"oci:{tmp_path / 'a'}:@0")
    assert [one.platform.architecture for one in found] == ["amd64", "arm64"]
    assert len(images(f"oci:{tmp_path / 'a'}:@0", {"arm64"})) == 1
    wrong = {**AMD64.descriptor, "platform": {"architecture": "arm64", "os": "linux"}}
    write_folder(layout(Index((wrong,)), AMD64), tmp_path / "b")
    (one,) = images(f"oci:{tmp_path / 'b'}:@0", {"arm64"})
    assert one.platform.architecture == "arm64"
    assert "has no image for amd64; it has: linux/arm64" in fault(
        f"oci:{tmp_path / 'b'}:@0", {"amd64"}
    )


def test_images_for_other_systems_are_passed_over(tmp_path: Path) -> None:
    windows = Image(system="windows")
    write_folder(layout(Index((windows.descriptor, AMD64))), tmp_path / "a")
    assert [one.image_id for one in images(f"oci:{tmp_path / 'a'}")] == [sha256(AMD64.config)]
    for what in (windows, Index((windows,)), Index((windows.bare,))):
        folder = write_folder(layout(what, windows), tmp_path / what.digest[7:])
        assert "is for windows/amd64, and only Linux" in fault(f"oci:{folder}")
        assert "is for windows/amd64, and only Linux" in fault(f"oci:{folder}", {"arm64"})
    write_folder(layout(Index(())), tmp_path / "d")
    assert fault(f"oci:{tmp_path / 'd'}").endswith("has no image for Linux; it has: none")


def test_what_stands_beside_images_is_passed_over(tmp_path: Path) -> None:
    signature = Image(config_type="application/vnd.oci.empty.v1+json")
    write_folder(layout(named(AMD64, "web"), named(signature, "web.sig")), tmp_path / "a")
    assert len(images(f"oci:{tmp_path / 'a'}")) == 1
    message = fault(f"oci:{tmp_path / 'a'}:web.sig")
    assert 'is no image: its config is of type "application/vnd.oci.empty.v1+json"' in message
