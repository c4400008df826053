"""containerd's store while an engine changes it, and one that may not be read."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import StoreError
from layerscan.files.safefs import Fault
from layerscan.scanning.scanner import scan
from layerscan.stores import readings
from layerscan.stores.containerd.bolt import Database
from layerscan.stores.containerd.reading import ContainerdReading
from layerscan.stores.containerd.records import ContainerdRecords, Snapshots
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import ContainerdBuilder, bucket
from tests.builders.containerd_case import built, names, opened, stack
from tests.builders.stores_case import between
from tests.builders.user import as_nobody
from tests.cli_runner import OPEN, open_to_all

if TYPE_CHECKING:
    from layerscan.stores.model import Layer
    from tests.builders.containerd import BuiltLayer
    from tests.builders.stores_case import Between

__all__ = ["between", "built"]  # fixtures


def two_images(built: ContainerdBuilder) -> tuple[BuiltLayer, BuiltLayer]:
    """``one:1`` and ``two:1`` on one base; the layers that each has for itself."""
    base, one = stack(built, "base", "one")
    two = stack(built, "base", "two")[1]
    built.image(["docker.io/library/one:1"], [base, one])
    built.image(["docker.io/library/two:1"], [base, two])
    return one, two


def remove(built: ContainerdBuilder, name: str, layer: BuiltLayer) -> None:
    """What containerd does to remove an image: names first, then records, then files."""
    del bucket(built.meta, "v1", "default", "images")[f"docker.io/library/{name}".encode()]
    forget(built, layer)
    built.write()
    shutil.rmtree(built.path("removed"), ignore_errors=True)


def forget(built: ContainerdBuilder, layer: BuiltLayer) -> None:
    """Take the layer off all records; its folder is moved away."""
    folder = built.layer_path(layer)
    record = bucket(built.meta, "v1", "default", "snapshots", "overlayfs")
    key = built.snapshot_record(layer)[b"name"]
    del record[layer.chain_id.encode()]
    del bucket(built.snapshots, "v1", "snapshots")[key]  # type: ignore[arg-type]
    os.rename(folder, built.path("removed"))


def test_image_removed_while_reading_is_gone_and_no_problem(
    built: ContainerdBuilder, between: Between
) -> None:
    one, _ = two_images(built)
    store = opened(built)
    # containerd has begun: the files are gone, and the records will be.
    os.rename(built.layer_path(one), built.path("away"))

    def finish() -> None:
        os.rename(built.path("away"), built.layer_path(one))
        remove(built, "one:1", one)

    waits = between(finish)
    assert names(store.images()) == [["two:1"]]
    assert (store.problems, store.notes) == ((), ())
    assert store.vanished == ("one:1",)
    assert len(waits) == 1


def test_what_stays_missing_is_a_problem(built: ContainerdBuilder, between: Between) -> None:
    one, _ = two_images(built)
    store = opened(built)
    os.rename(built.layer_path(one), built.path("away"))
    waits = between(lambda: None)
    assert names(store.images()) == [["two:1"]]
    assert waits == [0.05, 0.1, 0.2]
    assert [problem.where for problem in store.problems] == [built.layer_path(one)]
    assert store.vanished == ()


def test_sound_store_is_read_once(built: ContainerdBuilder, between: Between) -> None:
    two_images(built)
    waits = between(lambda: None)
    assert len(opened(built).images()) == 2
    assert waits == []


def test_store_has_a_layer_until_it_is_off_the_records(built: ContainerdBuilder) -> None:
    one, _ = two_images(built)
    store = opened(built)
    layers = {layer.chain_id: layer for image in store.images() for layer in image.layers}
    assert all(map(store.still_has, layers.values()))
    forget(built, one)
    built.write()
    assert not store.still_has(layers[one.chain_id])
    assert sum(map(store.still_has, layers.values())) == 2
    # Pulled anew, it is in another folder.
    built.unpack(one)
    built.write()
    assert not store.still_has(layers[one.chain_id])
    again = {layer.chain_id: layer for image in store.images() for layer in image.layers}
    assert again[one.chain_id].folder != layers[one.chain_id].folder
    assert all(map(store.still_has, again.values()))


def test_store_has_no_layer_that_it_did_not_give(built: ContainerdBuilder) -> None:
    two_images(built)
    layer = opened(built).images()[0].layers[0]
    assert not ContainerdStore(built.root).still_has(layer)


def test_store_without_its_database_has_no_layer(built: ContainerdBuilder) -> None:
    two_images(built)
    store = opened(built)
    layer = store.images()[0].layers[0]
    os.unlink(built.snapshots_path())
    assert not store.still_has(layer)


@pytest.mark.parametrize(("gone", "readings_done"), [(False, 1), (True, 5)])
def test_record_is_read_again_if_it_may_be_there_then(
    built: ContainerdBuilder,
    gone: bool,  # noqa: FBT001
    readings_done: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two_images(built)
    store = opened(built)
    layer = store.images()[0].layers[0]
    asked = []

    def faulty(_: Snapshots, key: bytes, __: str) -> None:
        asked.append(key)
        raise Fault("somewhere", "is damaged", gone=gone)

    monkeypatch.setattr(Snapshots, "read", faulty)
    assert not store.still_has(layer)
    assert len(asked) == readings_done


def test_layer_removed_under_the_walk(
    built: ContainerdBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = two_images(built)
    store = opened(built)
    asked: list[Layer] = []
    still_has = ContainerdStore.still_has

    def removed_first(self: ContainerdStore, layer: Layer) -> bool:
        if not asked:
            asked.append(layer)
            remove(built, "one:1", one)
        return still_has(self, layer)

    monkeypatch.setattr(ContainerdStore, "still_has", removed_first)
    result = scan(store)
    assert [chosen.label for chosen in result.chosen] == ["two:1"]
    assert result.problems == ()
    assert result.warnings == (
        "image one:1 was removed or renamed while the scan ran: left out",
    )  # fmt: skip


def test_databases_are_read_again_until_they_are_of_one_moment(
    built: ContainerdBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_images(built)
    store = opened(built)
    readings_done = []
    real = ContainerdReading.__init__

    def reading(self: ContainerdReading, *args: object, **options: object) -> None:
        readings_done.append(self)
        real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ContainerdReading, "__init__", reading)
    monkeypatch.setattr("layerscan.stores.containerd.bolt._LONGEST_COPY", 0)
    moves = iter([built.write] * 2)
    check = ContainerdRecords.check_unmoved

    def moving(self: ContainerdRecords) -> None:
        next(moves, lambda: None)()
        check(self)

    monkeypatch.setattr(ContainerdRecords, "check_unmoved", moving)
    monkeypatch.setattr(readings, "sleep", lambda _: None)
    assert len(store.images()) == 2
    assert store.problems == ()
    assert len(readings_done) == 3


@pytest.mark.parametrize(("moved", "times"), [(0, 1), (3, 4), (4, 5), (9, 5)])
def test_both_databases_are_read_five_times_to_be_of_one_moment(
    built: ContainerdBuilder, monkeypatch: pytest.MonkeyPatch, moved: int, times: int
) -> None:
    two_images(built)
    store = opened(built)
    asked: list[int] = []

    def is_newest(_: Database) -> bool:
        asked.append(len(os.listdir("/proc/self/fd")))
        return len(asked) > moved

    monkeypatch.setattr(Database, "is_newest", is_newest)
    # What is of two moments is read all the same, if nothing is missing in it.
    assert len(store.images()) == 2
    assert store.problems == ()
    assert len(asked) == times
    # What was opened in vain is closed before the next time.
    assert len(set(asked)) == 1


@pytest.mark.parametrize("which", ["meta", "snapshots"])
def test_database_that_never_rests(
    built: ContainerdBuilder, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    two_images(built)
    store = opened(built)
    monkeypatch.setattr("layerscan.stores.containerd.bolt._LONGEST_COPY", 0)
    pauses: list[float] = []
    monkeypatch.setattr(readings, "sleep", pauses.append)
    check = ContainerdRecords.check_unmoved

    moved, other = built.meta_path(), built.snapshots_path()
    if which == "snapshots":
        moved, other = other, moved

    def moving(self: ContainerdRecords) -> None:
        os.rename(other, f"{other}.kept")
        built.write()
        os.rename(f"{other}.kept", other)
        check(self)

    monkeypatch.setattr(ContainerdRecords, "check_unmoved", moving)
    assert store.images() == []
    what = "kept changing while it was read; left out: one:1, two:1"
    assert [str(problem) for problem in store.problems] == [f"{moved}: {what}"]
    assert pauses == [0.05, 0.1, 0.2]


def test_store_that_may_not_be_read() -> None:
    with open_to_all() as folder:
        built = ContainerdBuilder(f"{folder}/containerd")
        two_images(built)
        built.write()
        for path, _, files in os.walk(folder):
            os.chmod(path, OPEN)
            for name in files:
                os.chmod(os.path.join(path, name), 0o644)
        databases = os.path.dirname(built.meta_path())

        def read() -> str:
            try:
                store = ContainerdStore(built.root)
                store.images()
            except StoreError as error:
                return str(error)
            return " ".join(map(str, store.problems))

        assert as_nobody(read) == ""
        os.chmod(built.snapshots_path(), 0)
        said = f"{built.snapshots_path()}: permission denied; use sudo; left out: one:1, two:1"
        assert as_nobody(read) == said
        os.chmod(built.meta_path(), 0)
        assert as_nobody(read) == f"{built.meta_path()}: permission denied; use sudo"
        os.chmod(databases, 0)
        assert as_nobody(read) == f"{databases}: permission denied; use sudo"
        os.chmod(databases, OPEN)
