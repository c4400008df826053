"""containerd's store, damaged: what is said, and what is read all the same."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerscan.digest import NO_DIGEST
from layerscan.errors import StoreError
from layerscan.files.safefs import Fault
from layerscan.scanning.scanner import scan
from layerscan.stores.containerd import content, layers, records
from layerscan.stores.containerd.records import METADATA, METADATA_FILE
from layerscan.stores.containerd.store import ContainerdStore
from layerscan.text import shown
from tests.builders.containerd import ContainerdBuilder, bucket, uvarint, varint
from tests.builders.containerd_case import built, names, opened, stack
from tests.builders.containerd_damaged_case import BOTH, ONE, Case, check
from tests.builders.overlay2_case import LINK, replace_by

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["built"]  # a fixture

FUZZ_ROUNDS = 300


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0,))


@pytest.fixture
def case(built: ContainerdBuilder) -> Case:
    base, one = stack(built, "base", "one")
    two = stack(built, "base", "two")[1]
    manifest = built.image(["docker.io/library/one:1"], [base, one])
    built.image(["docker.io/library/two:1"], [base, two])
    return Case(built, base, one, two, manifest)


# Documents.


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "fifo", "socket"])
def test_document_replaced_by_something_else(case: Case, tmp_path: Path, kind: str) -> None:
    path = case.built.blob_path(case.manifest.digest)
    what = replace_by(tmp_path.__class__(path), kind)
    check(case, path, what + ONE)
    os.rename(os.path.join(os.path.dirname(path), "moved"), f"{path}.away")


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_document_that_was_changed(case: Case, which: str) -> None:
    path = case.config if which == "config" else case.built.blob_path(case.manifest.digest)
    with open(path, "ab") as file:
        file.write(b" ")
    check(case, path, "does not hash to its name: it was damaged or tampered with" + ONE)


def test_config_that_is_missing(case: Case) -> None:
    os.unlink(path := case.config)
    check(case, path, "is missing" + ONE)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "$: must be an object"),
        ({"schemaVersion": 1, "config": {}, "layers": []}, "$.schemaVersion: must be 2"),
        ({"schemaVersion": 2, "layers": []}, '$: key "config" is missing'),
        ({"schemaVersion": 2, "config": {"digest": "x"}, "layers": []}, None),
    ],
)
def test_manifest_that_is_none(case: Case, content: object, what: str | None) -> None:
    path = case.replace(content)
    digest = f"$.config.digest: {NO_DIGEST}"
    check(case, path, (what or digest) + ONE)


def test_manifest_with_other_layers_than_its_config(case: Case) -> None:
    config = case.built.config_of(case.manifest)
    media_type = "application/vnd.oci.image.config.v1+json"
    path = case.replace(
        {
            "schemaVersion": 2,
            "config": {"mediaType": media_type, "digest": config, "size": 1},
            "layers": [],
        }
    )
    check(case, path, "has 0 layers, its config 2" + ONE)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"rootfs": []}, "$.rootfs: must be an object"),
        ({"architecture": 5}, "$.architecture: must be a string"),
        ({"architecture": "a\nb"}, "is no image config: its platform is no plain text"),
        (
            {"rootfs": {"diff_ids": ["sha256:0"]}},
            f"$.rootfs.diff_ids[0]: {NO_DIGEST}",
        ),
    ],
)
def test_config_that_is_none(case: Case, extra: dict[str, object], what: str) -> None:
    manifest = case.built.manifest([case.base], extra=extra)
    case.built.name("docker.io/library/one:1", manifest)
    path = case.built.blob_path(case.built.config_of(manifest))
    check(case, path, what + ONE)


def test_endless_indexes(case: Case) -> None:
    inner = case.manifest
    for _ in range(10):
        inner = case.built.index([inner])
    case.built.name("docker.io/library/one:1", inner)
    store = opened(case.built)
    assert names(store.images()) == [["two:1"]]
    (problem,) = store.problems
    assert problem.what == "refers to too many manifests" + ONE


def test_index_of_more_than_can_be(case: Case) -> None:
    many = [replace(case.manifest, digest=f"sha256:{number:064}") for number in range(1500)]
    case.built.name("docker.io/library/one:1", case.built.index([case.manifest, *many]))
    store = opened(case.built)
    store.images()
    assert "refers to too many manifests" in store.problems[0].what


def test_content_store_that_is_missing(case: Case) -> None:
    folder = os.path.dirname(case.config)
    shutil.rmtree(folder)
    store = opened(case.built)
    assert store.images() == []
    assert [str(problem) for problem in store.problems] == [f"{folder}: is missing{BOTH}"]


def test_image_of_which_nothing_is_here(case: Case) -> None:
    absent = case.built.manifest([case.base], architecture="arm64")
    os.unlink(case.built.blob_path(absent.digest))
    case.built.name("docker.io/library/one:1", case.built.index([absent]))
    store = opened(case.built)
    assert names(store.images()) == [["two:1"]]
    assert store.notes == ("left out, not here for any platform: one:1",)
    assert store.problems == ()


# The database of names.


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "fifo", "socket"])
def test_database_of_names_replaced(case: Case, tmp_path: Path, kind: str) -> None:
    path = case.built.write().meta_path()
    store = ContainerdStore(case.built.root)
    what = replace_by(tmp_path.__class__(path), kind)
    with pytest.raises(StoreError) as caught:
        store.images()
    assert str(caught.value) == f"{path}: {what}"
    with pytest.raises(StoreError):
        ContainerdStore(case.built.root)


def test_database_of_names_that_is_none(case: Case) -> None:
    path = case.built.write().meta_path()
    store = ContainerdStore(case.built.root)
    with open(path, "wb") as file:
        file.write(b"hello")
    with pytest.raises(StoreError) as caught:
        store.images()
    assert str(caught.value) == (f"{path}: is no bbolt database, or damaged: no meta page is valid")


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ({}, "image 'docker.io/library/one:1' has no digest but ''"),
        ({b"digest": b"sha256:1"}, "image 'docker.io/library/one:1' has no digest but 'sha256:1'"),
        (None, "image 'docker.io/library/one:1' has no digest but ''"),
        ({b"digest": {}}, "image 'docker.io/library/one:1' has no digest but ''"),
        (b"value", "is damaged: b'target' is a value, not a bucket"),
    ],
)
def test_name_without_a_target(case: Case, target: object, what: str) -> None:
    record = bucket(case.built.meta, "v1", "default", "images", "docker.io/library/one:1")
    if target is None:
        del record[b"target"]
    else:
        record[b"target"] = target
    check(case, case.built.meta_path(), what)


def test_snapshot_on_another_parent(case: Case) -> None:
    case.record()[b"parent"] = case.two.chain_id.encode()
    what = f"has layer {case.one.chain_id} on '{case.two.chain_id}', not on '{case.base.chain_id}'"
    check(case, case.built.meta_path(), what + ONE)


def test_snapshot_without_a_name(case: Case) -> None:
    del case.record()[b"name"]
    what = f"does not name the snapshot of layer {case.one.chain_id}"
    check(case, case.built.meta_path(), what + ONE)


def test_snapshot_beneath_that_is_missing(case: Case) -> None:
    del bucket(case.built.meta, "v1", "default", "snapshots", "overlayfs")[
        case.base.chain_id.encode()
    ]
    store = opened(case.built)
    assert store.images() == []
    (problem,) = store.problems
    assert problem.what == f"has no snapshot of layer {case.base.chain_id}{BOTH}"


# The snapshotter's database, and the folders.


def test_database_of_snapshots_that_is_missing(case: Case) -> None:
    case.built.write()
    os.unlink(path := case.built.snapshots_path())
    store = ContainerdStore(case.built.root)
    assert store.images() == []
    assert [str(problem) for problem in store.problems] == [f"{path}: is missing{BOTH}"]


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (b"kind", b"\x02", "the snapshot of layer {chain} is not committed"),
        (b"kind", None, "the snapshot of layer {chain} is not committed"),
        (b"id", b"", "a number of the snapshot of layer {chain} is b''"),
        (b"id", None, "a number of the snapshot of layer {chain} is b''"),
        (b"id", b"\x80", "a number of the snapshot of layer {chain} is b'\\x80'"),
        (b"id", b"\x01\x01", "a number of the snapshot of layer {chain} is b'\\x01\\x01'"),
        (b"id", b"\xff" * 12 + b"\x01", None),
        (b"inodes", varint(-3), "a number of the snapshot of layer {chain} is b'\\x05'"),
        (b"size", uvarint(1 << 64), None),
    ],
)
def test_snapshot_with_a_damaged_record(
    case: Case, key: bytes, value: bytes | None, what: str | None
) -> None:
    snapshot = case.snapshot()
    if value is None:
        del snapshot[key]
    else:
        snapshot[key] = value
    what = what or f"a number of the snapshot of layer {{chain}} is {value!r}"
    check(case, case.built.snapshots_path(), what.format(chain=case.one.chain_id) + ONE)


def test_snapshot_that_the_snapshotter_lacks(case: Case) -> None:
    name = case.record()[b"name"]
    del bucket(case.built.snapshots, "v1", "snapshots")[name]  # type: ignore[arg-type]
    what = f"has no snapshot of layer {case.one.chain_id}"
    check(case, case.built.snapshots_path(), what + ONE)


def test_snapshot_on_another_than_the_layer(case: Case) -> None:
    name = case.built.snapshot_record(case.two)[b"name"]
    beneath = case.built.snapshot_record(case.base)[b"name"]
    case.snapshot()[b"parent"] = name
    what = f"has layer {case.one.chain_id} on {shown(name)}, not on {shown(beneath)}"
    check(case, case.built.snapshots_path(), what + ONE)


def test_two_layers_with_one_folder(case: Case) -> None:
    case.snapshot()[b"id"] = case.built.snapshot(case.two)[b"id"]
    store = opened(case.built)
    assert store.images() == []
    (problem,) = store.problems
    assert problem.where == case.built.layer_path(case.two)
    assert problem.what.startswith("is claimed by 2 layers, sha256:")
    assert problem.what.endswith(BOTH)


@pytest.mark.parametrize("inside", ["", "fs"])
def test_folder_of_a_layer_replaced(case: Case, inside: str) -> None:
    path = case.built.layer_path(case.one, inside).rstrip("/")
    os.rename(path, case.built.path("away"))
    check(case, path, "is missing" + ONE)
    os.symlink(case.built.path("away"), path)
    check(case, path, LINK + ONE)
    os.unlink(path)
    with open(path, "w", encoding="ascii"):
        pass
    check(case, path, "is no folder" + ONE)


# Anything.


def flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice([1, 3, 20])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def scanned(root: str) -> tuple[str, list[str]]:
    """How a scan of the store ends, and what it says."""
    try:
        result = scan(ContainerdStore(root))
    except StoreError as error:
        return "refused", [str(error)]
    assert all(cost.layer.folder.startswith(root) for cost in result.costs.values())
    outcome = "problems" if result.problems else "images"
    return outcome, [*map(str, result.problems), *result.warnings]


@pytest.mark.parametrize("path", ["meta_path", "snapshots_path"])
def test_fuzzed_database(case: Case, path: str) -> None:
    case.built.write()
    target = getattr(case.built, path)()
    with open(target, "rb") as file:
        sound = file.read()
    outcomes = {"images": 0, "problems": 0, "refused": 0}
    changes: list[Callable[[bytearray, random.Random], None]] = [flip, flip, flip, cut]
    for seed in range(FUZZ_ROUNDS):
        dice = random.Random(seed)  # noqa: S311 - the same in every run
        data = bytearray(sound)
        dice.choice(changes)(data, dice)
        with open(target, "wb") as file:
            file.write(data)
        outcome, said = scanned(case.built.root)
        assert all(map(str.isprintable, said))
        outcomes[outcome] += 1
    assert outcomes["images"] > 0
    assert outcomes["problems"] + outcomes["refused"] > 0


def test_has_images_where_that_cannot_be_read(built: ContainerdBuilder) -> None:
    store = opened(built)
    assert not store.has_images()
    (Path(built.root) / METADATA / METADATA_FILE).write_bytes(b"no database")
    assert store.has_images()


def refusing(_self: object, *_: object) -> object:
    raise Fault("the place", "is worn out")


def test_layer_of_which_it_cannot_be_told_whether_it_is_there(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only(what: Callable[..., object], refused: str) -> Callable[..., object]:
        return lambda self, key: refusing(self) if key == refused else what(self, key)

    snapshot = records.Namespace.has_snapshot
    monkeypatch.setattr(records.Namespace, "has_snapshot", only(snapshot, case.one.chain_id))
    check(case, "the place", f"is worn out{ONE}")
    monkeypatch.setattr(records.Namespace, "has_snapshot", snapshot)
    blob = only(content.ContentStore.has, case.one.digest)
    monkeypatch.setattr(content.ContentStore, "has", blob)
    store = opened(case.built, exact=True)
    assert names(store.images()) == [["two:1"]]
    assert [str(problem) for problem in store.problems] == [f"the place: is worn out{ONE}"]


def test_folders_of_layers_that_cannot_be_opened(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.built.image(["docker.io/library/empty:1"], [])
    monkeypatch.setattr(layers.LayerFolders, "__init__", refusing)
    check(case, "the place", f"is worn out{BOTH}", survivors=["empty:1"])


def test_snapshotters_that_cannot_be_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.Namespace, "has_snapshot", lambda *_: False)
    monkeypatch.setattr(records.Namespace, "other_snapshotters", refusing)
    store = opened(case.built)
    assert store.images() == []
    assert [str(problem) for problem in store.problems] == ["the place: is worn out"]
    assert store.notes == ("left out, not unpacked: one:1, two:1",)
