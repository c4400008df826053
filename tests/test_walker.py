"""The walk: its rules, held against declared trees, plain Python and GNU du."""

import contextlib
import errno
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from layerscan import Usage, walk, walk_many
from layerscan.errors import LayerscanError
from layerscan.implementation import implementation_name
from layerscan.walker import Progress, WalkError, printable
from tests.builders.tree import Device, Dir, Fifo, File, Link, Op, Sparse, Symlink, apply, many
from tests.builders.user import as_nobody
from tests.requirements import require, require_root

EVERYTHING = (
    Dir("diff"),
    File("diff/a", size=5000),
    Link("diff/b", "diff/a"),
    Link("outside", "diff/a"),
    File("diff/empty"),
    Symlink("diff/link", "a/target/that/is/nowhere"),
    Sparse("diff/sparse", 1 << 30, ((4096, b"x" * 100),)),
    Fifo("diff/fifo"),
    File(b"diff/not-utf8-\xff\xfe", size=10),
    File("diff/new\nline", size=11),
    File("diff/-rf", size=12),
    File("diff/" + "n" * 255, size=13),
    Dir("diff/empty-folder"),
    File("link", size=26),
    Dir("work/work"),
)


def du(path: object, *options: str) -> int:
    """What GNU du says of `path`, in KiB."""
    command = ["du", "-skx", *options, os.fsencode(path)]  # type: ignore[arg-type]
    done = subprocess.run(command, check=True, capture_output=True)
    return int(done.stdout.split()[0])


@pytest.fixture(params=["compiled", "python"])
def either_walk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERSCAN_WALK", request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    apply(tmp_path, *EVERYTHING)
    return tmp_path


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """The plain Python walk, within a test that hypothesis runs many times."""
    os.environ["LAYERSCAN_WALK"] = "python"
    try:
        yield
    finally:
        del os.environ["LAYERSCAN_WALK"]


