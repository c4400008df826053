"""The builders keep their word: what is declared is what is on disk."""

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.builders import sample, tree
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import (
    Device,
    Dir,
    Fifo,
    File,
    Link,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
    many,
)
from tests.builders.user import as_nobody

ODD: tuple[tree.Op, ...] = (
    Dir("empty", 0o700),
    File("a/b/text", b"text", mode=0o4755),
    File(b"a/\xff\xfe\nname", size=5000, seed=1),
    File("-leading", size=1),
    File("x" * 255, size=3),
    Link("a/hard", "a/b/text"),
    Symlink("a/soft", "../nowhere"),
    Link("a/soft too", "a/soft"),
    Sparse("hole", 3_000_000, ((10, b"here"), (1_048_570, b"across a chunk"))),
    Fifo("pipe"),
    *many("more", 50, size=100),
)
ROOT_ONLY: tuple[tree.Op, ...] = (
    Device("null"),
    Device("disk", 7, 0, block=True),
    Whiteout("gone"),
    Opaque("o"),
)


def ops_for_this_user() -> tuple[tree.Op, ...]:
    return (*ODD, *ROOT_ONLY) if os.geteuid() == 0 else ODD


def found_size(folder: str | os.PathLike[str]) -> int:
    """Docker's size rule, counted by find."""
    command = ["find", os.fspath(folder), "!", "-type", "d", "-printf", "%D:%i %s\n"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.split(b"\n")
    return sum(int(line.split()[1]) for line in {*lines} if line)


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for folder, _, names in os.walk(root):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            status = os.lstat(path)
            body = b""
            if stat.S_ISREG(status.st_mode):
                body = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                body = os.fsencode(os.readlink(path))
            found[os.path.relpath(path, root)] = (status.st_mode, body)
    return found


def test_declared_size_is_the_size_on_disk(tmp_path: Path) -> None:
    tree.apply(tmp_path, *ops_for_this_user())
    assert tree.docker_size(ops_for_this_user()) == found_size(tmp_path)


def test_declared_tree_has_its_modes_links_and_nodes(tmp_path: Path) -> None:
    tree.apply(tmp_path, *ops_for_this_user())
    assert stat.S_IMODE(os.stat(tmp_path / "a/b/text").st_mode) == 0o4755
    assert stat.S_IMODE(os.stat(tmp_path / "empty").st_mode) == 0o700
    assert os.path.samefile(tmp_path / "a/hard", tmp_path / "a/b/text")
    assert os.lstat(tmp_path / "a/soft").st_nlink == 2
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert b"\xff\xfe\nname" in os.listdir(os.fsencode(tmp_path / "a"))
    hole = os.stat(tmp_path / "hole")
    assert hole.st_blocks * 512 < hole.st_size
    if os.geteuid() == 0:
        assert os.stat(tmp_path / "gone").st_rdev == 0
        assert os.stat(tmp_path / "disk").st_rdev == os.makedev(7, 0)
        assert os.getxattr(tmp_path / "o", "trusted.overlay.opaque") == b"y"


def test_tar_holds_what_the_folder_holds(tmp_path: Path) -> None:
    tree.apply(tmp_path, *ODD)
    stream = b"".join(tree.tar_stream(ODD))
    assert tree.tar_digest(ODD) == "sha256:" + hashlib.sha256(stream).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        for member in tar.getmembers():
            path = tmp_path / member.name
            assert os.path.lexists(path)
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                assert file.read() == path.read_bytes()
        assert len(tar.getmembers()) == len(tree.with_parents(ODD))


def test_deletions_in_the_tar_are_those_of_the_image_spec() -> None:
    stream = b"".join(tree.tar_stream([Whiteout("a/gone"), Opaque("b")]))
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        assert tar.getnames() == ["a", "a/.wh.gone", "b", "b/.wh..wh..opq"]


def test_folder_without_rights_can_have_content(tmp_path: Path) -> None:
    tree.apply(tmp_path, Dir("closed", 0), File("closed/file", b"x"))
    assert stat.S_IMODE(os.stat(tmp_path / "closed").st_mode) == 0
    os.chmod(tmp_path / "closed", 0o700)
    assert (tmp_path / "closed/file").read_bytes() == b"x"


def test_paths_longer_than_path_max(tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 30)
    tree.apply(tmp_path, File(f"{deep}/file", size=7))
    assert found_size(tmp_path) == 7
    subprocess.run(["rm", "-rf", tmp_path / ("d" * 200)], check=True)


@pytest.mark.parametrize("path", ["/etc/x", "a/../x", "a//b", "./a", ""])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="not a plain relative path"):
        tree.apply(tmp_path, File(path))


