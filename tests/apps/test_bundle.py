"""The bundle: what is in it, what is refused, and that its bytes depend on nothing else."""

import errno
import gzip
import hashlib
import io
import os
import random
import re
import shutil
import socket
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from layerscan.apps import bundle
from layerscan.apps.archive import BundleArchive
from layerscan.apps.bundle import write_bundle
from layerscan.apps.discovery import app_at
from layerscan.apps.files import read_text
from layerscan.apps.published import BundleFile, bundle_files
from layerscan.errors import ComposeError
from tests.builders.bundle_case import PINNED, app_folder, bundled, bundled_names
from tests.requirements import require, require_root


def fault(folder: Path) -> str:
    with pytest.raises(ComposeError) as caught:
        bundled(folder)
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix(f"{folder}/")


def test_what_is_in_it(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    (folder / "link").symlink_to("conf/a")
    (folder / "secret").write_text("s")
    (folder / "secret").chmod(0o600)
    (folder / "conf").chmod(0o2750)
    assert bundle_files(bundled(folder), "b") == [
        BundleFile(".env", "file", 0o644, 3, ""),
        BundleFile("conf", "folder", 0o2750, 0, ""),
        BundleFile("conf/a", "file", 0o644, 1, ""),
        BundleFile("conf/b.sh", "file", 0o755, 2, ""),
        BundleFile("docker-compose.yml", "file", 0o644, len(PINNED), ""),
        BundleFile("link", "symlink", 0o777, 0, "conf/a"),
        BundleFile("secret", "file", 0o600, 1, ""),
    ]


def test_other_programs_read_it(tmp_path: Path) -> None:
    long = "/".join(["long" * 20] * 3)
    more = {long: "l", "é 😀": "u"}
    folder = app_folder(tmp_path, **more, empty=b"", big=bytes(200_000))
    (folder / "link").symlink_to("conf/b.sh")
    (folder / "é link").symlink_to(long)
    raw = bundled(folder)
    (tmp_path / "b.tgz").write_bytes(raw)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "b.tgz", "-C", out], check=True)
    subprocess.run(["gzip", "--test", tmp_path / "b.tgz"], check=True)
    (folder / "docker-compose.yml").write_bytes(PINNED)
    subprocess.run(["diff", "-r", "--no-dereference", folder, out], check=True)
    assert (out / "é link").readlink() == Path(long)
    assert (out / "conf/b.sh").stat().st_mode & 0o777 == 0o755
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for entry in tar:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (
                0,
                0,
                0,
                "",
                "",
            )
        assert {entry.name for entry in tar} >= {long, "é 😀", "é link"}


def test_the_same_app_gives_the_same_bytes_anywhere_at_any_time(tmp_path: Path) -> None:
    one = app_folder(tmp_path / "1", **{f"f{number}": "x" for number in range(50)})
    raw = bundled(one)
    other = tmp_path / "2" / "shop"
    other.mkdir(parents=True)
    paths = sorted(one.rglob("*"))
    random.Random(1).shuffle(paths)  # noqa: S311 - no secret
    for path in paths:
        copy = other / path.relative_to(one)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            shutil.copy(path, copy)
            os.utime(copy, (1, 1))
    assert bundled(other) == raw
    # A golden digest: no version of Python or zlib may change it, but another compressor.
    require("ng" not in zlib.ZLIB_RUNTIME_VERSION, "this Python has zlib-ng in place of zlib")
    assert hashlib.sha256(raw).hexdigest() == (
        "12bc0fedeec24f1374a698c212a2eb6a46c72f9883241f1b013f02955acd3efb"
    )


def test_the_gzip_header_has_no_time_and_no_name(tmp_path: Path) -> None:
    raw = bundled(app_folder(tmp_path))
    assert raw[:10] == b"\x1f\x8b\x08\0\0\0\0\0\2\xff"


def test_the_ignore_file_is_heeded_and_stays_behind(tmp_path: Path) -> None:
    folder = app_folder(
        tmp_path,
        **{
            ".composeappignores": "*\n!conf/a\n!deep/er/keep\n",
            "deep/er/keep": "k",
            "deep/er/drop": "d",
        },
    )
    assert bundled_names(folder) == [
        "conf",
        "conf/a",
        "deep",
        "deep/er",
        "deep/er/keep",
        "docker-compose.yml",
    ]