@contextlib.contextmanager
def descriptors_limited(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("either_walk")
class TestRules:
    """What both implementations do, to the byte."""

    def test_everything_is_counted_by_its_kind(self, tree: Path) -> None:
        usage = walk(tree, child="diff")
        assert usage.usage == du(tree) * 1024
        assert usage.size == 5000 + 24 + (1 << 30) + 10 + 11 + 12 + 13 + 26
        assert (usage.files, usage.directories, usage.symlinks, usage.others) == (8, 5, 1, 1)
        taken = (tree / "diff/sparse").stat().st_blocks * 512
        assert usage.holes == (1 << 30) - taken
        assert (usage.duplicates, usage.mounts, usage.vanished) == (2, 0, 0)
        assert (usage.errors, usage.error_count) == ((), 0)
        assert usage.entries == 17

    def test_the_child_is_counted_apart(self, tree: Path) -> None:
        child = walk(tree, child="diff").child
        assert child == walk(tree / "diff")
        assert child is not None
        assert child.usage == du(tree / "diff") * 1024
        # The name outside diff is none of its own.
        assert child.duplicates == 1

    def test_a_child_that_is_missing_is_none(self, tree: Path) -> None:
        assert walk(tree, child="dif").child is None
        assert walk(tree, child="diff2").child is None

    def test_a_child_deeper_down_is_not_the_child(self, tmp_path: Path) -> None:
        apply(tmp_path, Dir("a/diff"), File("a/diff/f", size=1))
        assert walk(tmp_path, child="diff").child is None

    def test_a_child_may_be_a_file(self, tmp_path: Path) -> None:
        apply(tmp_path, File("diff", size=77))
        child = walk(tmp_path, child=b"diff").child
        assert child is not None
        assert (child.files, child.size, child.directories) == (1, 77, 0)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        usage = walk(tmp_path)
        assert (usage.directories, usage.entries, usage.size) == (1, 1, 0)
        assert usage.usage == du(tmp_path) * 1024

    def test_a_root_may_be_a_file(self, tree: Path) -> None:
        usage = walk(tree / "diff" / "a")
        # Its other names are not in the tree, so they are no duplicates.
        assert (usage.files, usage.size, usage.duplicates) == (1, 5000, 0)
        assert usage.usage == du(tree / "diff" / "a") * 1024

    def test_a_symlink_as_root_is_not_followed(self, tree: Path) -> None:
        (tree / "way").symlink_to("diff")
        assert walk(tree / "way").symlinks == 1
        assert walk(tree / "way").entries == 1
        # With a slash it is the folder, for every program.
        assert walk(f"{tree}/way/") == walk(tree / "diff")

    def test_a_missing_root_raises(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            walk(tmp_path / "nowhere")
        assert caught.value.filename == str(tmp_path / "nowhere")

    def test_a_missing_root_among_several_is_an_error_of_its_own(self, tree: Path) -> None:
        missing, there = walk_many([tree / "nowhere", tree])
        assert missing.errors == (WalkError(os.fsencode(tree / "nowhere"), errno.ENOENT),)
        assert (missing.error_count, missing.entries, missing.blocks) == (1, 0, 0)
        assert there == walk(tree)

    def test_several_roots_each_count_what_they_share(self, tree: Path) -> None:
        assert walk_many([tree, tree / "diff", tree]) == [
            walk(tree),
            walk(tree / "diff"),
            walk(tree),
        ]

    def test_no_roots(self) -> None:
        assert walk_many([]) == []

    def test_a_path_with_a_null_is_refused(self) -> None:
        with pytest.raises(ValueError, match="NUL"):
            walk("a\0b")

    def test_paths_may_be_bytes_and_no_utf8(self, tmp_path: Path) -> None:
        root = os.fsencode(tmp_path) + b"/\xff"
        os.mkdir(root)
        assert walk(root).entries == 1

    def test_device_nodes(self, tmp_path: Path) -> None:
        require_root()
        apply(tmp_path, Device("null"), Device("loop", 7, 0, block=True), Device("gone", 0, 0))
        usage = walk(tmp_path)
        assert (usage.others, usage.files, usage.size) == (3, 0, 0)

    def test_mounts_are_not_entered(self, tmp_path: Path) -> None:
        require_root()
        apply(tmp_path, Dir("a/mounted"), File("a/f", size=3))
        without = walk(tmp_path)
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "a/mounted"], check=True)
        try:
            apply(tmp_path / "a/mounted", File("hidden", size=9999))
            usage = walk(tmp_path, child="a")
            assert usage.usage == du(tmp_path) * 1024
            assert (usage.mounts, usage.size, usage.directories) == (1, 3, without.directories - 1)
            assert usage.child is not None
            assert usage.child.mounts == 1
            across = walk(tmp_path, one_file_system=False)
            assert (across.mounts, across.size) == (0, 3 + 9999)
            command = ["du", "-sk", tmp_path]
            whole = subprocess.run(command, check=True, capture_output=True).stdout
            assert across.usage == int(whole.split()[0]) * 1024
        finally:
            subprocess.run(["umount", tmp_path / "a/mounted"], check=True)

    def test_sizes_beyond_64_bits_add_up(self) -> None:
        require_root()
        require(os.path.ismount("/dev/shm"), "no tmpfs at /dev/shm")
        root = Path("/dev/shm") / f"layerscan-{os.getpid()}"
        root.mkdir()
        try:
            largest = (1 << 63) - 4096
            apply(root, *(Sparse(f"s{number}", largest) for number in range(5)))
            assert walk(root).size == 5 * largest
        finally:
            for file in root.iterdir():
                file.unlink()
            root.rmdir()

    def test_what_a_user_may_not_read_is_an_error_with_its_path(self, tmp_path: Path) -> None:
        _make_closed(tmp_path)
        usage = as_nobody(lambda: walk(tmp_path, child="diff"))
        root = os.fsencode(tmp_path)
        assert usage.errors == (
            WalkError(root + b"/closed", errno.EACCES),
            WalkError(root + b"/diff/names-only/x", errno.EACCES),
            WalkError(root + b"/diff/\xff", errno.EACCES),
        )
        assert usage.error_count == 3
        assert usage.child is not None
        assert usage.child.errors == usage.errors[1:]
        assert usage.files == 1
        # A folder that cannot be read still counts itself, for du as for us.
        assert usage.directories == 6
        assert str(usage.errors[2]) == f"{printable(root)}/diff/\\xff: Permission denied"

    def test_a_root_that_may_not_be_read_counts_itself(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0)
        tmp_path.chmod(0o755)
        _open_way_to(tmp_path)
        usage = as_nobody(lambda: walk(closed))
        assert usage.directories == 1
        assert usage.errors == (WalkError(os.fsencode(closed), errno.EACCES),)

    def test_progress_is_told_at_the_end(self, tree: Path) -> None:
        told: list[Progress] = []
        usage = walk_many([tree, tree], on_progress=told.append)
        assert told[-1] == Progress(entries=sum(one.entries for one in usage), trees_done=2)

    def test_what_the_progress_callback_raises_ends_the_walk(self, tree: Path) -> None:
        class Enough(Exception):
            pass

        def enough(_: Progress) -> None:
            raise Enough

        with pytest.raises(Enough):
            walk(tree, on_progress=enough)


