"""The compiled parts where the system refuses what they ask for: memory, files, threads.

Whatever is refused, they say so, or do without, and give back all that they have.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.failing import Figures, learn
from tests.builders.tree import Dir, File, Link, apply, many

if TYPE_CHECKING:
    from pathlib import Path

WALK = """
import gc
from layerscan.walking.table import file_table
from layerscan.walking.walker import walk, walk_many
from tests.builders.failing import Refusing

root, threads = sys.argv[1], int(sys.argv[2])
calls = {
    "walk": lambda: walk(root, threads=threads),
    "child": lambda: walk_many([root, root], child="a", threads=threads),
    "once": lambda: walk_many([root, root + "/a"], count_once=True, threads=threads),
    "missing": lambda: walk_many([root + "/none", root], threads=threads),
    "table": lambda: sorted(file_table(root, threads=threads).tolist()),
}
refusing = Refusing("layerscan._walk")

def outcome(call):
    try:
        found = call()
    except (MemoryError, OSError) as error:
        found = type(error).__name__
    figures = refusing.figures()
    if figures.blocks:
        gc.collect()
        figures = refusing.figures()
    return found, figures.blocks, figures.descriptors

def counted(call):
    refusing.begin()
    return call(), refusing.figures()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders below folders, files with several names, more than a set first has room for."""
    folders = (Dir(f"a/{number}/deep/deeper") for number in range(30))
    apply(tmp_path, *many("a/files", 600), *folders, File("a/one", size=5000))
    apply(tmp_path, *(Link(f"link{number}", f"a/files/f{number:05}") for number in range(40)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_memory_of_the_walk(tree: Path, threads: int) -> None:
    script = """
told = {}
for name, call in calls.items():
    whole, figures = counted(call)
    told[name] = [figures.allocations, figures.blocks, figures.descriptors]
    for number in range(1, figures.allocations + 1):
        refusing.begin(allocation=number)
        found, *left = outcome(call)
        told[name].append([found if found == "MemoryError" else found == whole, *left])
tell(told)
"""
    for name, (number, *left, of_each) in learned(script, tree, threads).items():
        assert number > 5, name
        assert left == [0, 0]
        assert [one[1:] for one in of_each] == [[0, 0]] * number
        said = [one[0] for one in of_each]
        assert set(said) <= {"MemoryError", True}, name
        assert said[0] == "MemoryError"
        # Without a list of threads, or one thread's buffer, others do all.
        assert said.count(True) <= threads, name


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that all wait for one of their folders, so that few can stay open."""
    root = tmp_path_factory.mktemp("deep")
    names = ["m/" * depth + name for depth in range(60) for name in ("a", "z/y")]
    # More than the calling thread does by itself.
    apply(root, *many("m", 3000), *map(Dir, names))
    return root


def learned(script: str, tree: Path, threads: int) -> dict[str, Any]:
    found = learn(WALK + script, tree, threads)
    return {name: [*one[:3], one[3:]] for name, one in found.items()}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOENT])
def test_files_of_the_walk(tree: Path, threads: int, error: int) -> None:
    script = f"""
told = {{}}
for name, call in calls.items():
    whole, figures = counted(call)
    told[name] = [figures.opens, figures.blocks, figures.descriptors]
    for number in range(1, figures.opens + 1, 4):
        refusing.begin(opening=number, error={error})
        found, *left = outcome(call)
        told[name].append([found == whole, str(found)[:40], *left])
tell(told)
"""
    for name, (number, *left, of_each) in learned(script, tree, threads).items():
        assert number > 60, name
        assert left == [0, 0]
        assert [one[2:] for one in of_each] == [[0, 0]] * len(of_each), name
        if error in (errno.EMFILE, errno.ENFILE):
            # Another try has it, but for the first: nothing was open that could be given up.
            assert all(one[0] for one in of_each[1:]), (name, of_each)
        elif name != "table":
            # A table lacks nothing if the folder is empty.
            assert not any(one[0] for one in of_each[1:]), (name, of_each)


def test_what_has_vanished_from_the_child_is_counted_there_too(tmp_path: Path) -> None:
    apply(tmp_path, Dir("a/x"), Dir("b/y"))
    script = """
told = []
for number in range(3, 7):
    refusing.begin(opening=number, error=2)
    usage = walk(root, child="a", threads=threads)
    told.append([usage.vanished, usage.child.vanished])
tell(told)
"""
    # After the list of descriptors and the root: a, a/x, b and b/y.
    told = learn(WALK + script, tmp_path, 1)
    assert sorted(told) == [[1, 0], [1, 0], [1, 1], [1, 1]]


DEEP = """
import resource
from tests.builders.walk_case import open_descriptors

def limited(spare):
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + spare, highest))
"""


