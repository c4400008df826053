"""The walk on every kind of file system, and with a kernel that answers oddly."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerscan import Usage, walk
from tests.builders.tree import Dir, Fifo, File, Link, Sparse, Symlink, Whiteout, apply, many
from tests.builders.walk_case import in_python
from tests.requirements import require, require_root

pytestmark = pytest.mark.root

LOOP_SIZE = 512 << 20


def fill(root: Path) -> None:
    apply(
        root,
        File("a/f", size=5000),
        Link("a/g", "a/f"),
        Link("top", "a/f"),
        File("a/b/tiny", size=3),
        File("empty"),
        Sparse("sparse", 1 << 30, ((1 << 20, b"data"),)),
        Symlink("short", "x"),
        Symlink("long", "x" * 200),
        Fifo("fifo"),
        *many("many", 3000, size=5000),
    )


@contextlib.contextmanager
def mounted(point: Path, *arguments: object) -> Iterator[Path]:
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", *map(str, arguments), point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


@pytest.fixture(params=["ext4", "ext4 -b 1024", "xfs", "btrfs"])
def on_loop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A fresh file system of the kind on a loop device."""
    require_root()
    kind, *options = request.param.split()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(LOOP_SIZE)
    mkfs = f"mkfs.{kind}"
    found = subprocess.run(["which", mkfs], check=False, capture_output=True).returncode == 0
    require(found, f"{mkfs} is not installed; run tests/engines/install")
    subprocess.run([mkfs, "-q", *options, image], check=True)
    with mounted(tmp_path / "mounted", "-o", "loop", image) as point:
        yield point


def agrees(root: Path) -> Usage:
    """Walk `root` each way; hold the answers against each other and du."""
    with in_python():
        expected = walk(root, child="a")
    for threads in (1, 32):
        assert walk(root, child="a", threads=threads) == expected
    done = subprocess.run(["du", "-skx", root], check=True, capture_output=True)
    assert expected.usage == int(done.stdout.split()[0]) * 1024
    return expected


def test_file_systems_on_disk(on_loop: Path) -> None:
    fill(on_loop)
    # Blocks of what is still to be written are not there yet.
    os.sync()
    usage = agrees(on_loop)
    assert usage.files == 3004
    assert usage.duplicates == 2
    assert usage.errors == ()


def test_tmpfs(tmp_path: Path) -> None:
    require_root()
    with mounted(tmp_path / "mounted", "-t", "tmpfs", "none") as point:
        fill(point)
        agrees(point)


def test_overlay_mounts(tmp_path: Path) -> None:
    require_root()
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    fill(tmp_path / "lower")
    apply(tmp_path / "upper", File("a/new", size=777), Whiteout("empty"), Dir("fresh"))
    layers = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    with mounted(tmp_path / "mounted", "-t", "overlay", "-o", layers, "none") as point:
        usage = agrees(point)
    assert usage.others == 1  # the FIFO: merged, a whiteout is not there
    assert usage.files == 3004


def test_overlay_of_two_file_systems(tmp_path: Path) -> None:
    # Then files have the device number of their own layer, folders the overlay's.
    require_root()
    (tmp_path / "lower").mkdir()
    fill(tmp_path / "lower")
    with mounted(tmp_path / "tmpfs", "-t", "tmpfs", "none") as other:
        apply(other, Dir("work"), File("upper/a/new", size=777))
        layers = f"lowerdir={tmp_path}/lower,upperdir={other}/upper,workdir={other}/work"
        with mounted(tmp_path / "mounted", "-t", "overlay", "-o", layers, "none") as point:
            # du -x takes files of the lower layer for another file system's.
            with in_python():
                expected = walk(point, child="a")
            assert walk(point, child="a") == expected
            done = subprocess.run(["du", "-sk", point], check=True, capture_output=True)
            assert expected.usage == int(done.stdout.split()[0]) * 1024


WALKED = """
import sys
from layerscan import walk
walk("/dev/null")  # what is loaded with the first walk, strace must not see
print("ready", flush=True)
sys.stdin.readline()
print(repr(walk(sys.argv[1], threads=8)))
"""


def walk_with_faults(root: Path, *faults: str) -> str:
    """What a walk gives when strace makes its system calls fail."""
    require_root()
    found = subprocess.run(["which", "strace"], check=False, capture_output=True).returncode == 0
    require(found, "strace is not installed; run tests/engines/install")
    command = [sys.executable, "-c", WALKED, os.fspath(root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as walking:
        assert walking.stdout
        assert walking.stdin
        assert walking.stdout.readline() == "ready\n"
        options = [option for fault in faults for option in ("-e", f"inject={fault}")]
        attach = ["strace", "-f", "-q", "-o", "/dev/null", *options, "-p", str(walking.pid)]
        with subprocess.Popen(attach, stderr=subprocess.PIPE, text=True):
            _wait_until_traced(walking.pid)
            out, _ = walking.communicate("go\n")
    assert walking.returncode == 0
    return out.strip()


def _wait_until_traced(pid: int) -> None:
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        pass


@pytest.fixture
def small(tmp_path: Path) -> Path:
    apply(tmp_path, *many("a", 400, size=10), *many("b/c", 400, size=10), Link("l", "a/f00000"))
    return tmp_path


@pytest.mark.parametrize(
    "fault",
    [
        "statx:error=ENOSYS",  # an old kernel
        "statx:error=EPERM",  # an old seccomp filter
        "getdents64:error=EINTR:when=1+2",
        "openat:error=EPERM:when=1+2",  # O_NOATIME is not for everybody
        "openat:error=EMFILE:when=2",
        "openat:error=ENFILE:when=2+3",
    ],
)
def test_a_call_that_fails_for_a_while_changes_nothing(small: Path, fault: str) -> None:
    assert walk_with_faults(small, fault) == repr(walk(small))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """So few entries that one thread walks them: strace counts by thread."""
    apply(tmp_path, *many("a", 30, size=10))
    return tmp_path


@pytest.mark.parametrize("fault", ["ENOENT", "ESTALE", "ENOTDIR"])
def test_what_has_vanished_is_counted_apart(tiny: Path, fault: str) -> None:
    got = walk_with_faults(tiny, f"statx:error={fault}:when=10")
    assert "vanished=1," in got
    assert "errors=(), error_count=0" in got


def test_an_entry_for_which_the_kernel_has_no_memory_is_an_error(tiny: Path) -> None:
    got = walk_with_faults(tiny, "statx:error=ENOMEM:when=10")
    assert "errno=12)" in got
    assert "error_count=1" in got


def test_a_folder_that_fails_midway_is_an_error(tiny: Path) -> None:
    got = walk_with_faults(tiny, "getdents64:error=EIO:when=3")
    assert "errno=5)" in got
    assert "error_count=1" in got