def _make_closed(root: Path) -> None:
    apply(
        root,
        File("readable/f", size=10),
        Dir("closed", mode=0),
        File("closed/secret", size=10),
        Dir("diff"),
        Dir(b"diff/\xff", mode=0o311),
        File(b"diff/\xff/secret", size=10),
        # Its names can be read, its inodes cannot.
        Dir("diff/names-only", mode=0o744),
        File("diff/names-only/x", size=10),
    )
    _open_way_to(root)


def _open_way_to(root: Path) -> None:
    """Let others come as far as `root`: pytest's folders are for their owner."""
    for folder in (root, *root.parents):
        if folder.owner() == Path(f"/proc/{os.getpid()}").owner() and folder != Path("/"):
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)


# --- differential ------------------------------------------------------------

NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@st.composite
def trees(draw: st.DrawFn) -> list[Op]:
    """A tree of any shape, hard links across its folders included."""
    folders = [b""]
    files: list[bytes] = []
    taken = {b""}
    ops: list[Op] = []
    for _ in range(draw(st.integers(0, 40))):
        folder = draw(st.sampled_from(folders))
        path = folder + draw(NAMES)
        if path in taken:
            continue
        taken.add(path)
        kind = draw(st.sampled_from(["folder", "file", "link", "symlink", "sparse", "fifo"]))
        if kind == "folder":
            ops.append(Dir(path))
            folders.append(path + b"/")
        elif kind == "link" and files:
            ops.append(Link(path, draw(st.sampled_from(files))))
        elif kind == "symlink":
            ops.append(Symlink(path, draw(st.sampled_from([b".", b"/", b"..", b"x" * 100]))))
        elif kind == "sparse":
            ops.append(Sparse(path, draw(st.integers(0, 1 << 40)), ((8192, b"data"),)))
            files.append(path)
        elif kind == "fifo":
            ops.append(Fifo(path))
        else:
            ops.append(File(path, size=draw(st.integers(0, 20_000))))
            files.append(path)
    return ops


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ops=trees(), child=NAMES)
@example(ops=list(EVERYTHING), child=b"diff")
def test_all_walks_agree_with_each_other_and_with_du(
    ops: list[Op], child: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    apply(root, *ops)
    top = [os.fsencode(op.path) for op in ops if b"/" not in os.fsencode(op.path)]
    child = top[0] if top else child
    with in_python():
        expected = walk(root, child=child)
    for threads in (1, 2, 32):
        assert walk(root, child=child, threads=threads) == expected
    with descriptors_limited(64):
        assert walk(root, child=child, threads=32) == expected
    assert expected.usage == du(root) * 1024
    assert expected.usage == walk_many([root, root])[1].usage


CLOSED = [0o755, 0o000, 0o311, 0o744, 0o711]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ops=trees(), modes=st.lists(st.sampled_from(CLOSED), min_size=41, max_size=41))
def test_all_walks_agree_for_a_user_who_may_not_read_everything(
    ops: list[Op], modes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    require_root()
    root = tmp_path_factory.mktemp("closed")
    closed = zip(ops, modes, strict=False)
    apply(root, *(Dir(op.path, mode) if isinstance(op, Dir) else op for op, mode in closed))
    _open_way_to(root)

    def every_walk() -> tuple[list[Usage], Usage, bytes]:
        compiled = [walk(root, threads=threads) for threads in (1, 32)]
        with in_python():
            expected = walk(root)
        command = ["du", "-skx", root]
        return compiled, expected, subprocess.run(command, check=False, capture_output=True).stdout

    compiled, expected, told = as_nobody(every_walk)
    assert compiled == [expected, expected]
    assert expected.usage == int(told.split()[0]) * 1024
    assert expected.error_count == len(expected.errors)


def test_a_real_tree_with_any_number_of_threads() -> None:
    root = os.path.dirname(os.__file__)
    with in_python():
        expected = walk(root)
    assert expected.entries > 1000
    assert expected.usage == du(root) * 1024
    for threads in (1, 2, 3, 32, 200):
        assert walk(root, threads=threads) == expected


# --- shapes ------------------------------------------------------------------


def make_comb(root: Path, depth: int) -> int:
    """A chain of folders, each with two more in it. Returns how many folders there are.

    Such a tree keeps every folder of the chain waiting for a sub-folder.
    """
    at = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=at)
        os.mkdir("z", dir_fd=at)
        os.mkdir("m", dir_fd=at)
        below = os.open("m", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    return 3 * depth + 1


def remove_deep(root: Path) -> None:
    # shutil.rmtree, which pytest cleans up with, recurses.
    subprocess.run(["rm", "-rf", root], check=True)


@pytest.fixture(scope="module")
def comb() -> Iterator[tuple[Path, int]]:
    """A deep comb, and how many folders it has."""
    # Not among pytest's folders: what a killed run leaves there, the next one
    # removes by recursion.
    root = Path(tempfile.mkdtemp(prefix="layerscan-comb-"))
    try:
        yield root, make_comb(root, 2000)
    finally:
        remove_deep(root)


@pytest.mark.parametrize("spare", [8, 40, 900])
@pytest.mark.parametrize("threads", [1, 8, None])
def test_depth_costs_no_descriptors(
    comb: tuple[Path, int], spare: int, threads: int | None
) -> None:
    root, folders = comb
    before = open_descriptors()
    with descriptors_limited(before + spare):
        usage = walk(root, threads=threads)
    assert (usage.directories, usage.errors, usage.vanished) == (folders, (), 0)
    assert open_descriptors() == before


def test_errors_deeper_than_path_max_have_their_path(tmp_path: Path) -> None:
    name = "d" * 250
    at = os.open(tmp_path, os.O_RDONLY)
    _open_way_to(tmp_path)
    for _ in range(40):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.mkdir("closed", mode=0, dir_fd=at)
    os.close(at)
    usage = as_nobody(lambda: walk(tmp_path))
    path = os.fsencode(tmp_path) + b"/" + b"/".join([name.encode()] * 40) + b"/closed"
    assert usage.errors == (WalkError(path, errno.EACCES),)
    remove_deep(tmp_path)


def test_a_wide_tree_under_a_low_limit(tmp_path: Path) -> None:
    for number in range(300):
        apply(tmp_path, *(Dir(f"{number}/{inner}/x") for inner in range(5)))
    with in_python():
        expected = walk(tmp_path)
    with descriptors_limited(open_descriptors() + 12):
        for threads in (1, 4, 32):
            assert walk(tmp_path, threads=threads) == expected


def test_one_large_folder(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 12_000))
    for number in range(0, 12_000, 3):
        os.link(tmp_path / f"flat/f{number:05d}", tmp_path / f"flat/l{number:05d}")
    usage = walk(tmp_path, child="flat")
    assert (usage.files, usage.duplicates, usage.directories) == (12_000, 4_000, 2)
    assert usage == walk(tmp_path, child="flat", threads=1)
    assert usage.usage == du(tmp_path) * 1024


