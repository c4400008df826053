"""Files of a store that cannot be used: what is said of each, and which count as gone."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from layerscan.files.safefs import Fault, Folder
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
    assert folder.look("nothing") is None
    assert [folder.look(name).kind for name in ("file", "folder", "to-file")] == [  # type: ignore[union-attr]
        *(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    ]
    assert folder.folders() == {"folder"}
    assert folder.names() == ["fifo", "file", "folder", "to-file", "to-folder"]
