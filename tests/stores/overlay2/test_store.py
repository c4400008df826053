"""Docker's overlay2 store, read: everything that is right about one."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from layerscan.digest import chain_id
from layerscan.files import safefs
from layerscan.reference import parse
from layerscan.stores.model import Image
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.documents import sha256
from tests.builders.overlay2 import BuiltLayer, StoreBuilder, blob_digest
from tests.builders.stores_case import Between, between
from tests.builders.tree import File

__all__ = ["between"]  # a fixture

REGISTRY = "127.0.0.1:5000"


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


def stack(built: StoreBuilder, *names: str) -> list[BuiltLayer]:
    """Layers on one another, each with one file of that name."""
    layers: list[BuiltLayer] = []
    for name in names:
        layers.append(built.layer(layers[-1] if layers else None, File(name, size=10)))
    return layers


def read(built: StoreBuilder, *, exact: bool = False) -> dict[str, Image]:
    """The images of a store without faults, by image id."""
    store = Overlay2Store(built.root, exact=exact)
    images = store.images()
    assert list(store.problems) == []
    return {image.image_id: image for image in images}


def test_image_with_all_its_facts(built: StoreBuilder) -> None:
    layers = stack(built, "a", "b", "c")
    names = [f"{REGISTRY}/acme/edge:2", "nginx:latest", "acme/edge:1"]
    image_id = built.image(layers, names=names, architecture="arm", variant="v7")
    image = read(built)[image_id]
    assert [name.familiar for name in image.names] == [
        f"{REGISTRY}/acme/edge:2",
        "acme/edge:1",
        "nginx:latest",
    ]
    assert (image.architecture, image.os, image.variant) == ("arm", "linux", "v7")
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in layers]
    parent = None
    for layer, declared in zip(image.layers, layers, strict=True):
        assert layer.parent == parent
        assert layer.chain_id == chain_id(parent, declared.diff_id) == declared.chain_id
        assert layer.folder == built.folder_path(declared)
        assert layer.content == "diff"
        assert layer.metadata_files == (built.layer_path(declared, "tar-split.json.gz"),)
        assert layer.recorded_size == declared.size == 10
        assert layer.exact_paths == ()
        parent = layer.chain_id


def test_images_are_sorted_and_share_their_layers(built: StoreBuilder) -> None:
    base = stack(built, "a", "b")
    for name in ("x", "y", "z"):
        built.image([*base, built.layer(base[-1], File(name))], names=[f"{name}:1"])
    images = list(read(built).values())
    assert [image.image_id for image in images] == sorted(image.image_id for image in images)
    assert len({id(image.layers[1]) for image in images}) == 1


def test_digests_of_each_repository(built: StoreBuilder) -> None:
    layers = stack(built, "a", "b")
    other = [sha256("recompressed a"), sha256("recompressed b")]
    built.image(
        layers,
        names=["nginx:1", f"{REGISTRY}/acme/edge:1", "never/pushed:1"],
        pushed={"docker.io/library/nginx": None, f"{REGISTRY}/acme/edge": other},
    )
    (image,) = read(built).values()
    assert image.digests == {
        "docker.io/library/nginx": tuple(blob_digest(layer.diff_id) for layer in layers),
        f"{REGISTRY}/acme/edge": tuple(other),
        "docker.io/never/pushed": (None, None),
    }


def test_newest_digest_of_a_repository_counts(built: StoreBuilder) -> None:
    (layer,) = layers = stack(built, "a")
    image_id = built.image(layers, names=["x:1"])
    for number in range(60):
        repository = "docker.io/library/x" if number % 2 else "docker.io/library/y"
        built.add_v2metadata(layer.diff_id, sha256(str(number)), repository)
    assert len(json.loads(Path(built.v2metadata_path(layer.diff_id)).read_bytes())) == 50
    assert read(built)[image_id].digests == {"docker.io/library/x": (sha256("59"),)}
    built.untag("x:1")
    built.add_v2metadata(layer.diff_id, sha256("newest"), "docker.io/library/z")
    assert read(built)[image_id].digests == {"": (sha256("newest"),)}


def test_layer_without_an_entry_in_an_image_that_was_pushed(built: StoreBuilder) -> None:
    first, second = stack(built, "a", "b")
    image_id = built.image([first, second], names=["x:1"])
    built.add_v2metadata(first.diff_id, sha256("one"), "docker.io/library/x")
    assert read(built)[image_id].digests == {"docker.io/library/x": (sha256("one"), None)}


def test_entry_without_a_repository_is_only_for_images_without_a_name(
    built: StoreBuilder,
) -> None:
    layers = stack(built, "a")
    image_id = built.image(layers)
    built.add_v2metadata(layers[0].diff_id, sha256("one"), "")
    assert read(built)[image_id].digests == {"": (sha256("one"),)}


def test_image_known_only_by_digest(built: StoreBuilder) -> None:
    layers = stack(built, "a")
    image_id = built.image(layers, pushed={f"{REGISTRY}/acme/x": None})
    image = read(built)[image_id]
    assert [(name.tag, name.digest is not None) for name in image.names] == [(None, True)]
    assert image.digests == {f"{REGISTRY}/acme/x": (blob_digest(layers[0].diff_id),)}


def test_image_without_layers(built: StoreBuilder) -> None:
    empty = built.image([], names=["empty:1"])
    null = built.image([], extra={"rootfs": {"type": "layers", "diff_ids": None}})
    absent = built.image([], extra={"rootfs": {"type": "layers"}})
    images = read(built)
    assert images[empty].digests == {"docker.io/library/empty": ()}
    assert [images[image_id].layers for image_id in (empty, null, absent)] == [(), (), ()]


def test_config_that_does_not_say_its_platform(built: StoreBuilder) -> None:
    image_id = built.raw_image(b'{"rootfs":{"type":"layers"},"os":null}')
    image = read(built)[image_id]
    assert (image.architecture, image.os, image.variant) == ("", "", "")


def test_layers_that_buildkit_made(built: StoreBuilder) -> None:
    layer = built.layer(None, File("a"), cache_id="k2j8x0qv3mzl9s7c1w5tn4hye")
    image_id = built.image([layer])
    assert read(built)[image_id].layers[0].folder.endswith("/k2j8x0qv3mzl9s7c1w5tn4hye")


def test_equal_content_on_other_layers_is_another_layer(built: StoreBuilder) -> None:
    one = stack(built, "a", "same")
    two = stack(built, "b", "same")
    ids = [built.image(layers) for layers in (one, two)]
    images = read(built)
    tops = [images[image_id].layers[-1] for image_id in ids]
    assert tops[0].diff_id == tops[1].diff_id
    assert tops[0].chain_id != tops[1].chain_id
    assert tops[0].folder != tops[1].folder


def test_what_is_no_image_is_passed_over(built: StoreBuilder) -> None:
    layers = stack(built, "a", "b")
    image_id = built.image(layers[:1], names=["x:1"])
    built.container(layers[0], File("written"))
    shutil.copytree(built.layer_path(layers[1]), built.layer_path(layers[1]) + "-removing")
    for path in (
        built.image_path("layerdb", "tmp", "write-set-123"),
        built.image_path("imagedb", "content", "sha256", ".tmp-0123"),
        built.image_path(".tmp-repositories.json456"),
    ):
        Path(path).write_bytes(b"half")
    assert list(read(built)) == [image_id]


@pytest.mark.parametrize("content", ['{"Repositories":{}}', '{"Repositories":null}'])
def test_store_without_names(built: StoreBuilder, content: str) -> None:
    image_id = built.image(stack(built, "a"))
    Path(built.repositories_path()).write_text(content)
    assert read(built)[image_id].names == ()


def test_empty_store(built: StoreBuilder) -> None:
    assert read(built) == {}
    note = f"{built.root}: the overlay2 image store has no images"
    assert Overlay2Store(built.root).empty_note == note
    shutil.rmtree(built.image_path("imagedb"))
    os.unlink(built.repositories_path())
    assert read(built) == {}
    os.mkdir(built.path("containerd"))
    assert Overlay2Store(built.root).empty_note.startswith(f"{note}; it has a folder containerd")
    for driver in ("vfs", "btrfs"):
        os.mkdir(built.path("image", driver))
    others = "; it has images of the graph driver btrfs, vfs, which cannot be read"
    assert Overlay2Store(built.root).empty_note.startswith(f"{note}{others}; it has a folder")


def test_data_root_may_be_a_symbolic_link(built: StoreBuilder, tmp_path: Path) -> None:
    built.image(stack(built, "a"), names=["x:1"])
    os.symlink(built.root, tmp_path / "link")
    store = Overlay2Store(os.fspath(tmp_path / "link"))
    assert store.root == built.root
    assert store.images()[0].layers[0].folder.startswith(built.root + "/")


def test_exact_paths_are_what_a_pull_leaves_beside_the_content(built: StoreBuilder) -> None:
    layers = stack(built, "a", "b")
    image_id = built.image(layers, names=["x:1"], pushed={"docker.io/library/x": None})
    image = read(built, exact=True)[image_id]
    top = layers[1]
    folder = built.path("overlay2", top.cache_id)
    records = ["cache-id", "diff", "parent", "size", "tar-split.json.gz"]
    assert sorted(image.layers[1].exact_paths) == sorted(
        [
            folder,
            *(f"{folder}/{name}" for name in ("link", "lower", "work")),
            built.layer_path(top),
            *(built.layer_path(top, name) for name in records),
            built.path("overlay2", "l", top.link),
            built.v2metadata_path(top.diff_id),
            built.diffid_path(blob_digest(top.diff_id)),
        ]
    )
    assert image.exact_paths == (built.config_path(image_id),)
    bottom = set(image.layers[0].exact_paths)
    assert not {path for path in bottom if path.endswith(("/parent", "/lower", "/work"))}
    for path in (*image.exact_paths, *image.layers[0].exact_paths, *image.layers[1].exact_paths):
        assert os.path.lexists(path)


def test_exact_paths_of_a_layer_never_pushed_name_what_a_pull_would_make(
    built: StoreBuilder,
) -> None:
    layers = stack(built, "a")
    image_id = built.image(layers, names=["x:1"])
    absent = {
        path
        for path in read(built, exact=True)[image_id].layers[0].exact_paths
        if not os.path.lexists(path)
    }
    assert absent == {
        built.v2metadata_path(layers[0].diff_id),
        built.diffid_path(layers[0].diff_id),
    }


def test_every_file_is_opened_once(built: StoreBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    base = stack(built, *(f"base{number}" for number in range(5)))
    for name in "xyz":
        top = built.layer(base[-1], File(name))
        built.image([*base, top], names=[f"{name}:1"], pushed={f"docker.io/library/{name}": None})
    opened: Counter[str] = Counter()
    real = os.open

    def counted(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        folder = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        opened[os.path.join(folder, path)] += 1
        return real(path, flags, dir_fd=dir_fd)

    store = Overlay2Store(built.root)
    monkeypatch.setattr(os, "open", counted)
    assert len(store.images()) == 3
    again = {path for path, count in opened.items() if count > 1}
    # Only the folders that several parts of the store are in, on the way to those.
    assert again == {built.path("image"), built.image_path()}
    assert all(os.path.isdir(path) for path in again)


# Docker at work.


def test_image_removed_while_reading_is_gone_and_no_problem(
    built: StoreBuilder, between: Between
) -> None:
    layers = stack(built, "a", "b")
    kept = built.image(layers[:1], names=["kept:1"])
    removed = built.image(layers, names=["removed:1"])
    # Docker has begun: the layer is gone, name and config not yet.
    shutil.rmtree(built.layer_path(layers[1]))

    def finish() -> None:
        built.untag("removed:1")
        os.unlink(built.config_path(removed))

    waits = between(finish)
    store = Overlay2Store(built.root)
    assert [image.image_id for image in store.images()] == [kept]
    assert list(store.problems) == []
    assert list(store.vanished) == ["removed:1"]
    assert waits == [0.05]
    assert len(store.images()) == 1
    assert list(store.vanished) == []


def test_image_pulled_while_reading_is_found(built: StoreBuilder, between: Between) -> None:
    layers = stack(built, "a")
    image_id = built.image(layers, names=["x:1"])
    hidden = built.config_path(image_id) + ".hidden"
    os.rename(built.config_path(image_id), hidden)
    between(lambda: os.rename(hidden, built.config_path(image_id)))
    assert list(read(built)) == [image_id]


def test_layer_that_moved_to_another_folder_is_found_there(
    built: StoreBuilder, between: Between
) -> None:
    (layer,) = stack(built, "a")
    image_id = built.image([layer], names=["x:1"])
    other = "f" * 64
    os.rename(built.folder_path(layer), built.path("overlay2", other))
    between(lambda: Path(built.layer_path(layer, "cache-id")).write_text(other))
    assert read(built)[image_id].layers[0].folder == built.path("overlay2", other)


def test_layer_on_record_is_asked_for_again(built: StoreBuilder) -> None:
    first, second, third = stack(built, "a", "b", "c")
    built.image([first, second, third])
    store = Overlay2Store(built.root)
    layers = store.images()[0].layers
    os.rename(built.layer_path(second), built.layer_path(second) + "-123-removing")
    Path(built.layer_path(third, "cache-id")).write_text("e" * 64)
    assert [store.still_has(layer) for layer in layers] == [True, False, False]


def test_names_that_change_while_reading_are_read_again(
    built: StoreBuilder, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = built.image(stack(built, "a"), names=["old:1"])
    waits = between(lambda: None)
    real = safefs.Folder.names
    changed: list[str] = []

    def names(folder: safefs.Folder) -> list[str]:
        if not changed:
            changed.append("once")
            built.tag(image_id, "new:1")
        return real(folder)

    monkeypatch.setattr(safefs.Folder, "names", names)
    assert read(built)[image_id].names == (parse("new:1"), parse("old:1"))
    assert waits == [0.05]


def test_store_that_never_settles_is_read_four_times(built: StoreBuilder, between: Between) -> None:
    (layer,) = stack(built, "a")
    built.image([layer], names=["x:1"])
    os.unlink(built.layer_path(layer, "size"))
    waits = between(lambda: None)
    store = Overlay2Store(built.root)
    assert store.images() == []
    assert waits == [0.05, 0.1, 0.2]
    path = built.layer_path(layer, "size")
    assert [str(problem) for problem in store.problems] == [f"{path}: is missing; left out: x:1"]