def test_what_stays_behind_may_be_anything(tmp_path: Path) -> None:
    folder = app_folder(tmp_path, **{".composeappignores": "junk\nout\nconf\n.env"})
    os.mkfifo(folder / "junk")
    (folder / "out").symlink_to("/etc/passwd")
    assert bundled_names(folder) == ["docker-compose.yml"]


def test_a_malformed_ignore_file(tmp_path: Path) -> None:
    assert fault(app_folder(tmp_path, **{".composeappignores": "a\n[b"})) == (
        ".composeappignores:2: [b: no ] for its ["
    )


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    (folder / "again").hardlink_to(folder / "conf/a")
    kinds = {entry.name: (entry.kind, entry.size) for entry in bundle_files(bundled(folder), "b")}
    assert kinds["again"] == kinds["conf/a"] == ("file", 1)


def test_a_compose_file_that_is_a_symlink_becomes_a_file(tmp_path: Path) -> None:
    folder = app_folder(tmp_path, **{"real.yml": "x"})
    (folder / "docker-compose.yml").unlink()
    (folder / "docker-compose.yml").symlink_to("real.yml")
    (folder / "real.yml").chmod(0o640)
    (entry,) = [e for e in bundle_files(bundled(folder), "b") if e.name == "docker-compose.yml"]
    assert entry == BundleFile("docker-compose.yml", "file", 0o640, len(PINNED), "")


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../other", "conf/../../x", "through/..", "/", ".."]
)
def test_a_symlink_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    folder = app_folder(tmp_path)
    (folder / "through").symlink_to(".")
    (folder / "z").symlink_to(target)
    assert fault(folder).startswith(
        f"z: is a symlink that leads out of the App's folder, to {target}; "
    )


@pytest.mark.parametrize(
    "target", ["conf/a", "./conf/../conf", "nowhere", ".", "conf/b.sh", "..data/x", "...", "..x"]
)
def test_a_symlink_that_stays_inside_is_kept(tmp_path: Path, target: str) -> None:
    folder = app_folder(tmp_path)
    (folder / "z").symlink_to(target)
    assert bundle_files(bundled(folder), "b")[-1] == BundleFile("z", "symlink", 0o777, 0, target)


