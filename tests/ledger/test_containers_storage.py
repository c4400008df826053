"""Where every byte of a store of containers/storage is: stores that are made up."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from layerscan.stores.containers_storage.store import ContainersStorageStore
from layerscan.stores.holdings import Category
from tests.builders import bolt, ledger_case
from tests.builders.containers_storage import StoreBuilder
from tests.builders.ledger_case import HEX, add, item
from tests.builders.tree import File

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.ledger.model import Ledger

CONTAINER = "c0" * 32
VOLUMES = {"data": [CONTAINER], "lost": []}


@pytest.fixture
def store(tmp_path: Path) -> StoreBuilder:
    store = StoreBuilder(tmp_path / "storage")
    base = store.layer(None, File("base", size=10))
    store.image([base, store.layer(base, File("one", size=20))], names=["x.example/one:1"])
    return store


def stock(store: StoreBuilder, *, min_age: float = 0) -> Ledger:
    return ledger_case.stock(ContainersStorageStore(store.root), min_age=min_age)


def container(store: StoreBuilder, *, image: str) -> str:
    """A container with a writable layer; the layer's id."""
    layer = store.layer(store.layers[1], File("written", size=5000), pulled=False)
    record = {"id": CONTAINER, "names": ["web"], "image": image, "layer": layer.layer_id}
    path = store.path("overlay-containers", "containers.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump([record], file)
    add(store.root, File(f"overlay-containers/{CONTAINER}/userdata/ctr.log", size=30_000))
    return layer.layer_id


def test_images_and_containers(store: StoreBuilder) -> None:
    image = store.images[0].record_id
    layer = container(store, image=image)
    ledger = stock(store)
    assert item(ledger, f"overlay/{store.layers[0].layer_id}").holding.name == (
        "x.example/one:1, layer 1 of 2"
    )
    written = item(ledger, f"overlay/{layer}")
    assert (written.holding.category, written.holding.name) == (
        Category.CONTAINERS,
        "web (writable layer)",
    )
    assert item(ledger, "ctr.log").usage == 32_768
    assert ledger.sums[Category.IMAGES].freeable == 0
    assert ledger.sums[Category.CONTAINERS].number == 1
    assert item(ledger, f"overlay-images/{image}").holding.names == ("x.example/one:1",)


def test_what_no_list_names(store: StoreBuilder) -> None:
    layer = store.layer(store.layers[0], File("lost", size=50_000))
    add(
        store.root,
        File(f"overlay/{HEX}/diff/f", size=50_000),
        File(f"overlay-layers/{HEX}.tar-split.gz", size=5000),
        File(f"overlay-images/{HEX}/manifest", size=5000),
        File(f"overlay-containers/{HEX}/userdata/config.json", size=5000),
    )
    ledger = stock(store)
    reasons = {
        f"overlay/{layer.layer_id}": "a layer of no image and no container",
        f"overlay/{HEX}": "no layer on record has this folder",
        f"{HEX}.tar-split.gz": "no layer on record has this file",
        f"overlay-images/{HEX}": "no image on record has this folder",
        f"overlay-containers/{HEX}": "no container on record has this folder",
    }
    for ending, reason in reasons.items():
        found = item(ledger, ending).holding
        assert (found.category, found.reason) == (Category.UNREFERENCED, reason)
    assert ledger.sums[Category.UNREFERENCED].number == len(reasons)
    assert ledger.sums[Category.UNREFERENCED].freeable == ledger.sums[Category.UNREFERENCED].usage


def test_what_was_not_finished(store: StoreBuilder) -> None:
    layer = store.layer(
        store.layers[0], File("part", size=50_000), record={"flags": {"incomplete": True}}
    )
    add(store.root, File("overlay/staging/123/f", size=50_000))
    ledger = stock(store)
    # No process works in the store.
    for ending in (f"overlay/{layer.layer_id}", "overlay/staging/123"):
        found = item(ledger, ending).holding
        assert found.category is Category.UNREFERENCED
        assert "that broke off" in found.reason
    with open(store.folder_path(layer, "diff", "open"), "wb"):
        ledger = stock(store)
        for ending in (f"overlay/{layer.layer_id}", "overlay/staging/123"):
            assert item(ledger, ending).holding.category is not Category.UNREFERENCED


def of_bolt(store: StoreBuilder) -> None:
    vol = {
        name.encode(): {b"vol-dependencies": {user.encode(): user.encode() for user in users}}
        for name, users in VOLUMES.items()
    }
    add(store.root, File("libpod/bolt_state.db", content=bolt.database({b"vol": vol})))


def of_sqlite(store: StoreBuilder) -> None:
    with closing(sqlite3.connect(store.path("db.sql"))) as database:
        database.execute("CREATE TABLE ContainerVolume (ContainerID TEXT, VolumeName TEXT)")
        rows = [(user, name) for name, users in VOLUMES.items() for user in users]
        database.executemany("INSERT INTO ContainerVolume VALUES (?, ?)", rows)
        database.commit()


@pytest.mark.parametrize("form", [of_bolt, of_sqlite])
def test_volumes_that_a_container_uses(store: StoreBuilder, form: object) -> None:
    container(store, image=store.images[0].record_id)
    add(store.root, *(File(f"volumes/{name}/_data/f", size=9000) for name in VOLUMES))
    assert callable(form)
    form(store)
    ledger = stock(store)
    assert ledger.sums[Category.VOLUMES].number == 2
    assert ledger.sums[Category.VOLUMES].freeable == item(ledger, "volumes/lost").usage


def test_a_database_that_is_none_leaves_all_unclear(store: StoreBuilder) -> None:
    add(store.root, File("db.sql", content=b"no database" * 99), File(f"overlay/{HEX}/f", size=9))
    container(store, image="")
    ledger = stock(store)
    assert "is no database of Podman" in str(ledger.problems[0])
    assert item(ledger, f"overlay/{HEX}").holding.category is Category.UNCLEAR
