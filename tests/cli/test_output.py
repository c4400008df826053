"""Where output goes: files written whole or not at all, special files, reports."""

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from layerscan import cli
from tests.cli_runner import (
    PROGRAM,
    Fleet,
    Result,
    environment,
    error,
    let_all_read,
    open_to_all,
    run,
    run_as_nobody,
    shell,
)
from tests.requirements import require_root

OLD = b"what was there"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.build(tmp_path_factory.mktemp("fleet") / "docker")


@pytest.fixture(scope="module")
def document(fleet: Fleet) -> bytes:
    """What a scan of the fleet's one arm64 image writes."""
    return scan(fleet, "-o", "-").out


def scan(fleet: Fleet, *arguments: object) -> Result:
    return run("scan", "-d", fleet.store.root, "--arch", "arm64", *arguments)


def main(fleet: Fleet, *arguments: object) -> int:
    """The same within this process, where it can be meddled with."""
    return cli.main(["scan", "-d", fleet.store.root, "--arch", "arm64", *map(str, arguments)])


def only(folder: Path) -> Path:
    """The one entry of `folder`: there are no temporary files beside it."""
    (path,) = folder.iterdir()
    return path


# Files.


def test_new_file_has_the_mode_that_the_umask_leaves(
    fleet: Fleet, tmp_path: Path, document: bytes
) -> None:
    before = os.umask(0o027)
    try:
        assert scan(fleet, "-o", tmp_path / "out").status == 0
    finally:
        os.umask(before)
    out = only(tmp_path)
    assert out.read_bytes() == document
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_file_is_replaced_with_its_mode_kept(fleet: Fleet, tmp_path: Path, document: bytes) -> None:
    out = tmp_path / "out"
    out.write_bytes(OLD)
    out.chmod(0o604)
    before = out.stat()
    with out.open("rb") as reader:
        assert scan(fleet, "-o", out).status == 0
        # Who has the old file open still reads the old one.
        assert reader.read() == OLD
    assert only(tmp_path).read_bytes() == document
    assert out.stat().st_ino != before.st_ino
    assert stat.S_IMODE(out.stat().st_mode) == 0o604


@pytest.mark.parametrize("there", [True, False])
def test_symlink_stays_and_its_target_is_written(
    fleet: Fleet, tmp_path: Path, document: bytes, *, there: bool
) -> None:
    for name in ("links", "targets"):
        (tmp_path / name).mkdir()
    target, link = tmp_path / "targets" / "out", tmp_path / "links" / "out"
    if there:
        target.write_bytes(OLD)
    link.symlink_to("../targets/out")
    assert scan(fleet, "-o", link).status == 0
    assert only(link.parent).is_symlink()
    assert only(target.parent).read_bytes() == document


@pytest.mark.parametrize("name", ["ż" * 127, "€" * 85, "n" * 255, "-", "new\nline"])
def test_any_name_of_a_file_will_do(
    fleet: Fleet, tmp_path: Path, document: bytes, name: str
) -> None:
    result = scan(fleet, "-o", f"{tmp_path}/{name}")
    assert (result.status, result.lines) == (0, [])
    assert only(tmp_path).read_bytes() == document
    assert only(tmp_path).name == name


def test_name_in_the_current_folder(tmp_path: Path, fleet: Fleet, document: bytes) -> None:
    result = run("-d", fleet.store.root, "-i", "nginx:1.25", "--out-file=out.json", cwd=tmp_path)
    assert (result.status, result.lines) == (0, [])
    assert only(tmp_path).read_bytes() == document


# Files that cannot be written.


