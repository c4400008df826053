"""Opening an image store: where it is looked for, and what is said where there is none."""

import json
import os
import shutil
from pathlib import Path

import pytest

from layerscan import stores
from layerscan.errors import LayerscanError, StoreError
from layerscan.stores import open_store
from layerscan.stores.overlay2 import Overlay2Store
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
    opening_fails(tmp_path / "file/x", f"{tmp_path}/file/x: is not a folder, nor in one")


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
        "this version cannot read those yet",
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


def test_open_store_by_kind_and_root(built: StoreBuilder) -> None:
    for kind in ("auto", "overlay2"):
        store = open_store(kind, built.root)
        assert (store.kind, store.root) == ("overlay2", built.root)
    with pytest.raises(LayerscanError, match="containerd is not supported by this version; it"):
        open_store("containerd", built.root)
    with pytest.raises(LayerscanError, match="no such store: 'zfs'; there are auto, overlay2"):
        open_store("zfs")
    with pytest.raises(StoreError, match=r"^/nowhere: there is no such folder$"):
        open_store(root="/nowhere")


@pytest.fixture
def daemon_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration and default root, not this machine's."""
    path = tmp_path / "daemon.json"
    monkeypatch.setattr(stores, "DOCKER_CONFIG", os.fspath(path))
    monkeypatch.setattr(stores, "DOCKER_ROOT", os.fspath(tmp_path / "default"))
    return path


def test_open_store_where_docker_keeps_it(daemon_json: Path, built: StoreBuilder) -> None:
    default = daemon_json.parent / "default"
    with pytest.raises(StoreError) as error:
        open_store()
    assert str(error.value) == (
        f"no image store found; looked at {default}: there is no such folder"
    )
    StoreBuilder(default)
    assert open_store().root == os.fspath(default)
    for empty in ("", " \n", "{}"):
        daemon_json.write_text(empty)
        assert open_store().root == os.fspath(default)
    daemon_json.write_text(json.dumps({"data-root": built.root, "debug": True}))
    assert open_store().root == built.root


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        ("[]", "data-root is no absolute path: None"),
        ('{"data-root": 5}', "data-root is no absolute path: 5"),
        ('{"data-root": "rel/ative"}', "data-root is no absolute path: 'rel/ative'"),
        ('{"data-root": "/a\\u0000"}', "data-root is no absolute path: '/a\\x00'"),
        (" " * (1 << 20) + "{}", "is longer than 1048576 bytes"),
    ],
)
def test_damaged_docker_configuration(daemon_json: Path, content: str, message: str) -> None:
    daemon_json.write_text(content)
    with pytest.raises(StoreError) as error:
        open_store("overlay2")
    assert str(error.value) == f"no image store found; looked at {daemon_json}: {message}"
