"""The bounds of Apps and devices: what is at each is taken, what is above is refused."""

from __future__ import annotations

import gzip
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.apps import bundle, document, published, yamltree
from layerscan.apps.ignore import IgnoreRules
from layerscan.errors import ComposeError, DocumentError
from layerscan.files.safefs import Fault, Folder
from layerscan.fit import device_file, sources
from layerscan.prediction import cache as prediction_cache
from layerscan.prediction.cache import CacheConditions, KnownLayer, PredictionCache
from layerscan.prediction.stores.model import LayerFigures
from layerscan.publishing import publish
from layerscan.sources.model import SourceLayer
from tests.builders.bounds_case import refused_if
from tests.builders.bundle_case import BUNDLE, with_compose_file
from tests.builders.device_case import document as device_document
from tests.builders.device_case import loads
from tests.builders.members import member, tar

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("length", [2009, 2010, 2011])
def test_an_app_manifest_that_old_clients_read(length: int) -> None:
    prepared: Any = SimpleNamespace(
        app=SimpleNamespace(name="shop"), warnings=["w"], architectures=(), metadata=None
    )
    target: Any = None
    raw = bytes(length)
    warned = publish._published(prepared, target, raw, has_layers_manifests=False).warnings
    assert warned[0] == "w"
    assert [f"has {length} bytes: old versions" in one for one in warned[1:]] == [True] * (
        length > 2010
    )


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_an_app_manifest_that_is_made(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    raw = document.app_manifest(BUNDLE, None, {})
    monkeypatch.setattr(document, "LONGEST_APP_MANIFEST", len(raw) - more)
    with refused_if(more > 0, DocumentError, f"would have {len(raw)} bytes; clients read"):
        assert document.app_manifest(BUNDLE, None, {}) == raw


def test_blobs_among_which_an_app_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {f"of {size}": size for size in (0, 1, 65_535, 65_536, 65_537)}
    folder: Any = SimpleNamespace(digests=lambda: list(sizes), partial=sizes.get, root="x")
    asked = set()

    def whole(_folder: object, digest: str) -> bytes:
        asked.add(sizes[digest])
        return b""

    monkeypatch.setattr(sources, "_whole", whole)
    with pytest.raises(DocumentError, match="has no App manifest among its blobs"):
        sources._only_app(folder)
    assert asked == {1, 65_535, 65_536}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_volumes_of_a_device(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(device_file, "_MOST_VOLUMES", 2)
    (disk,) = device_document()["volumes"].values()
    volumes = dict.fromkeys(("data", "b", "c")[:number], disk)
    with refused_if(number > 2, DocumentError, "volumes: has more than 2 entries"):
        assert list(loads(volumes=volumes).device.volumes) == list(volumes)


@pytest.mark.parametrize("length", [19, 20, 21])
def test_the_compose_file_of_a_bundle(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(published, "MAX_COMPOSE_FILE", 20)
    raw = with_compose_file("x" * length)
    with refused_if(length > 20, DocumentError, "b: docker-compose.yml: is longer than 20 bytes"):
        assert published._compose_file(raw, "b", "f") == "x" * length


@pytest.mark.parametrize("number", [2, 3, 4])
def test_entries_of_a_bundle(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(published, "MOST_FILES", 3)
    raw = gzip.compress(tar(*(member(str(one)) for one in range(number))))
    with refused_if(number > 3, DocumentError, "has more than 3 entries"):
        assert len(published.bundle_files(raw, "b")) == number


@pytest.mark.parametrize("number", [2, 3, 4])
def test_files_and_folders_of_an_app(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    rules = IgnoreRules("", "f")
    (tmp_path / "wide").mkdir()
    (tmp_path / "deep" / "/".join("d" * number)).mkdir(parents=True)
    for one in range(number):
        (tmp_path / "wide" / str(one)).touch()
    monkeypatch.setattr(bundle, "MOST_FILES", 3)
    with (
        Folder(str(tmp_path / "wide")) as wide,
        refused_if(number > 3, Fault, "has more than 3 files"),
    ):
        assert len(bundle._kept(wide, rules)) == number
    monkeypatch.setattr(bundle, "MOST_FILES", 10)
    monkeypatch.setattr(bundle, "DEEPEST", 3)
    with (
        Folder(str(tmp_path / "deep")) as deep,
        refused_if(number > 3, Fault, "more than 3 folders within each other"),
    ):
        assert len(bundle._kept(deep, rules)) == number


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_levels_of_a_compose_file(monkeypatch: pytest.MonkeyPatch, depth: int) -> None:
    monkeypatch.setattr(yamltree, "DEEPEST", 3)
    plain = "[" * depth + "]" * depth
    # Only by its alias the scalar is `depth` levels down.
    by_alias = f"{{a: &a {'[' * (depth - 2)}x{']' * (depth - 2)}, b: [*a]}}"
    for text in (plain, by_alias):
        with refused_if(depth > 3, ComposeError, "f:1: is nested too deeply"):
            yamltree.read_tree(text, "f")


@pytest.mark.parametrize("number", [3, 4, 5])
def test_nodes_and_text_of_a_compose_file(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    items = number - 1
    monkeypatch.setattr(yamltree, "MOST_NODES", 4)
    with refused_if(number > 4, ComposeError, "its aliases make too much of it"):
        yamltree.read_tree(f"[{'x,' * items}]", "f")
    monkeypatch.setattr(yamltree, "MOST_NODES", 10)
    monkeypatch.setattr(yamltree, "LONGEST_TEXT", 4)
    for text in ("x" * number, f"x: {'y' * (number - 1)}"):
        with refused_if(number > 4, ComposeError, "its aliases make too much of it"):
            yamltree.read_tree(text, "f")


@pytest.mark.parametrize("length", [999, 1000, 1001])
def test_keys_that_are_written_before_a_colon(length: int) -> None:
    tree, _ = yamltree.read_tree(f"? {'k' * length}\n: v\n", "f")
    assert yamltree.write_tree(tree).startswith("? k") == (length > 1000)


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_figures_that_are_kept(tmp_path: Path, length: int) -> None:
    (tmp_path / "f").write_bytes(bytes(length))
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with refused_if(length > 4096, DocumentError, "p: is longer than 4096 bytes"):
            assert prediction_cache._read(folder, "f", "p") == bytes(length)
    finally:
        os.close(folder)


@pytest.mark.parametrize("number", [9, 10, 11])
def test_notes_that_are_kept_of_a_layer(tmp_path: Path, number: int) -> None:
    layer = SourceLayer(f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", 5)
    conditions = CacheConditions("ext4", "gzip")
    known = KnownLayer(LayerFigures(1, 2, 3, 4, 5, 6, 7), is_whole=True, notes=("n",) * number)
    PredictionCache(str(tmp_path)).keep(layer, conditions, known)
    cache = PredictionCache(str(tmp_path))
    assert cache.find(layer, conditions) == (known if number <= 10 else None)
    refused = ["$.notes: has more than 10 entries" in note for note in cache.notes]
    assert refused == [True] * (number > 10)


@pytest.mark.parametrize("number", [1, 39, 40, 41])
def test_links_of_a_bundle(number: int) -> None:
    """Linux follows no more of them (path_resolution(7)), so they lead nowhere on a device."""
    links = {str(one): str(one + 1) for one in range(number - 1)}
    links[str(number - 1)] = "../.."
    assert bundle._leads_out("0", links) == (number <= 40)
