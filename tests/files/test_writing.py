"""Files that are written where others can write, too: no link, mode or file of theirs counts."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError
from layerscan.files.writing import (
    located,
    open_folder,
    replace,
    write_file,
    write_in,
    write_in_place,
    write_special,
)
from tests.builders.user import as_nobody
from tests.cli_runner import open_to_all, run
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
ME = os.geteuid()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that everyone can write to, as /tmp is."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def planted(link: Path, target: object, owner: int = NOBODY) -> Path:
    """A symbolic link of another user."""
    link.symlink_to(str(target))
    os.lchown(link, owner, owner)
    return link


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("old", "new"), [(0o640, 0o640), (0o4755, 0o755), (0o664, 0o644), (0o646, 0o644)]
)
def test_the_mode_of_ones_own_file_is_kept_if_nobody_else_can_write_to_it(
    tmp_path: Path, old: int, new: int
) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    out.chmod(old)
    write_file(str(out), b"new")
    assert (out.read_bytes(), mode(out)) == (b"new", new)


@pytest.mark.root
@pytest.mark.usefixtures("umask")
def test_a_planted_file_with_all_rights_gives_none_to_the_new_one() -> None:
    require_root()
    with open_to_all() as folder:
        folder.chmod(0o1777)
        out = folder / "out"
        # As another user does it: the file is theirs, anyone may write to it and run it.
        script = f"umask 0; : > {out}; chmod 6777 {out}"
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        subprocess.run([*user, "sh", "-c", script], check=True)
        assert mode(out) == 0o6777
        held = out.open("ab")
        write_file(str(out), b"of root")
        held.write(b"by others")
        held.close()
        found = out.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (ME, 0o644)
        assert out.read_bytes() == b"of root"


@pytest.mark.root
def test_a_link_of_another_user_in_a_shared_folder_is_not_followed(
    shared: Path, tmp_path: Path
) -> None:
    require_root()
    target = tmp_path / "target"
    target.write_text("old")
    link = planted(shared / "out", target)
    folder = planted(shared / "folder", tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (link, folder / "target", folder / "new", planted(shared / "fifo", fifo)):
        for write in (write_file, write_special):
            with pytest.raises(LayerscanError, match="a symbolic link of user 65534, in"):
                write(str(path), b"new")
    assert target.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["fifo", "shared", "target"]
    # The same from outside: status 2, and the link is named.
    refused = run("merge", "amd64=x", "-o", link)
    assert (refused.status, refused.out) == (2, b"")
    assert "out is a symbolic link of user 65534" in refused.lines[0]


@pytest.mark.root
def test_links_that_are_followed(shared: Path, tmp_path: Path) -> None:
    require_root()
    target = tmp_path / "target"
    # Root's, wherever it is.
    planted(shared / "roots", "../target", owner=0)
    write_file(str(shared / "roots"), b"1")
    assert target.read_bytes() == b"1"
    # Anyone's, where only root can put it.
    planted(tmp_path / "theirs", "target")
    write_file(str(tmp_path / "theirs"), b"2")
    assert target.read_bytes() == b"2"
    assert (tmp_path / "theirs").is_symlink()


def test_links_lead_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "up").symlink_to("../a/./b/..")
    (tmp_path / "top").symlink_to(tmp_path / "a")
    (tmp_path / "end").symlink_to("top/up/b/file")
    write_file(str(tmp_path / "end"), io.BytesIO(b"1"))
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"1"
    monkeypatch.chdir(tmp_path / "a")
    write_file("../end", b"2")
    write_file("b/../new", b"3")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"2"
    assert (tmp_path / "a" / "new").read_bytes() == b"3"
    with located("b/file") as (folder, name):
        assert os.stat(name, dir_fd=folder).st_size == 1
        assert name == "file"


def test_nothing_stays_open_of_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "top").symlink_to(tmp_path / "a")
    (tmp_path / "end").symlink_to("top/b/file")
    before = os.listdir("/proc/self/fd")
    write_file(str(tmp_path / "end"), b"1")
    write_file(str(tmp_path / "end"), io.BytesIO(b"2"))
    assert write_in_place(str(tmp_path / "end"), b"3")
    write_special("/dev/null", b"4")
    os.close(open_folder(str(tmp_path / "top" / "b" / "new" / "newer")))
    for path in ("none/file", "end/file", "a"):
        with pytest.raises(OSError, match=r"No such file|Not a directory|Is a directory"):
            write_file(str(tmp_path / path), b"")
    assert os.listdir("/proc/self/fd") == before


def test_all_of_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    replaced, synced = os.replace, os.fsync

    def spied_replace(old: str, new: str, **options: int) -> None:
        done.append("replace")
        replaced(old, new, **options)

    def spied_fsync(file: int) -> None:
        status = os.fstat(file)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        synced(file)

    monkeypatch.setattr(os, "replace", spied_replace)
    monkeypatch.setattr(os, "fsync", spied_fsync)
    path = str(tmp_path / "out")
    write_file(path, b"12345")
    assert done == [5, "replace", "folder"]
    done.clear()
    assert write_in_place(path, b"123")
    assert done == [3]
    done.clear()
    folder = open_folder(str(tmp_path))
    replace(folder, "out", b"1", durable=False)
    os.close(folder)
    assert done == ["replace"]


def test_a_file_is_written_in_its_place_only_where_there_is_one_of_one_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert not write_in_place(str(out), b"new")
    assert not out.exists()
    out.write_bytes(b"longer than the new one")
    inode = out.stat().st_ino
    assert write_in_place(str(out), b"new")
    assert (out.read_bytes(), out.stat().st_ino) == (b"new", inode)
    os.mkfifo(tmp_path / "fifo")
    assert not write_in_place(str(tmp_path / "fifo"), b"new")
    monkeypatch.setattr(os, "geteuid", lambda: ME + 1)
    assert not write_in_place(str(out), b"of another")
    assert out.read_bytes() == b"new"


def test_nobody_else_can_write_to_a_folder_that_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(open_folder(str(tmp_path / "new" / "newer")))
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("new", "new/newer")] == [0o755, 0o755]


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LayerscanError, match="too many symbolic links"):
        write_file(str(tmp_path / "a"), b"")


@pytest.mark.parametrize("path", ["none/file", "file/file"])
def test_a_folder_that_is_none(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        write_file(str(tmp_path / path), b"")


@pytest.mark.root
def test_a_folder_is_made_and_opened_over_no_link_of_others(shared: Path, tmp_path: Path) -> None:
    """So are those of ``--out-dir`` and ``--cache``."""
    require_root()
    target = tmp_path / "target"
    target.mkdir()
    link = planted(shared / "link", target)
    for path in (link, link / "below", link / "below" / "further"):
        with pytest.raises(LayerscanError, match="link is a symbolic link of user 65534"):
            open_folder(str(path))
    assert os.listdir(target) == []
    os.lchown(link, 0, 0)
    os.close(open_folder(str(link / "below" / "further")))
    assert (target / "below" / "further").is_dir()
    (target / "file").touch()
    for path in (target / "file", target / "file" / "below"):
        with pytest.raises(OSError, match="Not a directory"):
            open_folder(str(path))


def test_a_link_in_an_open_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    folder = open_folder(str(tmp_path))
    write_in(folder, "link", b"new")
    os.close(folder)
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "target").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_folder_on_the_way_need_not_be_readable(open_path: Path) -> None:
    # Who may pass through it and write below it need not see what is in it.
    require_root()
    below = open_path / "closed" / "below"
    below.mkdir(parents=True)
    below.chmod(0o777)
    below.parent.chmod(0o711)

    def write() -> None:
        write_file(str(below / "file"), b"content")

    as_nobody(write)
    assert (below / "file").read_bytes() == b"content"