def test_a_symlink_that_leads_out_by_another_one_is_refused(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    (folder / "a").symlink_to("z/passwd")
    (folder / "z").symlink_to("/etc")
    assert fault(folder).startswith("a: is a symlink that leads out of the App's folder, to z/pas")


def test_a_symlink_to_what_is_no_utf8_is_refused(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    os.symlink(b"\xff", os.fsencode(folder / "z"))
    assert fault(folder) == "z: its target is not UTF-8"


def test_names_that_begin_with_dots_are_in_it(tmp_path: Path) -> None:
    dotted = {"..data/..x": "x", ".../f": "x", "..f": "x"}
    assert set(dotted) <= set(bundled_names(app_folder(tmp_path, **dotted)))


def test_what_no_bundle_can_have_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = app_folder(tmp_path)
    os.mkfifo(folder / "pipe")
    assert fault(folder) == (
        "pipe: is a FIFO, which no bundle can have; remove it or name it in .composeappignores"
    )
    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder)
        listening.bind("sock")
    assert fault(folder).startswith("sock: is a socket, which no bundle can have")
    (folder / "sock").unlink()
    (folder / os.fsdecode(b"caf\xe9")).write_text("x")
    assert "its name is not UTF-8, rename it" in fault(folder)


@pytest.mark.root
def test_a_device_is_refused(tmp_path: Path) -> None:
    require_root()
    folder = app_folder(tmp_path)
    os.mknod(folder / "null", 0o20644, os.makedev(1, 3))
    assert fault(folder).startswith("null: is a device, which no bundle can have")


@pytest.mark.parametrize("change", [1, -1, 0])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    folder = app_folder(tmp_path, big=bytes(3000))
    monkeypatch.setattr(bundle, "_CHUNK", 1000)
    write = BundleArchive.write

    def writing(archive: BundleArchive, data: bytes) -> None:
        write(archive, data)
        if len(data) == 1000:
            os.truncate(folder / "big", 3000 + change * 1500)

    monkeypatch.setattr(BundleArchive, "write", writing)
    assert fault(folder) == "big: changed while it was read; publish when nothing writes it"
    monkeypatch.undo()
    assert bundled(folder)


def to_a_link(conf: Path, outside: Path) -> None:
    conf.rename(conf.parent / ".was")
    conf.symlink_to(outside)


def to_another_folder(conf: Path, outside: Path) -> None:
    conf.rename(conf.parent / ".was")
    outside.rename(conf)


def to_other_files(conf: Path, outside: Path) -> None:
    for path in outside.iterdir():
        path.replace(conf / path.name)


def to_links(conf: Path, outside: Path) -> None:
    for path in outside.iterdir():
        (conf / path.name).unlink()
        (conf / path.name).symlink_to(path)


@pytest.mark.parametrize(
    "exchanged", [to_a_link, to_another_folder, to_other_files, to_links], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("moment", ["_listed", "_check_target", "_add_file"])
def test_nothing_gets_in_that_is_exchanged_meanwhile(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchanged: Callable[[Path, Path], None],
    moment: str,
) -> None:
    """Before a folder is entered, when all is listed, and before the first file is read."""
    folder = app_folder(tmp_path)
    (folder / ".a link").symlink_to("conf/a")
    # Of the same lengths and times: only the inodes tell.
    outside = Path(shutil.copytree(folder / "conf", tmp_path / "outside"))
    (outside / "a").write_text("!")
    (outside / "b.sh").write_text("!!")
    for name in ("a", "b.sh"):
        os.utime(outside / name, ns=(0, (folder / "conf" / name).stat().st_mtime_ns))
    real, calls = getattr(bundle, moment), 0

    def exchanging(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        found = real(*arguments) if moment == "_listed" else None
        if calls == 1:
            exchanged(folder / "conf", outside)
        return found if moment == "_listed" else real(*arguments)

    monkeypatch.setattr(bundle, moment, exchanging)
    if (moment, exchanged) == ("_listed", to_other_files):
        # What was there before its folder was listed is the App's author's own.
        assert b"!!" in gzip.decompress(bundled(folder))
    else:
        assert re.search(": (changed while|is a symbolic link|is a symlink)", fault(folder))


def test_a_compose_file_outside_by_a_folder_that_is_exchanged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app_folder(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("secret")
    real = os.path.realpath

    def looked_up(path: str, *, strict: bool = False) -> str:
        found = real(path, strict=strict)
        if path.endswith("/a"):
            to_a_link(folder / "conf", tmp_path / "outside")
        return found

    monkeypatch.setattr(os.path, "realpath", looked_up)
    with pytest.raises(ComposeError, match="leads out of"):
        read_text(str(folder / "conf" / "a"), root=str(folder), longest=100)


def test_links_of_the_bundle_tell_where_a_link_leads(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    (folder / "conf" / "deep").mkdir()
    for name, target in {
        "up": "conf/deep/..",
        "conf/deep/top": "../..",
        "a": "up/deep/top/conf/a",
        "circle": "circle/x",
        "none": "nowhere/x",
    }.items():
        (folder / name).symlink_to(target)
    assert bundled(folder)
    (folder / "out").symlink_to("conf/deep/top/../shop/conf/a")
    assert fault(folder).startswith("out: is a symlink that leads out of the App's folder")


def test_too_many_files_and_too_deep_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app_folder(tmp_path, **{"/".join("d" * 6): "x"})
    monkeypatch.setattr(bundle, "DEEPEST", 4)
    assert "more than 4 folders within each other" in fault(folder)
    monkeypatch.setattr(bundle, "DEEPEST", 100)
    monkeypatch.setattr(bundle, "MOST_FILES", 5)
    assert "has more than 5 files" in fault(folder)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = app_folder(tmp_path)

    class Broken(io.FileIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(bundle, "open", lambda file, *_, **_more: Broken(file), raising=False)
    assert fault(folder) == ".env: Input/output error"

    def unlisted(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", unlisted)
    assert fault(folder) == f"{folder}: Input/output error"


class Sink:
    """Counts what it is given, and remembers none of it."""

    def __init__(self) -> None:
        self.largest = self.size = 0

    def write(self, data: bytes) -> int:
        self.largest = max(self.largest, len(data))
        self.size += len(data)
        return len(data)


@pytest.mark.slow
def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    folder = app_folder(tmp_path)
    with open(folder / "huge", "wb") as file:
        file.truncate(300 << 20)
    sink = Sink()
    target: BinaryIO = sink  # type: ignore[assignment]
    bundle = write_bundle(app_at(str(folder)), PINNED, target)
    assert bundle.descriptor.size == sink.size > 300_000
    assert sink.largest < 100_000
