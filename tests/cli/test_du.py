"""``layerscan du``: held against GNU du, argument by argument."""

import errno
import json
import os
import pty
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan import walk
from layerscan.cli import main
from layerscan.walking.walker import WalkError
from tests.builders.tree import Dir, Fifo, File, Link, Op, Sparse, Symlink, apply, many
from tests.builders.user import as_nobody
from tests.builders.walk_case import in_python
from tests.cli_runner import error
from tests.requirements import require_root

TREE: tuple[Op, ...] = (
    File("a/f", size=5000),
    File("a/one", size=1),
    Link("b/f", "a/f"),
    Link("f", "a/f"),
    File("b/c/deep", size=70_000),
    Sparse("b/sparse", 1 << 20),
    Symlink("b/link", "c"),
    Fifo("fifo"),
    Dir("empty"),
)
PATHS = [".", "a", "b", "b/c", "b/link", "b/link/", "f", "a/f", "b/f", "a/one", "fifo", "empty"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    apply(tmp_path, *TREE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def du(*arguments: str) -> tuple[bytes, int]:
    """Output and exit status of GNU du."""
    done = subprocess.run(["du", *arguments], check=False, capture_output=True)
    return done.stdout, done.returncode


def ours(*arguments: str) -> tuple[bytes, int, str]:
    """Output, exit status and messages of ours, as a whole process."""
    done = subprocess.run(
        [sys.executable, "-m", "layerscan", "du", *arguments], check=False, capture_output=True
    )
    return done.stdout, done.returncode, done.stderr.decode()


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("flags", [[], ["--apparent-size"], ["-b"], ["-x"], ["-b", "-x"]])
@pytest.mark.parametrize("path", [[], *([path] for path in PATHS)])
def test_one_path_as_du_has_it(
    flags: list[str], path: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    expected, _ = du("-sk" if "-b" not in flags else "-s", *flags, *path)
    assert main(["du", *flags, *path]) == 0
    assert capfdbinary.readouterr().out == expected


@pytest.mark.parametrize(
    "flags", [[], ["-k"], ["--apparent-size"], ["--apparent-size", "-k"], ["-b"]]
)
def test_figures_about_a_mebibyte_and_a_gibibyte_as_du_has_them(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], flags: list[str]
) -> None:
    mebibyte, gibibyte = 1 << 20, 1 << 30
    apply(
        tmp_path,
        *(File(f"f{size}/f", size=size) for size in (mebibyte - 1, mebibyte, mebibyte + 1)),
        *(Sparse(f"f{size}/f", size) for size in (gibibyte - 1, gibibyte, gibibyte + 1)),
        File("more/a", size=2 * mebibyte),
        File("more/b", size=mebibyte + 5000),
    )
    for folder in (tmp_path, *tmp_path.iterdir()):
        expected, _ = du("-sk" if "-b" not in flags else "-s", *flags, str(folder))
        assert main(["du", *flags, str(folder)]) == 0
        assert capfdbinary.readouterr().out == expected


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(paths=st.lists(st.sampled_from(PATHS), min_size=1, max_size=5), python=st.booleans())
def test_several_paths_as_du_has_them(
    capfdbinary: pytest.CaptureFixture[bytes], paths: list[str], *, python: bool
) -> None:
    expected, _ = du("-sk", *paths)
    capfdbinary.readouterr()
    with in_python() if python else nullcontext():
        assert main(["du", *paths]) == 0
    assert capfdbinary.readouterr().out == expected


def test_many_files_shared_by_many_paths(tmp_path: Path) -> None:
    apply(tmp_path, *many("d0", 3000, size=10))
    for number in range(1, 5):
        (tmp_path / f"d{number}").mkdir()
        for file in range(0, 3000, number):
            os.link(tmp_path / f"d0/f{file:05d}", tmp_path / f"d{number}/f{file:05d}")
    paths = [str(tmp_path / f"d{number}") for number in (3, 1, 0, 4, 2)]
    expected, _ = du("-sk", *paths)
    for threads in ("1", "32"):
        assert ours("-j", threads, *paths)[:2] == (expected, 0)


def test_mounts_as_du_has_them(tmp_path: Path) -> None:
    require_root()
    apply(tmp_path, File("a/f", size=3000), Dir("a/m"))
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "a/m"], check=True)
    try:
        apply(tmp_path / "a/m", File("g", size=9000), Dir("e"))
        for flags in ([], ["-x"]):
            assert ours(*flags, str(tmp_path))[:2] == du("-sk", *flags, str(tmp_path))
    finally:
        subprocess.run(["umount", tmp_path / "a/m"], check=True)


