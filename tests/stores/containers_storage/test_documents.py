"""Stores of containers/storage whose documents or folders are damaged, and any damage at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.digest import NO_DIGEST, chain_id, is_digest
from layerscan.errors import StoreError
from layerscan.stores.containers_storage.store import ContainersStorageStore
from tests.builders.containers_storage import index_of
from tests.builders.containers_storage_case import BOTH, ONE, OTHER_ID, Case, check
from tests.builders.documents import sha256
from tests.builders.overlay2_case import LINK, replace_by
from tests.builders.stores_changes import changed, metadata_files


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "storage")


# Documents.


def test_documents_that_are_missing(case: Case) -> None:
    for name in ("manifest", case.image_one.image_id):
        path = case.document(name)
        path.rename(path.with_name("moved"))
        check(case, {path: f"is missing{ONE}"}, {"two"})
        path.with_name("moved").rename(path)
    os.rename(path.parent, case.store.path("moved"))
    check(case, {path.parent: f"is missing{ONE}"}, {"two"})
    path.parent.symlink_to(case.store.path("moved"))
    check(case, {path.parent: LINK + ONE}, {"two"})


@pytest.mark.parametrize("name", ["manifest", "config"])
def test_documents_that_were_changed(case: Case, name: str) -> None:
    path = case.document("manifest" if name == "manifest" else case.image_one.image_id)
    content = path.read_bytes()
    digest = sha256(content)
    path.write_bytes(content + b" ")
    what = f"does not hash to {digest}: it was damaged or tampered with{ONE}"
    check(case, {path: what}, {"two"})


def replace_documents(case: Case, **documents: bytes) -> Path:
    """Give ``one:1`` another manifest, and a record that says so."""
    path = case.document("manifest")
    path.write_bytes(documents["manifest"])
    case.change_image(**{"big-data-digests": {}, "big-data-names": ["manifest"]})
    return path


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not JSON: Expecting value at line 1 column 1"),
        (b"[]", "$: must be an object"),
        (b'{"schemaVersion": 1, "config": {}, "layers": []}', "$.schemaVersion: must be 2"),
        (
            b'{"schemaVersion": 2, "config": {"digest": "../../x", "size": 1}, "layers": []}',
            f"$.config.digest: {NO_DIGEST}",
        ),
    ],
)
def test_manifests_that_are_none(case: Case, content: bytes, what: str) -> None:
    path = replace_documents(case, manifest=content)
    check(case, {path: what + ONE}, {"two"})


def test_manifest_of_another_number_of_layers(case: Case) -> None:
    manifest = json.loads(case.document("manifest").read_bytes())
    del manifest["layers"][0]
    path = replace_documents(case, manifest=json.dumps(manifest).encode())
    check(case, {path: f"has 1 layers, but its config has 2{ONE}"}, {"two"})


def test_manifest_by_digest_that_cannot_be_used_costs_a_name_only(case: Case) -> None:
    path = case.document(f"manifest-{case.image_one.manifest}")
    path.unlink()
    then = "; x.example/one:1 has no name by that digest"
    check(case, {path: f"is missing{then}"}, {"one", "two"})
    case.change_image(**{"big-data-names": ["manifest", "manifest-../../x"]})
    other = case.document("manifest-../../x")
    check(case, {other: f"is not named by a digest{then}"}, {"one", "two"})


def test_too_many_manifests(case: Case) -> None:
    names = [f"manifest-{sha256(str(number))}" for number in range(101)]
    case.change_image(**{"big-data-names": names})
    check(case, {case.document("manifest").parent: f"has 101 manifests{ONE}"}, {"two"})


def config_case(case: Case, **keys: object) -> Path:
    case.store.images.remove(case.image_one)
    image = case.store.image(
        [case.base, case.one], names=["x.example/one:1"], record={}, config=keys
    )
    case.image_one = image
    return case.document(image.image_id)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"architecture": "a\x1b[31m"}, "is no image config: its platform is no plain text"),
        ({"architecture": 5}, "$.architecture: must be a string"),
        (
            {"rootfs": {"diff_ids": "x"}},
            "$.rootfs.diff_ids: must be an array",
        ),
        (
            {"rootfs": {"diff_ids": [f"sha256:{OTHER_ID}"] * 1001}},
            "is no image config: it has 1001 layers",
        ),
    ],
)
def test_configs_that_are_none(case: Case, keys: dict[str, object], what: str) -> None:
    path = config_case(case, **keys)
    check(case, {path: what + ONE}, {"two"})


# Folders of layers.


def test_folders_of_a_layer_that_are_none(case: Case) -> None:
    for inner in ("", "diff"):
        path = Path(case.store.folder_path(case.one), inner)
        path.rename(case.store.path("moved"))
        check(case, {path: f"is missing{ONE}"}, {"two"})
        path.symlink_to("/etc")
        check(case, {path: LINK + ONE}, {"two"})
        path.unlink()
        path.write_text("x")
        check(case, {path: f"is no folder{ONE}"}, {"two"})
        path.unlink()
        Path(case.store.path("moved")).rename(path)


@pytest.mark.parametrize("kind", ["missing", "link", "folder"])
def test_tar_split_that_is_no_file(case: Case, kind: str) -> None:
    path = Path(case.store.tar_split_path(case.one))
    check(case, {path: replace_by(path, kind) + ONE}, {"two"})


def test_layers_whose_content_is_not_in_their_folder(case: Case) -> None:
    path = Path(case.store.folder_path(case.one))
    (path / "composefs-data").mkdir()
    what = "is kept as composefs: what it holds is not in its folder as files"
    check(case, {path: what + ONE}, {"two"})
    (path / "composefs-data").rmdir()
    (path / "additionallayer").touch()
    what = "is in an additional layer store, not in its folder"
    check(case, {path: what + ONE}, {"two"})


def test_folder_of_all_layers_that_is_missing(case: Case) -> None:
    path = case.store.path("overlay")
    os.rename(path, case.store.path("moved"))
    check(case, {path: f"is missing{BOTH}"}, set())


@pytest.mark.parametrize("content", [b"", b"../x", b"A" * 5000, b"\xff"])
def test_damaged_link_matters_to_exact_accounting_only(case: Case, content: bytes) -> None:
    path = Path(case.store.folder_path(case.one, "link"))
    path.write_bytes(content)
    check(case, {}, {"one", "two"})
    store = ContainersStorageStore(case.store.root, exact=True)
    assert len(store.images()) == 1
    (problem,) = store.problems
    assert problem.where == os.fspath(path)
    assert problem.what.endswith(ONE)


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_link_up_to_its_longest(case: Case, length: int) -> None:
    path = Path(case.store.folder_path(case.one, "link"))
    path.write_bytes(path.read_bytes().ljust(length))
    if length > 4096:
        check(case, {path: f"is longer than 4096 bytes{ONE}"}, {"two"}, exact=True)
    else:
        check(case, {}, {"one", "two"}, exact=True)


def test_additional_store_that_cannot_be_used(case: Case, tmp_path: Path) -> None:
    store = ContainersStorageStore(case.store.root, additional=[str(tmp_path / "none")])
    assert len(store.images()) == 2
    (problem,) = store.problems
    assert str(problem) == (
        f"{tmp_path}/none: is missing; no image of this additional store is known"
    )


# Anything at all.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = Case.build(tmp_path_factory.mktemp("fuzz") / "storage")
    case.store.image(
        [case.base], names=["x.example/base:1"], index=index_of(sha256("one")), record={}
    )
    return case


def consistent(case: Case, store: ContainersStorageStore) -> None:
    try:
        images = store.images()
    except StoreError as error:
        images, said = [], str(error)
    else:
        said = ""
    assert said.isprintable()
    for image in images:
        parent = None
        for layer in image.layers:
            assert layer.chain_id == chain_id(parent, layer.diff_id)
            assert os.path.dirname(layer.folder) == case.store.path("overlay")
            assert os.path.isdir(os.path.join(layer.folder, layer.content))
            parent = layer.chain_id
        for digests in image.digests.values():
            assert len(digests) == len(image.layers)
            assert all(digest is None or is_digest(digest) for digest in digests)
        assert all(name.familiar.isprintable() for name in image.names)
    for text in (*map(str, store.problems), *store.notes, *store.vanished):
        assert text.isprintable()


def any_change(data: st.DataObject) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        kind = data.draw(st.sampled_from(["flip", "cut", "replace", "insert", "value"]))
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip" and content:
            flipped = content[place] ^ data.draw(st.integers(1, 255))
            return content[:place] + bytes([flipped]) + content[place + 1 :]
        if kind == "cut":
            return content[:place]
        if kind == "value":
            return another_value(content, data)
        piece = data.draw(st.binary(max_size=80))
        return piece if kind == "replace" else content[:place] + piece + content[place:]

    return change


def another_value(content: bytes, data: st.DataObject) -> bytes:
    """A list with one value of one record replaced by anything."""
    try:
        records: Any = json.loads(content)
    except ValueError:
        return content
    if not isinstance(records, list) or not records:
        return content
    record = data.draw(st.sampled_from(records))
    key = data.draw(st.sampled_from(sorted(record)))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(OTHER_ID),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    )
    record[key] = data.draw(anything)
    return json.dumps(records).encode()


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), exact=st.booleans())
def test_any_damage_is_survived(
    shared: Case, data: st.DataObject, monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0,))
    files = metadata_files(shared.store.root)
    lists = [shared.store.images_path(), shared.store.layers_path()]
    path = data.draw(
        st.sampled_from(files + lists * len(files)).map(
            lambda path: os.path.relpath(path, shared.store.root)
        )
    )
    with changed(shared.store.path(path), any_change(data)):
        consistent(shared, ContainersStorageStore(shared.store.root, exact=exact))
