"""Apps as they are found and read: in a registry, a store of blobs, a dry run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError, LayerscanError, NotInRegistryError
from layerscan.fit import contents
from layerscan.fit.contents import AppContents, BlobKind, Depth, read_app
from layerscan.fit.installed import app_layers, with_apps
from layerscan.fit.sources import find_app
from layerscan.oci.matchers import UnusableIndexError
from layerscan.registry import RegistryClient
from tests.builders.fit_apps import App, Layer, chains, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of, bytes_of_disk, device, metadata, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

ONE, TWO, THREE = (Layer(name, size) for name, size in (("one", 100), ("two", 200), ("three", 300)))


def shop(**more: object) -> App:
    images = {"web": {ARCH: [ONE, TWO], "amd64": [THREE]}, "db": {ARCH: [ONE], "amd64": [ONE]}}
    return App(images, index=True, **more)  # type: ignore[arg-type]


def find(name: str, depth: Depth = Depth.CONFIGS, architecture: str = ARCH) -> AppContents:
    with RegistryClient() as client:
        return read_app(*find_app(name, client), architecture=architecture, depth=depth)


def test_app_is_the_same_wherever_it_is(tmp_path: Path, open_registry: OpenRegistry) -> None:
    app = shop()
    pushed = app.push(open_registry)
    places = [pushed, app.store(tmp_path / "store"), app.dry_run(tmp_path / "dry")]
    places.append(pushed.replace(":1", f"@{open_registry.tags('fleet/app')['1']}"))
    found = [find(place) for place in places]
    # Not the metadata: it is compared by what it says. Only a registry tells the repository.
    plain = [
        one._replace(
            name="",
            metadata=None,
            bundle=None,
            own=tuple(blob._replace(reference="") for blob in one.own),
        )
        for one in found
    ]
    assert plain[1:] == plain[:1] * 3
    repository = pushed.removesuffix(":1")
    for one, known in zip(found, [True, False, False, True], strict=True):
        assert {blob.reference for blob in one.own} == {
            f"{repository}@{blob.digest}" if known else "" for blob in one.own
        }
    images = {blob.reference for one in found for blob in one.tree()} - {""}
    assert f"{open_registry.address}/fleet/web@{TWO.digest}" in images
    for one in found:
        assert one.figures(ARCH).layers.keys() == {ONE.digest, TWO.digest}
        assert one.images is not None
        assert [image.chain_ids for image in one.images] == [
            tuple(chains([ONE])),
            tuple(chains([ONE, TWO])),
        ]


def test_no_more_is_read_than_is_needed(open_registry: OpenRegistry) -> None:
    name = shop().push(open_registry)
    find(name, Depth.APP)
    assert open_registry.count("GET", "/fleet/(web|db)/") == 0
    find(name, Depth.IMAGES)
    assert open_registry.count("GET", "/fleet/(web|db)/manifests/") == 4
    assert open_registry.count("GET", "/fleet/(web|db)/blobs/") == 0
    find(name, Depth.CONFIGS)
    assert open_registry.count("GET", "/fleet/(web|db)/blobs/") == 2


def test_manifest_of_layers_is_read_only_where_metadata_is_not_enough() -> None:
    assert read(app_of(ONE), Depth.APP).layers_manifest is None
    document = {ARCH: metadata_of([ONE])}
    del document[ARCH]["layers"][ONE.digest]["usage"]
    # One that says no architecture is none of an App.
    for raw in (None, encode(document), b"{", encode(metadata_of([ONE]))):
        manifest = read(app_of(ONE, metadata=raw), Depth.APP).layers_manifest
        assert manifest is not None
        assert ONE.digest.encode() in manifest
    assert (
        read(app_of(ONE, metadata=None, layers_manifests=False), Depth.APP).layers_manifest is None
    )


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("depth", list(Depth))
def test_there_is_nothing_to_tell_of_one_image(depth: Depth, index: bool) -> None:  # noqa: FBT001
    assert read(app_of(ONE, index=index), depth).notes == ()


def test_blobs_of_an_app_whose_repository_is_not_said_have_no_reference(tmp_path: Path) -> None:
    name = app_of(ONE).store(tmp_path)
    with RegistryClient() as client:
        app, documents, images, _ = find_app(name, client)
    found = read_app(app, documents, images, architecture=ARCH, depth=Depth.APP)
    assert {blob.reference for blob in found.own} == {""}


def test_image_of_another_architecture_is_an_error(tmp_path: Path) -> None:
    name = shop().store(tmp_path)
    with pytest.raises(DocumentError, match=r"db@sha256:.*: has no image for riscv64"):
        find(name, architecture="riscv64")
    name = app_of(ONE).store(tmp_path)
    with pytest.raises(DocumentError, match="has no image for amd64; it has: linux/arm64"):
        find(name, architecture="amd64")


def test_config_must_have_the_layers_of_the_manifest(tmp_path: Path) -> None:
    class Short(App):
        def put(self, raw: bytes, kind: str) -> dict[str, object]:
            if b"diff_ids" in raw:
                document = json.loads(raw)
                document["rootfs"]["diff_ids"].pop()
                raw = encode(document)
            return super().put(raw, kind)

    name = Short({"web": {ARCH: [ONE, TWO]}}).store(tmp_path)
    with pytest.raises(DocumentError, match="its config has 1 layers, its manifest 2"):
        find(name)


@pytest.mark.parametrize("kind", [BlobKind.BUNDLE, BlobKind.IMAGE_MANIFEST, BlobKind.CONFIG])
def test_missing_blob_is_an_error(tmp_path: Path, kind: BlobKind) -> None:
    app = app_of(ONE)
    name = app.store(tmp_path)
    (blob,) = [blob for blob in find(name).blobs().values() if blob.kind is kind]
    (tmp_path / "blobs" / "sha256" / blob.digest.removeprefix("sha256:")).unlink()
    with pytest.raises(DocumentError, match=blob.digest.removeprefix("sha256:")):
        find(name)


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_metadata_that_is_not_there_is_none(tmp_path: Path, harm: str) -> None:
    name = app_of(ONE).store(tmp_path)
    (blob,) = [blob for blob in find(name).blobs().values() if blob.kind is BlobKind.METADATA]
    path = tmp_path / "blobs" / "sha256" / blob.digest.removeprefix("sha256:")
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"4096", b"8192"))
    found = find(name)
    assert found.metadata is None
    assert blob.digest.removeprefix("sha256:") in str(found.metadata_fault)


def test_metadata_that_the_registry_lacks_is_none(open_registry: OpenRegistry) -> None:
    name = app_of(ONE).push(open_registry)
    (blob,) = [blob for blob in find(name).blobs().values() if blob.kind is BlobKind.METADATA]
    del open_registry.repository("fleet/app").blobs[blob.digest]
    found = find(name, Depth.APP)
    assert found.metadata is None
    assert found.layers_manifest is not None


# Names.


def test_store_with_one_app_needs_no_digest(tmp_path: Path) -> None:
    name = app_of(ONE).store(tmp_path)
    assert find(str(tmp_path)).name == name
    app_of(TWO).store(tmp_path)
    with pytest.raises(DocumentError, match="has several Apps; add @ and the digest of one: sha"):
        find(str(tmp_path))
    assert find(name).name == name


def test_folder_that_is_neither_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"has neither manifest\.json, .* nor blobs/sha256"):
        find(str(tmp_path))
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    with pytest.raises(DocumentError, match="has no App manifest among its blobs"):
        find(str(tmp_path))
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        find(f"{tmp_path}@{ONE.digest}")


def test_blob_that_is_no_app_is_an_error(tmp_path: Path) -> None:
    app_of(ONE).store(tmp_path)
    (config,) = [one for one in find(str(tmp_path)).blobs().values() if one.kind is BlobKind.CONFIG]
    with pytest.raises(DocumentError, match=f"{config.digest}: "):
        find(f"{tmp_path}@{config.digest}")


def test_app_that_the_registry_lacks_is_an_error(open_registry: OpenRegistry) -> None:
    with pytest.raises(NotInRegistryError):
        find(f"{open_registry.address}/fleet/app:1")
    with pytest.raises(LayerscanError, match="no image reference"):
        find("UPPER case")


# Installed.


def test_installed_app_is_there_whole() -> None:
    app = read(app_of(ONE, TWO), Depth.IMAGES)
    found = with_apps(device(bytes_of_disk(0)), [app], ARCH)
    assert found.installed == {ONE.digest, TWO.digest}
    assert all(found.has_blob(blob.digest, blob.size) for blob in app.blobs().values())


def test_layers_are_told_by_the_best_document() -> None:
    assert app_layers(metadata(ONE), ARCH) == {ONE.digest}
    assert app_layers(read(app_of(ONE, metadata=None), Depth.APP), ARCH) == {ONE.digest}
    assert app_layers(read(app_of(TWO), Depth.APP), ARCH) == {TWO.digest}
    assert app_layers(read(app_of(TWO, metadata=None), Depth.IMAGES), ARCH) == {TWO.digest}
    with pytest.raises(DocumentError, match="has no layers metadata"):
        app_layers(read(app_of(ONE, metadata=None, layers_manifests=False), Depth.APP), ARCH)


def test_image_of_more_than_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shop().store(tmp_path)
    monkeypatch.setattr("layerscan.oci.MOST_IMAGES", 0)
    with pytest.raises(DocumentError, match=r"^registry\.example/fleet/\w+@\S+: has more than 8 "):
        find(name)


def test_index_that_a_client_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable(*_: object, **_more: object) -> None:
        raise UnusableIndexError("is of no use")

    name = shop().store(tmp_path)
    monkeypatch.setattr(contents, "list_images", unusable)
    with pytest.raises(DocumentError, match=r"^registry\.example/fleet/\w+@\S+: is of no use"):
        find(name)
