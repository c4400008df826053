"""Opening an image store: where it is looked for, and what is said where there is none."""

import os
import shutil
from pathlib import Path

import pytest

from layerscan.errors import StoreError
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.overlay2 import StoreBuilder


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


def opening_fails(root: str | os.PathLike[str], message: str) -> None:
    with pytest.raises(StoreError) as error:
        Overlay2Store(os.fspath(root))
    assert str(error.value) == message
    assert "\n" not in message


def test_no_such_path(tmp_path: Path) -> None:
    opening_fails(tmp_path / "none", f"{tmp_path}/none: there is no such folder")


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    opening_fails(tmp_path / "file", f"{tmp_path}/file: is not a folder")
    opening_fails(tmp_path / "file/x", f"{tmp_path}/file/x: Not a directory")


def test_no_path() -> None:
    opening_fails("a\0b", "'a\\x00b': is no path")


def test_symbolic_links_that_never_end(tmp_path: Path) -> None:
    os.symlink("loop", tmp_path / "loop")
    opening_fails(tmp_path / "loop", f"{tmp_path}/loop: Too many levels of symbolic links")


def test_no_store(tmp_path: Path) -> None:
    missing = f"{tmp_path}: no image store here: looked for image/overlay2 in it"
    opening_fails(tmp_path, missing)
    os.mkdir(tmp_path / "image")
    opening_fails(tmp_path, missing)
    os.mkdir(tmp_path / "containerd")
    opening_fails(
        tmp_path,
        f"{missing}; it has a folder containerd, where Docker 29 and later keep images: "
        "--store containerd reads those",
    )


def test_other_graph_driver(tmp_path: Path) -> None:
    for driver in ("devicemapper", "vfs"):
        os.makedirs(tmp_path / "image" / driver)
    opening_fails(
        tmp_path,
        f"{tmp_path}: its images are of the graph driver devicemapper, vfs; "
        "only overlay2 can be read",
    )


def test_symbolic_link_in_place_of_the_store(built: StoreBuilder) -> None:
    os.rename(built.path("image"), built.path("elsewhere"))
    os.symlink("elsewhere", built.path("image"))
    link = "is a symbolic link, which is not followed here"
    opening_fails(built.root, f"{built.path('image')}: {link}")


def test_store_that_is_gone_when_it_is_read(built: StoreBuilder) -> None:
    store = Overlay2Store(built.root)
    shutil.rmtree(built.root)
    with pytest.raises(StoreError, match="is missing"):
        store.images()


def test_has_images_where_that_cannot_be_read(built: StoreBuilder) -> None:
    configs = Path(built.root, "image/overlay2/imagedb/content/sha256")
    store = Overlay2Store(built.root)
    assert not store.has_images()
    if configs.exists():
        configs.rmdir()
    assert not store.has_images()
    configs.parent.mkdir(parents=True, exist_ok=True)
    configs.touch()
    assert store.has_images()
