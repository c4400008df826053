"""Files of a store that cannot be used: what is said of each, and which count as gone."""

from __future__ import annotations

import errno
import os
import pty
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layerscan.files.safefs import Fault, Folder, IrregularFileError, open_regular
from tests.builders.tree import Dir, Fifo, File, Symlink, apply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINK = "is a symbolic link, which is not followed here"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    apply(
        str(tmp_path),
        File("file", b"12345"),
        Dir("folder"),
        Fifo("fifo"),
        Symlink("to-file", "file"),
        Symlink("to-folder", "folder"),
    )
    with Folder(str(tmp_path)) as opened:
        yield opened


def fault_of(raised: pytest.ExceptionInfo[Fault], folder: Folder) -> tuple[str, str, bool]:
    fault = raised.value
    assert str(fault) == f"{fault.where}: {fault.what}"
    return fault.where.removeprefix(f"{folder.path}/"), fault.what, fault.gone


@pytest.mark.parametrize(
    ("name", "what", "gone"),
    [
        ("nothing", "is missing", True),
        ("folder", "is no regular file", False),
        ("fifo", "is no regular file", False),
        ("to-file", LINK, False),
        ("to-folder", LINK, False),
        ("n" * 256, "File name too long", False),
    ],
)
def test_what_is_no_file(folder: Folder, name: str, what: str, gone: bool) -> None:  # noqa: FBT001
    with pytest.raises(Fault) as raised:
        folder.read(name, 100)
    assert fault_of(raised, folder) == (name, what, gone)
    if gone:
        assert folder.read_if_there(name, 100) is None
    else:
        with pytest.raises(Fault):
            folder.read_if_there(name, 100)


@pytest.mark.parametrize(
    ("name", "what", "gone"),
    [
        ("nothing", "is missing", True),
        ("file", "is no folder", False),
        ("fifo", "is no folder", False),
        ("to-folder", LINK, False),
        ("n" * 256, "File name too long", False),
    ],
)
def test_what_is_no_folder(folder: Folder, name: str, what: str, gone: bool) -> None:  # noqa: FBT001
    with pytest.raises(Fault) as raised:
        folder.folder(name)
    assert fault_of(raised, folder) == (name, what, gone)


def test_what_went_away_before_it_could_be_looked_at(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **_more: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "stat", gone)
    with pytest.raises(Fault) as raised:
        folder.read("to-file", 100)
    assert fault_of(raised, folder) == ("to-file", os.strerror(errno.ELOOP), False)


@pytest.mark.parametrize(("limit", "content"), [(4, None), (5, b"12345"), (6, b"12345")])
def test_a_file_is_read_up_to_its_limit(folder: Folder, limit: int, content: bytes | None) -> None:
    if content is not None:
        assert folder.read("file", limit) == content
        return
    with pytest.raises(Fault) as raised:
        folder.read("file", limit)
    assert fault_of(raised, folder) == ("file", f"is longer than {limit} bytes", False)


@pytest.mark.parametrize("length", [4, 6])
def test_a_file_that_changes_while_it_is_read(
    folder: Folder, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Folder.open
    monkeypatch.setattr(Folder, "open", lambda *a: (real(*a)[0], length))
    with pytest.raises(Fault) as raised:
        folder.read("file", 100)
    assert fault_of(raised, folder) == ("file", "changed while it was read", True)


def test_links_are_followed_to_a_file_that_the_user_named(folder: Folder) -> None:
    file, found = open_regular(folder.where("to-file"), follow=True)
    assert (os.read(file, 6), found.st_size) == (b"12345", 5)
    os.close(file)
    os.symlink("fifo", folder.where("to-fifo"))
    with pytest.raises(IrregularFileError):
        open_regular(folder.where("to-fifo"), follow=True)


def test_a_file_that_cannot_be_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", broken)
    with pytest.raises(Fault) as raised:
        folder.read_if_there("file", 100)
    assert fault_of(raised, folder) == ("file", "Input/output error", False)


def test_nothing_stays_open_of_what_was_read_or_refused(folder: Folder) -> None:
    os.makedirs(os.path.join(folder.path, "folder", "inner", "most"))
    before = os.listdir("/proc/self/fd")
    folder.read("file", 5)
    folder.folder("folder", "inner", "most").close()
    for name in ("file", "fifo", "folder", "nothing"):
        with pytest.raises(Fault):
            folder.read(name, 4)
    for missing in (["nothing"], ["folder", "nothing"], ["folder", "inner", "nothing"]):
        assert folder.folder_if_there(*missing) is None
    folder.folders()
    folder.names()
    assert os.listdir("/proc/self/fd") == before


def test_a_terminal_in_place_of_a_file_does_not_become_that_of_the_process() -> None:
    """It would get its signals: whoever has the other end could end it."""
    script = (
        "import os, sys\n"
        "from layerscan.files.safefs import IrregularFileError, open_regular\n"
        "try:\n"
        "    open_regular(sys.argv[1])\n"
        "except IrregularFileError:\n"
        "    print('refused')\n"
        "try:\n"
        "    os.open('/dev/tty', os.O_RDWR)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    ours, theirs = pty.openpty()
    try:
        # The first of a session of its own takes any terminal that it opens, see tty_ioctl(4).
        done = subprocess.run(
            [sys.executable, "-c", script, os.ttyname(theirs)],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout.splitlines() == ["refused", os.strerror(errno.ENXIO)]


def test_what_is_required_and_what_is_there(folder: Folder) -> None:
    folder.require("file", stat.S_IFREG)
    folder.require("folder", stat.S_IFDIR)
    found = {}
    for name, kind in (("nothing", stat.S_IFREG), ("file", stat.S_IFDIR), ("fifo", stat.S_IFREG)):
        with pytest.raises(Fault) as raised:
            folder.require(name, kind)
        found[name] = fault_of(raised, folder)[1:]
    assert found == {
        "nothing": ("is missing", True),
        "file": ("is no folder", False),
        "fifo": ("is no regular file", False),
    }
    with pytest.raises(Fault) as raised:
        folder.require("to-folder", stat.S_IFDIR)
    assert fault_of(raised, folder) == ("to-folder", LINK, False)
    with pytest.raises(Fault) as raised:
        folder.look("n" * 256)
    assert fault_of(raised, folder) == ("n" * 256, "File name too long", False)
    assert folder.look("nothing") is None
    assert [folder.look(name).kind for name in ("file", "folder", "to-file")] == [  # type: ignore[union-attr]
        *(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    ]
    assert folder.folders() == {"folder"}
    assert folder.names() == ["fifo", "file", "folder", "to-file", "to-folder"]
