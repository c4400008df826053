"""What tests of the walk share: a tree with everything in it, and who else counts it."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from layerscan import _walk
from tests.builders.tree import Dir, Fifo, File, Link, Sparse, Symlink
from tests.oracles.walk import walk_trees

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

# Kubernetes makes `..data` and `..2026_11_30` in each volume. Only `.` and `..` are not walked.
DOTTED = (b"..data", b"..x", b"...", b"....", b"..\xff", b".. ", b".x", b". ", b"x", b"..x..")
LONGEST_NAMES = (b"n" * 255, b".." + b"n" * 253, b"." * 255)


def du(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], *options: str) -> int:
    """What GNU du says of `path`, in KiB."""
    command: list[str | bytes] = ["du", "-skx", *options, os.fsencode(path)]
    done = subprocess.run(command, check=True, capture_output=True)
    return int(done.stdout.split()[0])


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Have the walk in plain Python in the compiled one's place."""
    with mock.patch.object(_walk, "walk_trees", walk_trees):
        yield


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


def remove_deep(root: Path) -> None:
    # shutil.rmtree, which pytest cleans up with, recurses.
    subprocess.run(["rm", "-rf", root], check=True)
