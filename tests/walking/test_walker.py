"""The rules of the walk, which also its oracle in plain Python keeps to the byte."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from layerscan import walk, walk_many
from layerscan.errors import LayerscanError
from layerscan.text import printable_path
from layerscan.walking.walker import Progress, WalkError
from tests.builders.tree import Device, Dir, File, Link, Sparse, Symlink, apply
from tests.builders.user import as_nobody
from tests.builders.walk_case import DOTTED, EVERYTHING, LONGEST_NAMES, du, in_python
from tests.requirements import require, require_root


@pytest.fixture(params=["compiled", "python"])
def either_walk(request: pytest.FixtureRequest) -> Iterator[None]:
    with in_python() if request.param == "python" else nullcontext():
        yield


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    apply(tmp_path, *EVERYTHING)
    return tmp_path


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

    @pytest.mark.parametrize("name", DOTTED + LONGEST_NAMES)
    def test_every_name_is_walked_but_those_of_folders_themselves(
        self, tmp_path: Path, name: bytes
    ) -> None:
        apply(tmp_path, File(name + b"/" + name + b"/f", size=5000), Symlink(b"s/" + name, name))
        usage = walk(tmp_path, child=name)
        assert (usage.files, usage.symlinks, usage.directories) == (1, 1, 4)
        assert usage.size == 5000 + len(name)
        assert usage.usage == du(tmp_path) * 1024
        assert usage.child == walk(os.fsencode(tmp_path) + b"/" + name)

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
            whole = subprocess.run(["du", "-sk", tmp_path], check=True, capture_output=True).stdout
            assert across.usage == int(whole.split()[0]) * 1024
        finally:
            subprocess.run(["umount", tmp_path / "a/mounted"], check=True)

    @pytest.mark.parametrize("path", ["c/s{}", "c/{}/s", "c/{}/{}/s"])
    @pytest.mark.parametrize("linked", [False, True])
    def test_sizes_and_holes_beyond_64_bits_add_up(self, path: str, *, linked: bool) -> None:
        require_root()
        require(os.path.ismount("/dev/shm"), "no tmpfs at /dev/shm")
        largest = (1 << 63) - 4096
        with tempfile.TemporaryDirectory(prefix="layerscan-", dir="/dev/shm") as folder:
            files = [path.format(number, number) for number in range(5)]
            links = [Link(f"{file}-too", file) for file in files if linked]
            apply(folder, *(Sparse(file, largest) for file in files), *links)
            usage = walk(folder, child="c")
        for one in (usage, usage.child):
            assert one is not None
            assert (one.size, one.holes) == (5 * largest, 5 * largest)

    def test_what_a_user_may_not_read_is_an_error_with_its_path(self, open_path: Path) -> None:
        _make_closed(open_path)
        usage = as_nobody(lambda: walk(open_path, child="diff"))
        root = os.fsencode(open_path)
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
        assert str(usage.errors[2]) == f"{printable_path(root)}/diff/\\xff: Permission denied"

    def test_a_root_that_may_not_be_read_counts_itself(self, open_path: Path) -> None:
        closed = open_path / "closed"
        closed.mkdir(mode=0)
        usage = as_nobody(lambda: walk(closed))
        assert usage.directories == 1
        assert usage.errors == (WalkError(os.fsencode(closed), errno.EACCES),)

    def test_progress_is_told_at_the_end(self, tree: Path) -> None:
        told: list[Progress] = []
        usage = walk_many([tree, tree], on_progress=told.append)
        assert told[-1] == Progress(entries=sum(one.entries for one in usage), trees_done=2)

    def test_progress_is_told_before_the_end(self, tree: Path) -> None:
        trees = 100_000
        told: list[Progress] = []

        def enough(progress: Progress) -> None:
            told.append(progress)
            raise InterruptedError

        with pytest.raises(InterruptedError):
            walk_many([tree] * trees, on_progress=enough)
        assert [progress.trees_done < trees for progress in told] == [True]

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


def test_a_missing_compiled_walk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "layerscan._walk", None)
    with pytest.raises(LayerscanError, match="the compiled walk cannot be loaded"):
        walk(tmp_path)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(threads: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        walk(tmp_path, threads=threads)


def test_printable_path_loses_no_byte() -> None:
    assert printable_path(b"plain/path") == "plain/path"
    assert printable_path(b"a\nb\\c\xff\x1b[0m") == "a\\nb\\\\c\\xff\\x1b[0m"
    assert printable_path("ä") == "ä"
