"""A store of containers/storage that changes under the reader, or may not be read."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerscan.errors import StoreError
from layerscan.scanning.scanner import scan
from layerscan.stores.containers_storage.reading import StorageReading
from layerscan.stores.containers_storage.store import ContainersStorageStore
from tests.builders.containers_storage import StoreBuilder
from tests.builders.containers_storage_case import Case
from tests.builders.tree import File
from tests.builders.user import as_nobody
from tests.cli_runner import OPEN, open_to_all


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "storage")


def remove_one(case: Case) -> None:
    """Remove ``one:1`` as the engine does: its record goes first."""
    case.store.images.remove(case.image_one)
    case.store.write_images()
    case.store.layers.remove(case.one)
    case.store.write_layers()
    shutil.rmtree(case.store.folder_path(case.one))
    shutil.rmtree(os.path.dirname(case.store.document_path(case.image_one, "manifest")))


def during_pass(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], object], *, times: int = 1
) -> list[int]:
    """Have `change` called at the end of the first passes, before they look for changes."""
    calls: list[int] = []
    whole = StorageReading._read

    def read(self: StorageReading, stores: object) -> None:
        whole(self, stores)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) <= times:
            change()

    monkeypatch.setattr(StorageReading, "_read", read)
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0, 0, 0))
    return calls


def labels(store: ContainersStorageStore) -> list[str]:
    return [name.familiar for image in store.images() for name in image.names if name.tag]


def test_image_removed_during_a_pass(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = during_pass(monkeypatch, lambda: remove_one(case))
    store = ContainersStorageStore(case.store.root)
    assert labels(store) == ["x.example/two:1"]
    assert (len(calls), list(store.problems)) == (2, [])
    assert list(store.vanished) == ["x.example/one:1"]


def test_image_pulled_during_a_pass(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull() -> None:
        layer = case.store.layer(case.base, File("three"))
        case.store.image([case.base, layer], names=["x.example/three:1"])

    during_pass(monkeypatch, pull)
    store = ContainersStorageStore(case.store.root)
    assert len(labels(store)) == 3
    assert (list(store.problems), list(store.vanished)) == ([], [])


def test_store_that_never_settles(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = during_pass(monkeypatch, case.store.write_images, times=9)
    store = ContainersStorageStore(case.store.root)
    assert len(labels(store)) == 2
    assert len(calls) == 4


def test_manifest_that_is_replaced_before_its_record(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = case.document("manifest")
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    during_pass(monkeypatch, lambda: path.write_bytes(content))
    store = ContainersStorageStore(case.store.root)
    assert len(labels(store)) == 2
    assert list(store.problems) == []


def test_layers_that_are_there_still(case: Case) -> None:
    store = ContainersStorageStore(case.store.root)
    layers = {layer.folder: layer for image in store.images() for layer in image.layers}
    one, two, base = (
        layers[case.store.folder_path(layer)] for layer in (case.one, case.two, case.base)
    )
    case.store.layer(case.base, File("other"))
    assert all(map(store.still_has, layers.values()))
    # The image's record goes first; then its files may go at any time.
    case.store.images.remove(case.image_one)
    case.store.write_images()
    assert [store.still_has(layer) for layer in (one, two, base)] == [False, True, True]
    case.store.images.append(case.image_one)
    case.store.write_images()
    assert store.still_has(one)
    case.change_layer(case.one, flags={"incomplete": True})
    assert not store.still_has(one)
    case.change_layer(case.one, flags={})
    assert store.still_has(one)


def test_layer_pulled_again_into_a_folder_of_the_same_name(case: Case) -> None:
    store = ContainersStorageStore(case.store.root)
    layers = {layer.folder: layer for image in store.images() for layer in image.layers}
    one, two = (layers[case.store.folder_path(layer)] for layer in (case.one, case.two))
    case.change_layer(case.one, created="2024-01-03T00:00:00Z")
    assert [store.still_has(one), store.still_has(two)] == [False, True]
    folder = case.store.folder_path(case.two, "diff")
    shutil.copytree(folder, f"{folder}2")
    shutil.rmtree(folder)
    os.rename(f"{folder}2", folder)
    assert not store.still_has(two)
    shutil.rmtree(folder)
    assert not store.still_has(two)


def test_lists_that_cannot_be_read_any_more(case: Case) -> None:
    store = ContainersStorageStore(case.store.root)
    layer = store.images()[0].layers[0]
    Path(case.store.layers_path()).write_text("[")
    assert not store.still_has(layer)
    shutil.rmtree(case.store.root)
    assert not store.still_has(layer)
    with pytest.raises(StoreError, match="is missing"):
        store.images()


def test_scan_of_an_image_that_is_removed_while_it_is_walked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = ContainersStorageStore.still_has

    def still_has(self: ContainersStorageStore, layer: object) -> bool:
        if not asked:
            remove_one(case)
        asked.append("")
        return whole(self, layer)  # type: ignore[arg-type]

    monkeypatch.setattr(ContainersStorageStore, "still_has", still_has)
    result = scan(ContainersStorageStore(case.store.root))
    assert [one.label for one in result.chosen] == ["x.example/two:1"]
    assert result.problems == ()
    assert result.warnings == (
        "image x.example/one:1 was removed or renamed while the scan ran: left out",
    )


@pytest.fixture
def readable() -> Iterator[Case]:
    """A store that everybody may read, where everybody gets to."""
    with open_to_all() as folder:
        case = Case.build(folder / "storage")
        for path, _, files in os.walk(folder):
            os.chmod(path, OPEN)
            for name in files:
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), 0o644)
        yield case
        for path, _, _ in os.walk(folder):
            os.chmod(path, 0o700)


def test_store_that_may_not_be_read(readable: Case) -> None:
    root = readable.store.root

    def said() -> str:
        try:
            store = ContainersStorageStore(root)
            count = len(store.images())
        except StoreError as error:
            return str(error)
        return f"{count} images, problems: {'; '.join(map(str, store.problems))}"

    assert as_nobody(said) == "2 images, problems: "
    denied = "permission denied; use sudo"
    for path, what in (
        (root, f"{root}: {denied}"),
        (f"{root}/overlay-images", f"{root}/overlay-images: {denied}"),
        (readable.store.layers_path(), f"{readable.store.layers_path()}: {denied}"),
        (
            readable.store.folder_path(readable.one),
            (
                f"1 images, problems: {readable.store.folder_path(readable.one)}/composefs-data: "
                f"{denied}; left out: x.example/one:1"
            ),
        ),
    ):
        mode = os.stat(path).st_mode
        os.chmod(path, 0)
        assert as_nobody(said) == what
        os.chmod(path, mode)


def test_has_images_where_that_cannot_be_read(case: Case) -> None:
    store = ContainersStorageStore(case.store.root)
    assert store.has_images()
    Path(case.store.images_path()).write_text("[")
    assert store.has_images()
    empty = StoreBuilder(Path(case.store.root).with_name("empty"))
    assert not ContainersStorageStore(empty.root).has_images()
