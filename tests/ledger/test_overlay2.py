"""Where every byte of a Docker data root is: stores that are made up."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from layerscan.ledger.beside import taken_beside
from layerscan.ledger.processes import Processes
from layerscan.stores import places
from layerscan.stores.holdings import Category
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders import bolt, ledger_case
from tests.builders.ledger_case import HEX, container_config, item
from tests.builders.overlay2_case import Case
from tests.builders.tree import File
from tests.builders.user import as_nobody
from tests.cli_runner import run_here
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.ledger.model import Ledger

CONTAINER = "c0" * 32


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "docker")


def stock(case: Case, *, min_age: float = 0) -> Ledger:
    return ledger_case.stock(Overlay2Store(case.store.root), min_age=min_age)


def add(case: Case, *files: File) -> None:
    ledger_case.add(case.store.root, *files)


def test_images_and_their_layers(case: Case) -> None:
    ledger = stock(case)
    base = item(ledger, f"overlay2/{case.base.cache_id}")
    assert base.holding.category is Category.IMAGES
    assert base.holding.name == "one:1, layer 1 of 2"
    assert ledger.sums[Category.IMAGES].number == 2
    assert ledger.sums[Category.UNREFERENCED].usage == 0
    freeable = ledger.sums[Category.IMAGES].freeable
    whole = [one for one in ledger.items if one.holding.key.startswith(("layer:", "image:"))]
    assert freeable == sum(one.usage for one in whole)


def test_a_layer_is_called_by_the_smallest_image_that_has_a_name(case: Case) -> None:
    top = case.store.layer(case.base, File("top", size=100))
    other = case.store.layer(top, File("other", size=100))
    case.store.image([case.base, top])
    case.store.image([case.base, top, other], names=["large:1"])
    ledger = stock(case)
    assert item(ledger, f"overlay2/{top.cache_id}").holding.name == "large:1, layer 2 of 3"
    assert item(ledger, f"overlay2/{case.base.cache_id}").holding.name == "one:1, layer 1 of 2"


def test_a_container_keeps_what_it_uses(case: Case) -> None:
    container = case.store.container(case.one, File("written", size=5000))
    container_config(
        case.store.root,
        container,
        Name="/web",
        Image=case.image_one,
        MountPoints={"/data": {"Name": "data"}, "/bind": {"Source": "/srv"}},
    )
    for name in ("data", "lost"):
        add(case, File(f"volumes/{name}/_data/f", size=9000))
    log = os.path.join(case.store.root, "containers", container, f"{container}-json.log.1")
    with open(log, "wb") as file:
        file.write(b"x" * 20_000)
    ledger = stock(case)
    assert item(ledger, f"containers/{container}").holding.name == "web"
    assert item(ledger, "-json.log.1").holding.name == "web (logs)"
    assert item(ledger, "-json.log.1").usage == 20_480
    assert ledger.sums[Category.CONTAINERS].number == 1
    assert ledger.sums[Category.CONTAINERS].freeable == ledger.sums[Category.CONTAINERS].usage
    lost = item(ledger, "volumes/lost")
    assert ledger.sums[Category.VOLUMES].freeable == lost.usage
    # The container keeps the image that it was made of.
    own = item(ledger, f"overlay2/{case.two.cache_id}").usage
    assert own < ledger.sums[Category.IMAGES].freeable < own + 3 * 4096 + 1


def test_a_folder_that_no_record_names(case: Case) -> None:
    add(case, File(f"overlay2/{HEX}/diff/f", size=100_000))
    os.symlink(f"../{HEX}/diff", os.path.join(case.store.root, "overlay2/l", "A" * 26))
    ledger = stock(case)
    lost = item(ledger, f"overlay2/{HEX}")
    assert lost.holding.category is Category.UNREFERENCED
    assert lost.holding.reason == "no layer, container or build cache names this folder"
    assert lost.holding.paths[1].endswith(f"l/{'A' * 26}")
    assert lost.since == pytest.approx(os.stat(lost.holding.paths[0]).st_ctime, abs=1)
    assert ledger.sums[Category.UNREFERENCED].freeable == lost.usage > 100_000


def test_what_was_changed_just_now_is_unclear(case: Case) -> None:
    add(case, File(f"overlay2/{HEX}/diff/f", size=10))
    lost = item(stock(case, min_age=300), f"overlay2/{HEX}")
    assert lost.holding.category is Category.UNCLEAR
    assert "it was changed 0 s ago" in lost.holding.reason


def test_a_layer_of_an_image_that_is_gone(case: Case) -> None:
    layer = case.store.layer(case.base, File("three", size=20))
    os.unlink(case.store.config_path(case.store.image([case.base, layer])))
    ledger = stock(case)
    lost = item(ledger, f"overlay2/{layer.cache_id}")
    assert lost.holding.category is Category.UNREFERENCED
    assert "a layer of no image" in lost.holding.reason
    assert item(ledger, f"overlay2/{case.base.cache_id}").holding.category is Category.IMAGES
    recent = item(stock(case, min_age=300), f"overlay2/{layer.cache_id}")
    assert recent.holding.category is Category.UNCLEAR


def test_a_record_that_cannot_be_read_leaves_all_unclear(case: Case) -> None:
    add(case, File(f"overlay2/{HEX}/diff/f", size=10))
    with open(case.store.config_path(case.image_two), "w", encoding="utf-8") as file:
        file.write("{}")
    ledger = stock(case)
    assert ledger.problems
    for ending in (f"overlay2/{HEX}", f"overlay2/{case.two.cache_id}"):
        lost = item(ledger, ending)
        assert lost.holding.category is Category.UNCLEAR
        assert "cannot be read" in lost.holding.reason
    assert ledger.sums[Category.UNREFERENCED].usage == 0


def test_a_record_of_a_mount_that_cannot_be_read_leaves_all_unclear(case: Case) -> None:
    add(case, File(f"overlay2/{HEX}/diff/f", size=10))
    container = case.store.container(case.one, File("written", size=10))
    mount_id = os.path.join(case.store.root, "image/overlay2/layerdb/mounts", container, "mount-id")
    os.unlink(mount_id)
    os.mkdir(mount_id)
    ledger = stock(case)
    assert any(mount_id in problem.where for problem in ledger.problems)
    assert item(ledger, f"overlay2/{HEX}").holding.category is Category.UNCLEAR


def test_what_an_interrupted_pull_left(case: Case) -> None:
    write_set = "image/overlay2/layerdb/tmp/write-set-1"
    add(case, File(f"{write_set}/tar-split.json.gz", size=10))
    ledger = stock(case)
    left = item(ledger, "write-set-1")
    # No engine runs that could go on.
    assert left.holding.category is Category.UNREFERENCED
    assert left.holding.reason == "left by a pull or build that broke off"


def test_the_build_cache(case: Case) -> None:
    names = {"parent": "p" * 25, "own": "o" * 25, "taken": case.two.cache_id}
    for name in (names["parent"], names["own"]):
        add(case, File(f"overlay2/{name}/diff/f", size=8000))
    chain = case.two.chain_id
    snapshots = {
        names["parent"].encode(): {b"parent": b""},
        b"committed": {b"committed": names["own"].encode(), b"parent": names["parent"].encode()},
        b"layer": {b"committed": names["taken"].encode(), b"chainid": chain.encode()},
    }
    add(case, File("buildkit/snapshots.db", content=bolt.database(snapshots)))
    ledger = stock(case)
    for name in (names["parent"], names["own"]):
        assert item(ledger, f"overlay2/{name}").holding.category is Category.BUILD_CACHE
    assert item(ledger, f"overlay2/{names['taken']}").holding.category is Category.IMAGES
    # What the cache has of an image is not freed with the image.
    assert ledger.sums[Category.BUILD_CACHE].number == 3
    two = item(ledger, f"imagedb/content/sha256/{case.image_two.removeprefix('sha256:')}")
    one = item(ledger, f"overlay2/{case.one.cache_id}")
    assert ledger.sums[Category.IMAGES].freeable == two.usage * 2 + one.usage


def test_images_of_a_storage_driver_of_before(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/f"
    for name in ("vfs/dir/x/f", "image/vfs/repositories.json", inside):
        add(case, File(name, size=50_000))
    ledger = stock(case)
    for ending in ("docker/vfs", "io.containerd.snapshotter.v1.overlayfs"):
        left = item(ledger, ending)
        # No Docker runs that could show it.
        assert left.holding.category is Category.UNCLEAR
        assert left.holding.reason.startswith("nothing says whether Docker")
        assert left.usage > 50_000
    monkeypatch.setattr(
        "layerscan.ledger.stocktaking.look_at_processes",
        lambda *_: Processes({}, started=0.0, is_complete=True),
    )
    for ending in ("docker/vfs", "io.containerd.snapshotter.v1.overlayfs"):
        left = item(stock(case), ending)
        assert left.holding.category is Category.UNREFERENCED
        assert left.holding.reason.startswith("left ")
    monkeypatch.undo()
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"data-root": case.store.root, "storage-driver": "overlay2"}))
    monkeypatch.setattr(places, "DOCKER_CONFIG", str(config))
    ledger = stock(case)
    assert item(ledger, "docker/vfs").holding.category is Category.UNCLEAR
    left = item(ledger, "io.containerd.snapshotter.v1.overlayfs")
    assert left.holding.category is Category.UNREFERENCED
    assert str(config) in left.holding.reason


def test_what_docker_did_not_make(case: Case) -> None:
    add(case, File("backup/f", size=50_000), File("vfs/dir/x/f", size=50_000))
    ledger = stock(case)
    assert item(ledger, "docker/backup").holding.category is Category.OTHER
    assert item(ledger, "docker/vfs").holding.category is Category.UNCLEAR


def test_a_container_without_its_config_or_its_folder(case: Case) -> None:
    os.makedirs(os.path.join(case.store.root, "containers", CONTAINER))
    container = case.store.container(case.one, File("written", size=5000))
    ledger = stock(case)
    assert "config.v2.json" in item(ledger, f"containers/{CONTAINER}").holding.reason
    lost = item(ledger, f"layerdb/mounts/{container}")
    assert lost.holding.category is Category.UNREFERENCED
    assert lost.usage > 5000


def test_what_is_beside_some_images(case: Case) -> None:
    add(case, File("volumes/data/_data/f", size=50_000))
    store = Overlay2Store(case.store.root)
    images = [one for one in store.images() if one.image_id == case.image_one]
    folders = {layer.folder for one in images for layer in one.layers}
    known = {"image_ids": {case.image_one}, "folders": folders}
    holdings = store.holdings().holdings
    found = taken_beside(holdings, **known, seconds=60)
    ledger = stock(case)
    mine = [
        item
        for item in ledger.items
        if item.holding.image_id == case.image_one or not folders.isdisjoint(item.holding.paths)
    ]
    assert found == (ledger.total - sum(item.usage for item in mine), True)
    assert taken_beside(holdings, **known, seconds=-1) is None


def test_what_is_beside_images_and_cannot_be_read_is_told(open_path: Path) -> None:
    require_root()
    case = Case.build(open_path / "docker")
    add(case, File("volumes/data/_data/f", size=50_000))
    os.chmod(os.path.join(case.store.root, "volumes/data"), 0)
    holdings = Overlay2Store(case.store.root).holdings().holdings
    found = as_nobody(lambda: taken_beside(holdings, image_ids=set(), folders=set(), seconds=60))
    assert found is not None
    assert not found.is_whole


def test_a_time_of_no_year_is_left_out(case: Case) -> None:
    add(case, File(f"overlay2/{HEX}/diff/f", size=10))
    os.utime(os.path.join(case.store.root, "overlay2", HEX), (1e12, 1e12))
    for form in ("table", "json", "markdown"):
        done = run_here("df", "-d", case.store.root, "--min-age", "0", "--format", form)
        assert done.status == 0, done.lines
        assert HEX in done.text