def test_store_records_the_size_that_its_layers_have(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "store")
    base = store.layer(None, *ops_for_this_user())
    top = store.layer(base, File("top", size=123), Symlink("s", "four"))
    for layer in (base, top):
        recorded = int(Path(store.layer_path(layer, "size")).read_bytes())
        assert recorded == found_size(store.folder_path(layer, "diff"))
    assert Path(store.layer_path(top, "size")).read_bytes() == b"127"


def test_store_is_laid_out_as_docker_does(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path)
    base = store.layer(None, File("a"))
    top = store.layer(base, File("b"))
    third = store.layer(top, File("c"))
    image = store.image([base, top, third], names=["acme/x:1"], pushed={"docker.io/acme/x": None})
    assert sorted(os.listdir(store.folder_path(base))) == ["committed", "diff", "link"]
    assert sorted(os.listdir(store.folder_path(third))) == ["diff", "link", "lower", "work"]
    lower = Path(store.folder_path(third, "lower")).read_text()
    assert lower == f"l/{top.link}:l/{base.link}"
    assert len(base.link) == 26
    assert os.readlink(store.path("overlay2", "l", top.link)) == f"../{top.cache_id}/diff"
    assert not os.path.exists(store.layer_path(base, "parent"))
    assert Path(store.layer_path(top, "parent")).read_text() == base.chain_id
    config = Path(store.config_path(image)).read_bytes()
    assert "sha256:" + hashlib.sha256(config).hexdigest() == image
    names = json.loads(Path(store.repositories_path()).read_bytes())["Repositories"]
    assert len(names["acme/x"]) == 2
    entries = json.loads(Path(store.v2metadata_path(top.diff_id)).read_bytes())
    assert entries[0]["SourceRepository"] == "docker.io/acme/x"
    assert Path(store.diffid_path(entries[0]["Digest"])).read_text() == top.diff_id
    lines = gzip.decompress(Path(store.layer_path(top, "tar-split.json.gz")).read_bytes())
    assert [json.loads(line)["position"] for line in lines.splitlines()] == [0, 1, 2]
    modes = {
        "overlay2": 0o710,
        "overlay2/l": 0o700,
        f"overlay2/{top.cache_id}": 0o710,
        f"overlay2/{top.cache_id}/diff": 0o755,
        f"overlay2/{top.cache_id}/work": 0o700,
        "image/overlay2/repositories.json": 0o600,
        "image/overlay2/layerdb/sha256": 0o755,
    }
    for path, mode in modes.items():
        assert stat.S_IMODE(os.stat(tmp_path / path).st_mode) == mode, path


def test_equal_declarations_give_equal_stores(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store = StoreBuilder(tmp_path / name, seed=3)
        base = store.layer(None, *ODD)
        assert store.layer(None, *ODD) is base
        store.image([base], names=["x:1"], pushed={"docker.io/library/x": None})
        store.container(base, File("written"))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_sample_store_is_small_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sample"
    assert sample.main([os.fspath(folder)]) == 0
    used = subprocess.run(["du", "-sk", folder], check=True, capture_output=True).stdout
    assert int(used.split()[0]) < 20_000
    assert 1000 < sum(len(names) for _, _, names in os.walk(folder)) < 10_000
    capsys.readouterr()
    assert sample.main([os.fspath(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_sample_store_without_rights(capfd: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 - another user writes here
        mine = os.path.join(folder, "sample")
        assert as_nobody(lambda: sample.main([mine])) == 0
        assert os.path.isfile(os.path.join(mine, "image/overlay2/repositories.json"))
    assert "sample store: left out opaque folders" in capfd.readouterr().err
