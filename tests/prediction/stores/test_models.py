"""What the models of image stores count around layers and images.

The file system here is one whose figures show what was asked for. That the sums are
those of real stores, `tests/integration/test_predict_stores.py` shows.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.prediction.stores.model import (
    OVERLAY_LINK,
    LayerFigures,
    Position,
    store_model,
)
from layerscan.stores.accounting import Accounting, grown_once
from layerscan.stores.containerd import footprint as containerd_footprint
from layerscan.stores.containers_storage import footprint as containers_storage_footprint
from layerscan.stores.overlay2 import footprint as overlay2_footprint
from layerscan.tar.tarsplit import TarSplit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from layerscan.stores.model import Growth
    from layerscan.tar.tree import LayerTree

BLOCK = 4096
FOLDER = 1 << 20
FILE = 1 << 24
"""What a folder takes, and what a file takes beside its bytes: powers far apart."""

DOCKER, EXACT = Accounting.DOCKER, Accounting.EXACT
BOTTOM, MIDDLE, TOP = Position(0, is_top=False), Position(2, is_top=False), Position(2, is_top=True)
ONLY = Position(0, is_top=True)
EMPTY = LayerFigures(0, 0, 0, 0, 0, 0, 0)


class Telling(FileSystem):
    """A file system whose figures tell what they are made of."""

    name = "telling"
    block_size = unit = BLOCK

    def inodes(self, tree: LayerTree) -> NDArray[np.int64]:
        raise AssertionError(f"the tree is in the figures: {tree}")

    def overhead(self, tree: LayerTree) -> int:
        raise AssertionError(f"so is its overhead: {tree}")

    def refused(self, tree: LayerTree) -> str:
        raise AssertionError(f"no store asks for it: {tree}")

    def file(self, size: int) -> int:
        return FILE + size

    def folder(self) -> int:
        return FOLDER


class Inline(Telling):
    """One where small things take no blocks, and files of more than 100 bytes two."""

    def file(self, size: int) -> int:
        return 2 * BLOCK if size > 100 else 0

    def folder(self) -> int:
        return 0


class Clustered(Inline):
    """One that gives out no less than 16 blocks."""

    unit = 16 * BLOCK


def kib(taken: int) -> int:
    return -(-taken // 1024) * 1024


# The docker rule.


@pytest.mark.parametrize(
    ("position", "around"),
    [
        (ONLY, FOLDER + FILE + 26),
        (BOTTOM, FOLDER + FILE + 26 + FILE),
        (TOP, 2 * FOLDER + FILE + 26 + FILE + 57),
        (MIDDLE, 2 * FOLDER + FILE + 26 + FILE + 57 + FILE),
        (Position(1, is_top=True), 2 * FOLDER + FILE + 26 + FILE + 28),
    ],
)
def test_docker_folder_has_link_lower_work_and_committed(position: Position, around: int) -> None:
    found = store_model("overlay2").layer_usage(EMPTY, position, Telling(), DOCKER)
    assert found == kib(around)


def test_a_link_is_as_long_as_engines_make_them() -> None:
    # moby's overlay2 driver and containers/storage: 16 bytes in base 32, without padding.
    assert len(OVERLAY_LINK) == len(base64.b32encode(bytes(16)).rstrip(b"=")) == 26


@pytest.mark.parametrize("position", [BOTTOM, MIDDLE, TOP])
def test_containerd_folder_has_work(position: Position) -> None:
    layer = EMPTY._replace(archive_size=10**9)
    found = store_model("containerd").layer_usage(layer, position, Telling(), DOCKER)
    assert found == 2 * FOLDER


@pytest.mark.parametrize(
    ("position", "around"),
    [
        (BOTTOM, 4 * FOLDER + FILE + 26),
        (MIDDLE, 3 * FOLDER + FILE + 26 + FILE + 57),
        (TOP, 3 * FOLDER + FILE + 26 + FILE + 57),
    ],
)
def test_containers_storage_folder_has_link_lower_merged_and_work(
    position: Position, around: int
) -> None:
    found = store_model("containers-storage").layer_usage(EMPTY, position, Telling(), DOCKER)
    assert found == kib(around)


@pytest.mark.parametrize(("content", "rounded"), [(0, 0), (512, 1024), (1024, 1024), (1025, 2048)])
def test_content_is_rounded_up_to_kib_and_tar_split_is_not(content: int, rounded: int) -> None:
    layer = EMPTY._replace(content=content, tar_split=777, overhead=99)
    found = store_model("overlay2").layer_usage(layer, ONLY, Inline(), DOCKER)
    assert found == rounded + 777


# The exact rule.


@pytest.mark.parametrize(
    ("store", "growth", "bottom", "above"),
    [
        ("overlay2", overlay2_footprint.GROWTH, 10, 13),
        ("containerd", containerd_footprint.GROWTH, 3, 3),
        ("containers-storage", containers_storage_footprint.GROWTH, 7, 7),
    ],
)
def test_everything_kept_of_a_layer_takes_a_block_at_least(
    store: str, growth: Growth, bottom: int, above: int
) -> None:
    layer = EMPTY._replace(content=3 * BLOCK, overhead=555, tar_split=90, archive_size=90)
    for position, count in ((BOTTOM, bottom), (TOP, above), (MIDDLE, above)):
        found = store_model(store).layer_usage(layer, position, Inline(), EXACT)
        assert found == 3 * BLOCK + 555 + count * BLOCK + growth.layer_bytes


@pytest.mark.parametrize(
    ("store", "figure"),
    [
        ("overlay2", "tar_split"),
        ("containers-storage", "tar_split"),
        ("containerd", "archive_size"),
    ],
)
def test_long_files_take_what_they_take(store: str, figure: str) -> None:
    model = store_model(store)
    short, long = (EMPTY._replace(**{figure: length}) for length in (100, 101))
    more = model.layer_usage(long, TOP, Inline(), EXACT)
    assert more == model.layer_usage(short, TOP, Inline(), EXACT) + BLOCK


@pytest.mark.parametrize("store", ["overlay2", "containers-storage"])
def test_layer_on_many_has_a_long_list_of_these(store: str) -> None:
    three, four = (Position(depth, is_top=True) for depth in (3, 4))
    for accounting, more in ((DOCKER, 2 * BLOCK), (EXACT, BLOCK)):
        on_three = store_model(store).layer_usage(EMPTY, three, Inline(), accounting)
        on_four = store_model(store).layer_usage(EMPTY, four, Inline(), accounting)
        assert on_four - on_three == more


def test_tar_split_counts_as_a_file_by_the_exact_rule() -> None:
    layer = EMPTY._replace(tar_split=50_000)
    assert store_model("overlay2").layer_usage(layer, ONLY, Telling(), EXACT) == (
        FILE + 50_000 + 9 * BLOCK + overlay2_footprint.GROWTH.layer_bytes
    )


# Inodes.


@pytest.mark.parametrize(
    ("store", "bottom", "above"),
    [("overlay2", 10, 14), ("containerd", 3, 3), ("containers-storage", 7, 7)],
)
def test_everything_kept_of_a_layer_is_an_inode(store: str, bottom: int, above: int) -> None:
    # Docker's `committed` in the folder of the layer beneath is one, and takes no block.
    layer = EMPTY._replace(inodes=100)
    for position, count in ((ONLY, bottom), (BOTTOM, bottom), (TOP, above), (MIDDLE, above)):
        assert store_model(store).layer_inodes(layer, position, Inline()) == 100 + count


@pytest.mark.parametrize(
    ("store", "count"), [("overlay2", 2), ("containerd", 3), ("containers-storage", 6)]
)
def test_every_document_of_an_image_is_an_inode(store: str, count: int) -> None:
    # Docker keeps the config, and the manifest in the store of its containerd.
    assert store_model(store).document_inodes((5000, 900, 300), Inline()) == count


# Images.


@pytest.mark.parametrize("store", ["overlay2", "containerd", "containers-storage"])
def test_image_takes_nothing_by_the_docker_rule(store: str) -> None:
    assert store_model(store).image_usage((5000, 900, 300), Telling(), DOCKER) == 0


@pytest.mark.parametrize(
    ("store", "growth", "documents"),
    [
        ("overlay2", overlay2_footprint.GROWTH, FILE + 5000),
        ("containerd", containerd_footprint.GROWTH, 3 * FILE + 5000 + 900 + 300),
        (
            "containers-storage",
            containers_storage_footprint.GROWTH,
            FOLDER + 5 * FILE + 5000 + 2 * 900 + 300,
        ),
    ],
)
def test_documents_of_an_image(store: str, growth: Growth, documents: int) -> None:
    found = store_model(store).image_usage((5000, 900, 300), Telling(), EXACT)
    assert found == documents + growth.image_bytes + grown_once(growth, BLOCK, is_first=True)


@pytest.mark.parametrize("store", ["overlay2", "containerd", "containers-storage"])
def test_image_of_an_archive_without_manifests_will_have_one(store: str) -> None:
    model = store_model(store)
    without = model.image_usage((90,), Inline(), EXACT)
    assert without == model.image_usage((90, 1), Inline(), EXACT)


@pytest.mark.parametrize("store", ["overlay2", "containerd", "containers-storage"])
def test_nothing_takes_less_than_the_file_system_gives_out(store: str) -> None:
    model, growth = store_model(store), store_model(store).growth
    shared = growth.layer_bytes
    inline = model.layer_usage(EMPTY, ONLY, Inline(), EXACT) - shared
    assert model.layer_usage(EMPTY, ONLY, Clustered(), EXACT) - shared == 16 * inline
    shared = growth.image_bytes + growth.first_bytes
    inline = model.image_usage((90, 90), Inline(), EXACT) - shared
    assert model.image_usage((90, 90), Clustered(), EXACT) - shared == 16 * inline


# Which there are.


def test_what_each_store_keeps_of_the_tar() -> None:
    kept = {name: store_model(name).tar_split for name in ("overlay2", "containers-storage")}
    assert kept == {"overlay2": TarSplit.GZIP, "containers-storage": TarSplit.PGZIP}
    assert store_model("containerd").tar_split is TarSplit.NONE


def test_unknown_store_is_told_with_those_that_there_are() -> None:
    with pytest.raises(LayerscanError, match="no store 'aufs': there are overlay2, containerd, co"):
        store_model("aufs")