@pytest.mark.usefixtures("tree")
def test_a_missing_path_is_told_and_the_rest_printed() -> None:
    out, status, messages = ours("nowhere", "a")
    assert out == du("-sk", "a")[0]
    assert status == 3
    assert messages == "layerscan: error: cannot access nowhere: No such file or directory\n"


def test_what_may_not_be_read_is_told(
    open_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    apply(open_path, File("a/f", size=10), Dir("a/closed", mode=0))

    def both() -> tuple[int, tuple[bytes, int]]:
        return main(["du", os.fspath(open_path)]), du("-sk", os.fspath(open_path))

    status, (expected, _) = as_nobody(both)
    told = capfdbinary.readouterr()
    assert status == 3
    assert told.out == expected
    closed = f"{open_path}/a/closed"
    message = f"layerscan: error: cannot read directory {closed}: Permission denied\n"
    assert told.err.decode() == message


def test_a_path_that_is_no_utf8_is_printed_as_it_is(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n"
    os.mkdir(path)
    done = subprocess.run(
        [sys.executable, "-m", "layerscan", "du", path], check=True, capture_output=True
    )
    assert done.stdout == subprocess.run(["du", "-sk", path], capture_output=True).stdout  # noqa: PLW1510


@pytest.mark.usefixtures("tree")
def test_what_vanished_meanwhile_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changing = walk("a")._replace(vanished=2)
    monkeypatch.setattr("layerscan.walking.walker.walk_many", lambda *_, **__: [changing])
    assert main(["du", "a"]) == 0
    told = capfd.readouterr()
    assert told.out == f"{changing.usage // 1024}\ta\n"
    assert told.err == "layerscan: warning: a: 2 entries vanished while it was read\n"


@pytest.mark.usefixtures("tree")
def test_json_has_every_figure() -> None:
    out, status, _ = ours("--format", "json", "a", "b")
    first, second = json.loads(out)
    assert status == 0
    assert first["path"] == "a"
    assert first["usage"] == int(du("-sk", "a")[0].split()[0]) * 1024
    assert (first["size"], first["files"], first["directories"]) == (5001, 2, 1)
    # The second name of a/f counts in the first path only.
    assert (second["files"], second["duplicates"], second["symlinks"]) == (2, 1, 1)
    assert second["errors"] == []


def test_json_has_nothing_but_the_figures(
    open_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    apply(open_path, File("a/f", size=10), Dir("closed", mode=0))
    path = os.fspath(open_path)
    assert as_nobody(lambda: main(["du", "--format", "json", path])) == 3
    (found,) = json.loads(capfdbinary.readouterr().out)
    assert list(found) == [
        *("path", "usage", "size", "apparent_size", "blocks", "files", "directories", "symlinks"),
        *("others", "duplicates", "mounts", "vanished", "errors", "error_count"),
    ]
    usage = as_nobody(lambda: walk(path))
    assert found["apparent_size"] == usage.size + usage.directory_size
    assert found["errors"] == [{"path": f"{path}/closed", "errno": errno.EACCES}]
    assert found["error_count"] == 1


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("count", "more"), [(2, 0), (3, 1), (5, 3)])
def test_errors_that_were_not_kept_are_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], count: int, more: int
) -> None:
    errors = tuple(WalkError(path, errno.EIO) for path in (b"a", b"a/f"))
    broken = walk("a")._replace(errors=errors, error_count=count)
    found = [broken, walk("b")]
    monkeypatch.setattr("layerscan.walking.walker.walk_many", lambda *_, **__: found)
    assert main(["du", "a", "b"]) == 3
    told = [
        "cannot read directory a: Input/output error",
        "cannot access a/f: Input/output error",
        *([f"{more} more entries could not be read"] if more else []),
    ]
    assert capfd.readouterr().err.splitlines() == [error(line) for line in told]


def on_a_terminal(*arguments: str) -> bytes:
    """Output of ours where stdout is a terminal."""
    ours, theirs = pty.openpty()
    with open(theirs, "wb", buffering=0) as terminal:
        subprocess.run(
            [sys.executable, "-m", "layerscan", "du", *arguments], check=True, stdout=terminal
        )
        shown = os.read(ours, 4096)
    os.close(ours)
    return shown


def test_a_name_gives_a_terminal_no_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b]0;owned\x07\n\\ é\udcff"
    (tmp_path / name).touch()
    assert on_a_terminal("-b", name) == "0\t\\x1b]0;owned\\x07\\n\\\\ é\\xff\r\n".encode()
    # Another program gets the name itself.
    assert ours("-b", name)[0] == b"0\t" + os.fsencode(name) + b"\n"
