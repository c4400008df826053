"""What is mounted where: lines of the table, and overlays that are followed to a disk."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from layerscan.files import mounts
from layerscan.files.mounts import Mount, place_of, read_mount

if TYPE_CHECKING:
    from pathlib import Path

DISK = Mount("8:1", "/", "ext4", ("rw",))
ON_AN_OVERLAY = "is on an overlay: cannot tell on which disk its upper folder is"

NO_TABLE = "cannot tell on which disk it is: there is no table of mounts"


def overlay(upper: str) -> Mount:
    options = ("rw", "lowerdir=/l", f"upperdir={upper}", "workdir=/w")
    return Mount("0:9", "/merged", "overlay", options)


@pytest.mark.parametrize("depth", [0, 1, 8, 9])
def test_eight_overlays_on_each_other_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    folders = [str(tmp_path / str(number)) for number in range(depth + 1)]
    for folder in folders:
        os.mkdir(folder)
    table = dict(zip(folders, [*map(overlay, folders[1:]), DISK], strict=True))
    monkeypatch.setattr(mounts, "_mount", table.__getitem__)
    found = place_of(folders[0])
    assert found.front == table[folders[0]]
    if depth <= 8:
        assert found[1:] == (DISK, folders[depth], ())
    else:
        assert found[1:] == (overlay(folders[9]), folders[8], (ON_AN_OVERLAY,))


@pytest.mark.parametrize("upper", ["upper", "/none/upper", "/file", "/unknown", ""])
def test_overlay_whose_upper_folder_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upper: str
) -> None:
    for name in ("merged", "unknown", "upper"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    upper = f"{tmp_path}{upper}" if upper.startswith("/") else upper
    merged = str(tmp_path / "merged")
    table = {merged: overlay(upper), str(tmp_path / "unknown"): None}
    monkeypatch.setattr(mounts, "_mount", lambda path: table.get(path, DISK))
    assert place_of(merged)[1:] == (overlay(upper), merged, (ON_AN_OVERLAY,))


def test_line_of_the_table() -> None:
    line = r"36 35 98:0 /root /a\040b\134c\011d rw master:1 - overlay o\040o rw,lowerdir=/x\040y"
    assert read_mount(f"{line}\n") == ("98:0", "/a b\\c\td", "overlay", ("rw", "lowerdir=/x y"))


def test_a_folder_is_on_the_mount_that_it_is_below() -> None:
    before = os.listdir("/proc/self/fd")
    found = place_of("/proc/self/task")
    device = os.stat("/proc").st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    assert found.mount[:3] == (number, "/proc", "proc")
    assert (found.front, found.unknown) == (found.mount, ())
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("info", [None, "", "pos:\t0\n", "pos\n"])
def test_sandbox_that_does_not_say_on_which_mount_a_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, info: str | None
) -> None:
    def opened(*_: object, **_more: object) -> io.StringIO:
        if info is None:
            raise FileNotFoundError
        return io.StringIO(info)

    monkeypatch.setattr(mounts, "open", opened, raising=False)
    assert place_of(str(tmp_path)).unknown == (NO_TABLE,)


@pytest.mark.parametrize("line", ["", "{} no line of the table\n", "{} 1 8:1 / / rw - ext4\n"])
def test_table_that_does_not_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    with open(mounts.MOUNTS, encoding="utf-8") as table:
        numbers = [one.split()[0] for one in table]
    other = tmp_path / "mountinfo"
    other.write_text("".join(line.format(number) for number in numbers))
    monkeypatch.setattr(mounts, "MOUNTS", str(other))
    found = place_of(str(tmp_path))
    device = os.stat(tmp_path).st_dev
    assert found.mount.number == f"{os.major(device)}:{os.minor(device)}"
    assert os.path.ismount(found.mount.point)
    assert found.unknown == (NO_TABLE,)
