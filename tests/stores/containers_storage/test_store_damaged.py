"""Stores of containers/storage that are damaged or hostile: what is said, and what survives."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layerscan.digest import NO_DIGEST
from layerscan.errors import StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containers_storage.layers import LayerStores
from layerscan.stores.containers_storage.store import ContainersStorageStore
from tests.builders.containers_storage_case import ONE, OTHER_ID, Case, check
from tests.builders.documents import sha256
from tests.builders.overlay2_case import replace_by


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "storage")


# The lists.


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[", "is not JSON: Expecting value at line 1 column 2"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": 1}', "is no JSON list"),
        (b'"x"', "is no JSON list"),
    ],
)
@pytest.mark.parametrize("name", ["overlay-images/images.json", "overlay-layers/layers.json"])
def test_list_that_cannot_be_used(case: Case, name: str, content: bytes, what: str) -> None:
    path = Path(case.store.path(name))
    path.write_bytes(content)
    with pytest.raises(StoreError) as error:
        ContainersStorageStore(case.store.root).images()
    assert str(error.value) == f"{path}: {what}"


def test_list_that_is_too_long(case: Case) -> None:
    with open(case.store.images_path(), "r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(StoreError, match="is longer than 67108864 bytes"):
        ContainersStorageStore(case.store.root).images()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "socket"])
def test_list_that_is_no_file(case: Case, kind: str) -> None:
    what = replace_by(Path(case.store.images_path()), kind)
    with pytest.raises(StoreError) as error:
        ContainersStorageStore(case.store.root).images()
    assert str(error.value) == f"{case.store.images_path()}: {what}"


def test_list_of_layers_that_is_missing(case: Case) -> None:
    os.unlink(case.store.layers_path())
    missing = [
        f"there is no layer {layer.layer_id}; left out: x.example/{name}:1"
        for layer, name in ((case.one, "one"), (case.two, "two"))
    ]
    store = ContainersStorageStore(case.store.root)
    assert store.images() == []
    assert [problem.what for problem in store.problems] == sorted(missing)


# Records of layers.


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("parent", "../../etc", "$.parent: is no id of 64 hex digits"),
        ("parent", 5, "$.parent: must be a string"),
        ("diff-digest", "sha512:00", f'$["diff-digest"]: {NO_DIGEST}'),
        ("diff-digest", [1], '$["diff-digest"]: must be a string'),
        ("compressed-diff-digest", "x\n", f'$["compressed-diff-digest"]: {NO_DIGEST}'),
        ("toc-digest", "x", f'$["toc-digest"]: {NO_DIGEST}'),
        ("diff-size", -2, '$["diff-size"]: must not be negative'),
        ("diff-size", True, '$["diff-size"]: must be an integer'),
        ("diff-size", 1 << 63, f'$["diff-size"]: must be at most {(1 << 63) - 1}'),
        ("flags", [1], "$.flags: must be an object"),
        ("created", {"a": 1}, "$.created: must be a string"),
    ],
)
def test_damaged_record_of_a_layer(case: Case, key: str, value: object, what: str) -> None:
    check(case, {case.change_layer(case.one, **{key: value}): what + ONE}, {"two"})


@pytest.mark.parametrize(
    ("size", "recorded"),
    [(-1, None), (None, None), (0, 0), (1, 1), ((1 << 63) - 1, (1 << 63) - 1)],
)
def test_least_and_largest_size_of_a_layer(
    case: Case, size: int | None, recorded: int | None
) -> None:
    case.change_layer(case.one, **{"diff-size": size})
    check(case, {}, {"one", "two"})
    images = ContainersStorageStore(case.store.root).images()
    found = {layer.chain_id: layer.recorded_tar for image in images for layer in image.layers}
    assert found[case.one.chain_id] == recorded


@pytest.mark.parametrize(
    ("layer_id", "what"),
    [
        ("", '$: key "id" is missing'),
        (None, '$: key "id" is missing'),
        (7, "$.id: must be a string"),
        *((text, "$.id: is no id of 64 hex digits") for text in ("../x", "A" * 64, "ab" * 31)),
        ("ab" * 33, "$.id: is no id of 64 hex digits"),
    ],
)
def test_hostile_id_of_a_layer(case: Case, layer_id: object, what: str) -> None:
    where = case.change_layer(case.one, id=layer_id)
    missing = f"there is no layer {case.one.layer_id}{ONE}"
    check(case, {where: what, case.layers_folder: missing}, {"two"})


def test_entry_that_is_no_record(case: Case) -> None:
    records = [layer.record for layer in case.store.layers]
    Path(case.store.layers_path()).write_text(json.dumps([*records, "x"]))
    check(case, {f"{case.store.layers_path()}[3]": "$: must be an object"}, {"one", "two"})


def test_two_layers_with_one_id(case: Case) -> None:
    where = case.change_layer(case.two, id=case.one.layer_id)
    check(
        case,
        {
            where: f"$: there are two layers with the id {case.one.layer_id}{ONE}",
            case.layers_folder: (
                f"there is no layer {case.two.layer_id}; left out: x.example/two:1"
            ),
        },
        set(),
    )


def test_layer_that_stands_on_itself(case: Case) -> None:
    case.change_layer(case.one, parent=case.one.layer_id)
    what = (
        f"layer {case.one.layer_id} stands on more layers, itself among them, but its image has 2"
    )
    check(case, {case.layers_folder: what + ONE}, {"two"})


def test_layer_without_the_one_beneath(case: Case) -> None:
    case.change_layer(case.one, parent="")
    what = f"layer {case.one.layer_id} stands on 1 layers, itself among them, but its image has 2"
    check(case, {case.layers_folder: what + ONE}, {"two"})


def test_layer_that_is_not_the_config_s(case: Case) -> None:
    other = sha256("other")
    case.change_layer(case.one, **{"diff-digest": other})
    what = (
        f"layer {case.one.layer_id} has diff_id {other}, its image's config {case.one.diff_id}{ONE}"
    )
    check(case, {case.layers_folder: what}, {"two"})


def test_layer_without_a_diff_id(case: Case) -> None:
    case.change_layer(case.one, **{"diff-digest": None})
    what = f"layer {case.one.layer_id} has diff_id None, its image's config {case.one.diff_id}{ONE}"
    check(case, {case.layers_folder: what}, {"two"})


def test_incomplete_layer_of_an_image(case: Case) -> None:
    case.change_layer(case.one, flags={"incomplete": True})
    check(case, {case.layers_folder: f"layer {case.one.layer_id} is incomplete{ONE}"}, {"two"})


# Records of images.


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("id", "../..", "$.id: is no id of 64 hex digits"),
        ("layer", "/etc", "$.layer: is no id of 64 hex digits"),
        ("names", "x", "$.names: must be an array"),
        ("names", [1], "$.names[0]: must be a string"),
        ("mapped-layers", ["../x"], '$["mapped-layers"]: is no id of 64 hex digits'),
        ("big-data-names", {"a": 1}, '$["big-data-names"]: must be an array'),
        ("big-data-digests", [1], '$["big-data-digests"]: must be an object'),
    ],
)
def test_damaged_record_of_an_image(case: Case, key: str, value: object, what: str) -> None:
    check(case, {case.change_image(**{key: value}): what}, {"two"})


def test_image_that_names_no_layer(case: Case) -> None:
    case.change_image(layer="")
    what = f"image {case.image_one.record_id} names no top layer{ONE}"
    check(case, {case.layers_folder: what}, {"two"})


def test_image_whose_layer_is_not_there(case: Case) -> None:
    case.change_image(layer=OTHER_ID)
    check(case, {case.layers_folder: f"there is no layer {OTHER_ID}{ONE}"}, {"two"})


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("UPPER:1", "no image reference: 'UPPER:1': repository 'UPPER' must be lower case"),
        ("x.example/bare", "the name 'x.example/bare' has neither tag nor digest"),
        ("x.example/two:1", "x.example/two:1 names two images, {one} and {two}"),
    ],
)
def test_names_that_are_none(case: Case, name: str, what: str) -> None:
    case.change_image(names=["x.example/one:1", name])
    what = what.format(one=case.image_one.record_id, two=case.image_two.record_id)
    store = ContainersStorageStore(case.store.root)
    assert len(store.images()) == 2
    (problem,) = store.problems
    assert problem.where == case.store.images_path()
    if "names two" in what or "neither" in what:
        assert problem.what == what
    else:
        assert problem.what.startswith("no image reference: 'UPPER:1'")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_folder_of_records_that_is_none(case: Case, kind: str, tmp_path: Path) -> None:
    for name in ("overlay-images", "overlay-layers"):
        path = Path(case.store.path(name))
        path.rename(tmp_path / name)
        path.symlink_to(tmp_path / name) if kind == "link" else path.touch()
        with pytest.raises(StoreError) as error:
            ContainersStorageStore(case.store.root).images()
        assert str(error.value).startswith(f"{path}: is ")
        path.unlink()
        (tmp_path / name).rename(path)


def test_layers_folder_that_is_gone_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "overlay").mkdir()
    with Folder(str(tmp_path)) as root:
        before = os.listdir("/proc/self/fd")
        records = SimpleNamespace(layers={})
        stores: Any = [(root, records)]
        with pytest.raises(Fault, match="overlay-layers: is missing"):
            LayerStores(stores)._open(0)
        assert os.listdir("/proc/self/fd") == before