def test_descriptors_of_a_walk_stay_below_what_it_may_have(deep: Path) -> None:
    script = """
told = []
for spare in (40, 60, 100):
    limited(spare)
    told.append([spare, *counted(calls["walk"])[1]])
tell(told)
"""
    for threads in (1, 4):
        for spare, *figures in learn(WALK + DEEP + script, deep, threads):
            found = Figures(*figures)
            assert found.most_descriptors <= spare - 16, spare
            assert found.descriptors == 0


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOENT])
def test_folders_that_are_opened_again(deep: Path, threads: int, error: int) -> None:
    script = f"""
limited(24)
whole, figures = counted(calls["walk"])
told = []
for number in range(2, figures.opens + 1, 7):
    refusing.begin(opening=number, error={error})
    found, *left = outcome(calls["walk"])
    told.append([found == whole, *left])
tell([figures.opens, whole.directories, told])
"""
    opens, directories, told = learn(WALK + DEEP + script, deep, threads)
    # Some are closed meanwhile, and opened again.
    assert opens > directories
    assert [one[1:] for one in told] == [[0, 0]] * len(told)
    if error == errno.EMFILE:
        assert all(one[0] for one in told)


def test_with_the_first_descriptor(deep: Path) -> None:
    script = """
import os
expected = calls["walk"]()
limited(24)
os.close(0)
whole, figures = counted(calls["walk"])
tell([whole == expected, figures.descriptors])
"""
    for threads in (1, 4):
        assert learn(WALK + DEEP + script, deep, threads) == [True, 0]


def test_a_walk_that_is_given_up_closes_what_it_had_open(deep: Path) -> None:
    script = """
from threading import Event, Timer

limited(24)
opens = counted(calls["walk"])[1].opens
told = []
for number in range(2, opens, opens // 12):
    cancel = Event()
    refusing.begin(slow=number)
    timer = Timer(0.02, cancel.set)
    timer.start()
    told.append(outcome(lambda: walk(root, threads=threads, cancel=cancel)))
    timer.join()
tell(told)
"""
    for threads in (1, 4):
        told = learn(WALK + DEEP + script, deep, threads)
        assert [one[1:] for one in told] == [[0, 0]] * len(told)
        # What the calling thread does by itself at first is not given up.
        assert sum(one[0] == "InterruptedError" for one in told) > len(told) // 2


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EINVAL, errno.EPERM])
def test_without_statx(tree: Path, error: int) -> None:
    for name, target in (("a/to-folder", "files"), ("a/to-file", "one"), ("a/to-nothing", "none")):
        (tree / name).symlink_to(target)
    (tree / "holes").touch()
    os.truncate(tree / "holes", 1 << 33)
    script = f"""
wholes = {{name: call() for name, call in calls.items()}}
refusing.refuse_statx({error})
tell({{name: call() == wholes[name] for name, call in calls.items()}})
"""
    assert set(learn(WALK + script, tree, 1).values()) == {True}


def test_threads_that_cannot_be_started(tree: Path) -> None:
    script = """
whole = walk(root, threads=1)
told = []
for number in range(1, 4):
    refusing.begin(slow=3, thread=number)
    told.append([walk(root, threads=4) == whole, *refusing.figures()[2:5]])
tell(told)
"""
    told = learn(WALK + script, tree, 4)
    assert [one[0] for one in told] == [True] * 3
    assert [one[2:] for one in told] == [[0, 0]] * 3
    # After one that is refused no more are asked for.
    assert [one[1] for one in told] == [1, 2, 3]


TAR = r"""
from layerscan.tar._tar import TarScanner
from tests.builders.failing import Refusing
from tests.builders import tars
from tests.builders.tars import header, record, special
from tests.test_memory import LONG, LONG_LINK, stream

refusing = Refusing("layerscan.tar._tar")
pax = special(b"x", record(b"path", LONG) + record(b"linkpath", LONG_LINK))
gnu = special(b"L", LONG + b"\0") + special(b"K", LONG_LINK + b"\0")
link = header(b"n", type=tars.SYMLINK)
data = stream(pax + link, gnu + link, tars.END)

def scan():
    scanner = TarScanner(tar_split=True)
    split = []
    for at in range(0, len(data), 70_001):
        scanner.feed(data[at : at + 70_001])
        split.append(scanner.take_tar_split())
    tree = scanner.finish()
    return [column.tobytes() for column in tree], b"".join(split)

def outcome():
    try:
        return scan()
    except MemoryError:
        return None
"""


def test_memory_of_the_scanner() -> None:
    script = """
refusing.begin()
whole, number = scan(), refusing.figures().allocations
assert refusing.figures().blocks == 0
told = []
for each in range(1, number + 1):
    refusing.begin(allocation=each)
    found = outcome()
    told.append([found is None or found == whole, refusing.figures().blocks])
tell(told)
"""
    told = learn(TAR + script)
    assert told == [[True, 0]] * len(told)
    assert len(told) > 20


def test_memory_of_the_growth_of_folders() -> None:
    script = """
import numpy as np
from layerscan.prediction.filesystems._htree import indexed_blocks
from tests.builders.failing import Refusing
from tests.oracles.htree import measures

refusing = Refusing("layerscan.prediction.filesystems._htree")
lengths, starts = np.full(900, 40, np.int32), np.array([0, 900], np.int64)

def grow():
    found = np.empty(1)
    indexed_blocks(lengths, starts, found, trials=1, **measures(1024))
    return found[0]

refusing.begin()
whole, number = grow(), refusing.figures().allocations
told = []
for each in range(1, number + 1):
    refusing.begin(allocation=each)
    try:
        grow()
    except MemoryError:
        told.append(refusing.figures().blocks)
tell([number, told])
"""
    number, told = learn(script)
    assert told == [0] * number
    assert number >= 3