def test_many_small_roots(tmp_path: Path) -> None:
    apply(tmp_path, *(File(f"r{number}/f", size=number) for number in range(2000)))
    roots = [tmp_path / f"r{number}" for number in range(2000)]
    usages = walk_many(roots)
    assert [usage.size for usage in usages] == list(range(2000))
    assert all(usage.files == usage.directories == 1 for usage in usages)


def test_without_a_descriptor_to_be_had_the_walk_says_so(tmp_path: Path) -> None:
    apply(tmp_path, File("a/f", size=5))
    limit = open_descriptors()
    held = []
    with descriptors_limited(limit + 4):
        try:
            while True:
                held.append(os.open("/", os.O_RDONLY))
        except OSError:
            usage = walk(tmp_path)
        finally:
            for descriptor in held:
                os.close(descriptor)
    assert usage.errors == (WalkError(os.fsencode(tmp_path), errno.EMFILE),)


# --- many at once, stopping --------------------------------------------------


def test_walks_in_several_threads_at_once(tmp_path: Path) -> None:
    apply(tmp_path, *many("a", 3000, size=10), *many("b/c", 2000, size=20))
    expected = walk(tmp_path)
    results: list[Usage] = []
    threads = [threading.Thread(target=lambda: results.append(walk(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_a_tree_that_changes_is_no_error(tmp_path: Path) -> None:
    stop = threading.Event()
    numbers = itertools.count()
    apply(tmp_path, *many("stays", 2000, size=1))

    def churn() -> None:
        while not stop.is_set():
            goes = tmp_path / f"goes{next(numbers)}"
            goes.mkdir()
            apply(goes, *(File(f"{number}/f", size=1) for number in range(50)))
            subprocess.run(["rm", "-rf", goes], check=True)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(30):
            usage = walk(tmp_path)
            assert usage.errors == ()
            assert usage.files >= 2000
    finally:
        stop.set()
        churning.join()


INTERRUPTED = """
import sys, time
from layerscan import walk_many
print("walking", flush=True)
try:
    walk_many([sys.argv[1]] * 100_000)
except KeyboardInterrupt:
    print(time.monotonic())
    sys.exit(7)
"""


# ThreadSanitizer delivers signals late, and all else slowly.
timed = pytest.mark.skipif(
    os.environ.get("LAYERSCAN_SANITIZED") == "thread", reason="timing is not TSan's matter"
)


@timed
def test_ctrl_c_stops_the_walk_at_once(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 5000))
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as walking:
        assert walking.stdout is not None
        assert walking.stdout.readline() == "walking\n"
        time.sleep(0.5)
        sent = time.monotonic()
        walking.send_signal(signal.SIGINT)
        caught = float(walking.stdout.readline())
        assert walking.wait() == 7
    assert caught - sent < 0.2


@timed
def test_a_callback_stops_a_long_walk_and_leaves_nothing_open(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 5000), *(Dir(f"wide/{number}/x") for number in range(500)))
    before = open_descriptors(), threading.active_count()
    started = time.monotonic()

    class Enough(Exception):
        pass

    def enough(progress: Progress) -> None:
        assert progress.entries > 0
        raise Enough

    with pytest.raises(Enough):
        walk_many([tmp_path] * 100_000, on_progress=enough)
    assert time.monotonic() - started < 2
    assert (open_descriptors(), threading.active_count()) == before
    assert len(os.listdir("/proc/self/task")) == before[1]


# --- choosing the walk -------------------------------------------------------


def test_the_compiled_walk_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYERSCAN_WALK", raising=False)
    assert implementation_name() == "compiled"


def test_an_unknown_walk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAYERSCAN_WALK", "fast")
    with pytest.raises(LayerscanError, match="LAYERSCAN_WALK='fast': there is no such walk"):
        walk(tmp_path)


def test_a_missing_compiled_walk_is_never_replaced_silently(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "layerscan._walk", None)
    with pytest.raises(LayerscanError, match="the compiled walk cannot be loaded"):
        walk(tmp_path)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(threads: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        walk(tmp_path, threads=threads)


def test_printable_loses_no_byte() -> None:
    assert printable(b"plain/path") == "plain/path"
    assert printable(b"a\nb\\c\xff\x1b[0m") == "a\\nb\\\\c\\xff\\x1b[0m"
    assert printable("ä") == "ä"