def test_what_cannot_be_written_is_said_before_the_scan(
    fleet: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the store was opened")

    monkeypatch.setattr("layerscan.stores.open_store", opened)
    for path, why in (
        (tmp_path, "is a directory; -o takes a file"),
        (tmp_path / "none/out", f"there is no folder {tmp_path}/none; make it first"),
    ):
        assert main(fleet, "-o", path) == 2
        assert capsys.readouterr() == ("", error(f"{path}: {why}\n"))
    assert main(fleet, "-o", "") == 2
    assert capsys.readouterr().err == error("-o takes the name of a file, not an empty one\n")
    assert list(tmp_path.iterdir()) == []


def test_folder_or_fifo_without_permission() -> None:
    require_root()
    with open_to_all() as folder:
        let_all_read(Fleet.build(folder / "docker").store)
        fifo = folder / "fifo"
        os.mkfifo(fifo, 0o600)
        for path, where in ((folder / "out", f"in {folder}"), (fifo, "to it")):
            result = run_as_nobody("scan", "-d", folder / "docker", "-o", path)
            assert result.status == 2
            assert result.lines == [error(f"{path}: no permission to write {where}")]


def test_write_that_fails_leaves_the_old_file(fleet: Fleet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(OLD)
    done = subprocess.run(
        [sys.executable, *PROGRAM, "-d", fleet.store.root, "--arch", "arm64", "-o", out],
        check=False,
        capture_output=True,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == error(f"{out}: cannot be written: File too large\n")
    assert only(tmp_path).read_bytes() == OLD


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("what", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_write_that_is_interrupted_leaves_the_old_file(
    fleet: Fleet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    call: str,
    what: BaseException,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise what

    out = tmp_path / "out"
    out.write_bytes(OLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, failing)
        status = main(fleet, "-o", out)
    line = f"{out}: cannot be written: Input/output error" if status == 2 else "interrupted"
    assert status == (2 if isinstance(what, OSError) else 130)
    assert capsys.readouterr() == ("", error(line + "\n"))
    assert only(tmp_path).read_bytes() == OLD


def test_interrupt_after_the_file_took_its_place_is_told_as_one(
    fleet: Fleet, tmp_path: Path, document: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def late(source: str, target: str, **folders: int) -> None:
        replace(source, target, **folders)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", late)
        status = main(fleet, "-o", tmp_path / "out")
    assert status == 130
    assert capsys.readouterr() == ("", error("interrupted\n"))
    assert only(tmp_path).read_bytes() == document


# What is no file.


def test_stdout_by_any_name(fleet: Fleet, document: bytes, tmp_path: Path) -> None:
    for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert scan(fleet, "-o", name) == Result(0, document, [])
    target = tmp_path / "log"
    root = fleet.store.root
    for name in ("-", "/dev/stdout"):
        result = shell(
            "(echo a; layerscan -d $1 --arch arm64 -o $2; echo b) > $3", root, name, target
        )
        assert (result.status, result.lines) == (0, [])
        assert target.read_bytes() == b"a\n" + document + b"b\n"
        assert only(tmp_path) == target


def test_report_and_document_do_not_share_stdout(fleet: Fleet) -> None:
    for name in ("-", "/dev/stdout"):
        result = scan(fleet, "-o", name, "--format", "json")
        assert (result.status, result.out) == (2, b"")
        assert result.lines == [error(f"-o {name} and --format both want stdout: give one of them")]


def test_fifo_and_device_are_written_to(fleet: Fleet, tmp_path: Path, document: bytes) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    result = scan(fleet, "-o", fifo)
    reader.join(timeout=10)
    assert (result.status, result.lines, read) == (0, [], [document])
    assert stat.S_ISFIFO(only(tmp_path).stat().st_mode)
    assert scan(fleet, "-o", "/dev/null") == Result(0, b"", [])
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_process_substitution(fleet: Fleet, tmp_path: Path, document: bytes) -> None:
    result = shell(
        "layerscan -d $1 --arch arm64 -o >(cat > $2; echo done >&2); wait $!",
        fleet.store.root,
        tmp_path / "out",
    )
    assert (result.status, result.lines) == (0, ["done"])
    assert only(tmp_path).read_bytes() == document


# Stdout that takes no more.


@pytest.fixture
def closed_pipe() -> int:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.fixture(params=[{}, {"PYTHONUNBUFFERED": "1"}])
def buffering(request: pytest.FixtureRequest) -> dict[str, str]:
    """When a write fails: at once, or only when the buffer is flushed."""
    env: dict[str, str] = request.param
    return env


@pytest.mark.parametrize(
    "arguments", [[], ["--format", "json"], ["-o", "-"], ["--help"], ["--version"]]
)
def test_pipe_that_nobody_reads_ends_it_quietly(
    fleet: Fleet, closed_pipe: int, arguments: list[str], buffering: dict[str, str]
) -> None:
    first = [] if arguments == ["--version"] else ["-d", fleet.store.root, "--arch", "arm64"]
    result = run(*first, *arguments, stdout=closed_pipe, env=buffering)
    os.close(closed_pipe)
    assert (result.status, result.lines) == (141, [])


def test_pipe_given_by_its_path_is_a_file_that_cannot_be_written(
    fleet: Fleet, closed_pipe: int
) -> None:
    result = run("-d", fleet.store.root, "--arch", "arm64", "-o", "/dev/fd/1", stdout=closed_pipe)
    os.close(closed_pipe)
    assert result == Result(2, b"", [error("/dev/fd/1: cannot be written: Broken pipe")])


def test_messages_end_it_where_nobody_reads_them_but_not_where_they_do_not_fit(
    fleet: Fleet, closed_pipe: int
) -> None:
    def status(stderr: int) -> int:
        arguments = [sys.executable, *PROGRAM, "-d", fleet.store.root]
        with open(os.devnull, "wb") as null:
            done = subprocess.run(
                arguments, check=False, env=environment(), stdout=null, stderr=stderr, timeout=240
            )
        return done.returncode

    assert status(closed_pipe) == 141
    os.close(closed_pipe)
    with open("/dev/full", "wb") as full:
        assert status(full.fileno()) == 0


@pytest.mark.parametrize(
    "arguments", [[], ["--format", "json"], ["-o", "-"], ["--help"], ["--version"]]
)
def test_full_disk_behind_stdout(
    fleet: Fleet, arguments: list[str], buffering: dict[str, str]
) -> None:
    first = [] if arguments == ["--version"] else ["-d", fleet.store.root, "--arch", "arm64"]
    with open("/dev/full", "wb") as full:
        result = run(*first, *arguments, stdout=full, env=buffering)
    assert result == Result(2, b"", [error("stdout: No space left on device")])


def test_stdout_or_stderr_closed_by_the_caller(
    fleet: Fleet, tmp_path: Path, document: bytes
) -> None:
    root, out = fleet.store.root, tmp_path / "out"
    result = shell("layerscan -d $1 --arch arm64 >&-", root)
    assert (result.status, result.lines) == (2, [error("stdout: Bad file descriptor")])
    for closing in (">&-", "2>&-", "<&- >&- 2>&-"):
        result = shell(f"layerscan -d $1 --arch arm64 -o $2 {closing}", root, out)
        assert (result.status, result.out, result.lines) == (0, b"", [])
        assert only(tmp_path).read_bytes() == document
        out.unlink()
