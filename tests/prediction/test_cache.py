"""Figures that are kept: what is known is not even asked for, and nothing is believed blindly."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerscan.errors import LayerscanError
from layerscan.prediction import cache as prediction_cache
from layerscan.prediction.cache import CacheConditions, KnownLayer, PredictionCache
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.images import Prediction
from layerscan.prediction.stores.model import LayerFigures
from layerscan.sources.model import SourceLayer
from tests.builders import tree
from tests.builders.images import Image, Layer
from tests.builders.predict_case import BASE, TOP, predicted
from tests.builders.registry_server import OpenRegistry
from tests.requirements import require_root

base, top = Layer.of(*BASE), Layer.of(*TOP)

LAYER = SourceLayer("sha256:" + "1" * 64, "sha256:" + "2" * 64, 300)
EXT4 = CacheConditions("ext4,block=4096,inode=256", "gzip")
FIGURES = KnownLayer(LayerFigures(1, 2, 3, 4, 300, 6, 7), is_whole=True)


@pytest.fixture
def image(open_registry: OpenRegistry) -> OpenRegistry:
    Image.of(base, top).put(open_registry, "acme/web:7")
    return open_registry


def reads(registry: OpenRegistry, layer: Layer) -> int:
    return registry.count("GET", f"/blobs/{layer.digest}")


def run(registry: OpenRegistry, folder: Path, **options: object) -> Prediction:
    return predicted(registry, "acme/web:7", cache=PredictionCache(str(folder)), **options)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_known_layer_is_not_asked_for(image: OpenRegistry, tmp_path: Path) -> None:
    first = run(image, tmp_path / "new" / "cache")
    again = run(image, tmp_path / "new" / "cache")
    assert again.images == first.images
    assert (reads(image, base), reads(image, top)) == (1, 1)
    Image.of(base, Layer.of(tree.File("new", size=1))).put(image, "acme/web:7")
    changed = run(image, tmp_path / "new" / "cache")
    assert reads(image, base) == 1
    assert changed.images[0].layers[0] == first.images[0].layers[0]


def test_what_the_figures_depend_on_is_kept_apart(image: OpenRegistry, tmp_path: Path) -> None:
    run(image, tmp_path)
    small = run(image, tmp_path, fs=file_system("ext4", 1024))
    assert reads(image, base) == 2
    run(image, tmp_path, store="containerd")
    assert reads(image, base) == 3
    # By which rule they are added up does not count.
    run(image, tmp_path, accounting="exact")
    assert reads(image, base) == 3
    assert small.images == run(image, tmp_path, fs=file_system("ext4", 1024)).images
    assert len(files(tmp_path)) == 2 * 3


def test_every_shape_of_a_file_system_is_kept_apart(image: OpenRegistry, tmp_path: Path) -> None:
    shapes = ("ext4", "ext4,inode=128", "ext4,cluster=8192", "xfs", "xfs,inode=1024")
    for number, shape in enumerate(shapes, 1):
        run(image, tmp_path, fs=file_system(shape))
        assert reads(image, base) == number
    # Other words for the same file system.
    run(image, tmp_path, fs=file_system("ext4,block=4096,cluster=4096,inode=256"))
    assert reads(image, base) == len(shapes)


def test_what_takes_less_than_its_blocks_is_known_again(
    image: OpenRegistry, tmp_path: Path
) -> None:
    # Small files on btrfs: the overhead is below zero.
    first = run(image, tmp_path, fs="btrfs", accounting="exact")
    again = run(image, tmp_path, fs="btrfs", accounting="exact")
    assert (again.images, again.notes) == (first.images, ())
    assert reads(image, base) == 1
    kept = [json.loads(file.read_bytes())["figures"]["overhead"] for file in files(tmp_path)]
    assert min(kept) < 0


def test_other_rules_know_nothing(
    image: OpenRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(image, tmp_path)
    monkeypatch.setattr(prediction_cache, "RULES", prediction_cache.RULES + 1)
    assert run(image, tmp_path).notes == ()
    assert reads(image, base) == 2


def changed(path: Path, **values: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(json.loads(path.read_bytes()) | values).encode()


@pytest.mark.parametrize(
    "damage",
    [
        {"content": b""},
        {"content": b"\xff"},
        {"content": b"[]"},
        {"content": b"{}"},
        {"content": b" " * 5000},
        {"figures": {**FIGURES.figures._asdict(), "size": -1}},
        {"figures": {**FIGURES.figures._asdict(), "size": "1"}},
        {"figures": {**FIGURES.figures._asdict(), "overhead": -(2**63)}},
        {"figures": {"size": 1}},
        {"figures": []},
        {"is_whole": 1},
        {"digest": LAYER.digest},
        {"diff_id": LAYER.diff_id},
        {"file_system": "ext4,block=1024,inode=256"},
        {"rules": 0},
    ],
)
def test_what_is_damaged_or_foreign_counts_as_not_there(
    image: OpenRegistry, tmp_path: Path, damage: dict[str, Any]
) -> None:
    expected = run(image, tmp_path).images
    for path in files(tmp_path):
        path.write_bytes(damage["content"] if "content" in damage else changed(path, **damage))
    found = run(image, tmp_path)
    assert found.images == expected
    assert (reads(image, base), reads(image, top)) == (2, 2)
    # One line, however many files.
    (note,) = found.notes
    assert note.startswith(f"--cache: what is there of some layers is not used: {tmp_path}/")
    assert note.isprintable()
    # It is mended.
    assert run(image, tmp_path).notes == ()
    assert reads(image, base) == 2


def test_a_path_that_is_no_file(image: OpenRegistry, tmp_path: Path) -> None:
    run(image, tmp_path)
    paths = files(tmp_path)
    paths[0].unlink()
    paths[0].symlink_to(paths[1].rename(tmp_path / "elsewhere"))
    os.mkfifo(paths[1])
    found = run(image, tmp_path)
    assert (reads(image, base), reads(image, top)) == (2, 2)
    assert len(found.notes) == 1
    assert run(image, tmp_path).notes == ()


def test_a_folder_in_a_files_place(image: OpenRegistry, tmp_path: Path) -> None:
    run(image, tmp_path)
    for path in files(tmp_path):
        path.unlink()
        path.mkdir()
    found = run(image, tmp_path)
    (read, kept) = found.notes
    assert "is no regular file" in read
    assert kept.startswith("--cache: not all layers are kept: ")
    assert [path.suffix for path in files(tmp_path)] == [".json"] * 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in (tmp_path / "file", tmp_path / "file" / "below", "nul\0"):
        with pytest.raises(LayerscanError, match=r"--cache .*: the folder cannot be made: "):
            PredictionCache(str(name))


def test_who_lies_about_a_length_is_found_out(image: OpenRegistry, tmp_path: Path) -> None:
    run(image, tmp_path)
    raw = image.manifests("acme/web")[image.tags("acme/web")["7"]]
    document = json.loads(raw)
    document["layers"][0]["size"] += 1
    image.put_manifest("acme/web", json.dumps(document).encode(), document["mediaType"], "7")
    with pytest.raises(LayerscanError, match=base.digest):
        run(image, tmp_path)


def test_what_was_read_before_an_error_is_kept(image: OpenRegistry, tmp_path: Path) -> None:
    del image.blobs("acme/web")[top.digest]
    with pytest.raises(LayerscanError):
        run(image, tmp_path, workers=1)
    assert len(files(tmp_path)) == 1


def test_a_table_of_contents_is_not_all_of_a_layer(tmp_path: Path) -> None:
    cache = PredictionCache(str(tmp_path))
    cache.keep(LAYER, EXT4, FIGURES._replace(is_whole=False))
    assert PredictionCache(str(tmp_path)).find(LAYER, EXT4) == FIGURES._replace(is_whole=False)


def test_many_at_a_time(tmp_path: Path) -> None:
    """Several processes write and read the same file: each reads nothing or all of it."""

    def work(number: int) -> tuple[str, ...]:
        cache = PredictionCache(str(tmp_path))
        for _ in range(50):
            if number % 2:
                cache.keep(LAYER, EXT4, FIGURES)
            else:
                assert PredictionCache(str(tmp_path)).find(LAYER, EXT4) in (None, FIGURES)
        return cache.notes

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(8))) == {()}
    (path,) = files(tmp_path)
    assert path.name == f"{'1' * 64}-{EXT4.file_system}-gzip-{prediction_cache.RULES}.json"


def test_without_a_folder_it_knows_what_this_run_has_read(image: OpenRegistry) -> None:
    cache = PredictionCache()
    for _ in range(2):
        predicted(image, "acme/web:7", cache=cache)
    assert reads(image, base) == 1
    assert cache.find(LAYER, EXT4) is None


def as_of_others(path: Path) -> None:
    os.chown(path, 65534, 65534)


def as_writable_for_the_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def as_writable_for_all(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


OTHERS = [as_of_others, as_writable_for_the_group, as_writable_for_all]


@pytest.mark.root
@pytest.mark.parametrize("change", OTHERS)
def test_files_that_others_can_write_to_are_not_used(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    require_root()
    PredictionCache(str(tmp_path)).keep(LAYER, EXT4, FIGURES)
    (path,) = files(tmp_path)
    change(path)
    cache = PredictionCache(str(tmp_path))
    assert cache.find(LAYER, EXT4) is None
    (note,) = cache.notes
    assert note == (
        f"--cache: what is there of some layers is not used: {path}: others can write to it; "
        "only what you or root alone can write is used"
    )
    # What is found anew takes its place.
    cache.keep(LAYER, EXT4, FIGURES)
    assert PredictionCache(str(tmp_path)).find(LAYER, EXT4) == FIGURES


@pytest.mark.root
@pytest.mark.parametrize("change", OTHERS)
def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    require_root()
    folder = tmp_path / "cache"
    PredictionCache(str(folder)).keep(LAYER, EXT4, FIGURES)
    change(folder)
    cache = PredictionCache(str(folder))
    assert cache.find(LAYER, EXT4) is None
    cache.keep(LAYER._replace(diff_id="sha256:" + "3" * 64), EXT4, FIGURES)
    (note,) = cache.notes
    assert note.startswith(f"--cache: the folder is not used: {folder}: others can write to it")
    assert len(files(folder)) == 1


@pytest.mark.root
def test_a_link_of_others_to_the_folder_is_refused(tmp_path: Path) -> None:
    require_root()
    (tmp_path / "mine").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "cache"
    link.symlink_to(tmp_path / "mine")
    os.lchown(link, 65534, 65534)
    for path in (link, link / "below"):
        with pytest.raises(LayerscanError, match="cache is a symbolic link of user 65534"):
            PredictionCache(str(path))
    assert files(tmp_path / "mine") == []


def test_what_it_makes_nobody_else_can_write_to_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        PredictionCache(str(tmp_path / "new" / "cache")).keep(LAYER, EXT4, FIGURES)
    finally:
        os.umask(before)
    cache = PredictionCache(str(tmp_path / "new" / "cache"))
    assert (cache.find(LAYER, EXT4), cache.notes) == (FIGURES, ())


def test_the_folder_is_closed_with_the_cache(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    kept = PredictionCache(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    del kept
    assert os.listdir("/proc/self/fd") == before
