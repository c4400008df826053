"""The sizes that the walk is made for: memory, descriptors and answers at a million.

In memory, since that is where a million inodes are made within seconds. Each
walk runs in a process of its own, whose peak memory is then that of the walk.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders.walk_case import du, remove_deep
from tests.requirements import require

pytestmark = pytest.mark.slow


MILLION = 1_000_000
SHARED_MEMORY = "/dev/shm"

WALK = """
import json, resource, sys
from layerscan import walk_many
roots, limit = json.load(sys.stdin)
if limit:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
found = walk_many(roots)
# Not ru_maxrss, which begins with that of the process that started this one.
with open("/proc/self/status") as status:
    (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(json.dumps({
    "usage": sum(one.usage for one in found),
    "files": sum(one.files for one in found),
    "directories": sum(one.directories for one in found),
    "duplicates": sum(one.duplicates for one in found),
    "errors": sum(one.error_count for one in found),
    "peak": peak * 1024,
}))
"""


def walked(*roots: Path, descriptors: int = 0) -> dict[str, int]:
    asked = json.dumps([[str(root) for root in roots], descriptors])
    done = subprocess.run(
        [sys.executable, "-c", WALK], input=asked, capture_output=True, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder in memory with room for a million inodes."""
    require(os.path.isdir(SHARED_MEMORY), f"there is no {SHARED_MEMORY}")
    there = os.statvfs(SHARED_MEMORY)
    require(there.f_favail > 1.2 * MILLION, f"{SHARED_MEMORY} has too few free inodes")
    folder = Path(tempfile.mkdtemp(prefix="layerscan-scale-", dir=SHARED_MEMORY))
    try:
        yield folder
    finally:
        remove_deep(folder)


def inside(folder: Path, make: Callable[[], object]) -> None:
    """Do `make` with `folder` as the current one: short names are made in half the time."""
    before = os.getcwd()
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        make()
    finally:
        os.chdir(before)


def test_a_million_entries_in_one_folder_and_a_million_hard_links(root: Path) -> None:
    def files() -> None:
        for number in range(MILLION // 2):
            os.mknod(f"{number:06d}")

    def links() -> None:
        for number in range(MILLION // 2):
            os.link(f"../flat/{number:06d}", f"{number:06d}")

    inside(root / "flat", files)
    once = walked(root)
    assert (once["files"], once["directories"], once["errors"]) == (MILLION // 2, 2, 0)
    assert once["usage"] == du(root) * 1024
    assert once["peak"] < 64 << 20

    inside(root / "linked", links)
    twice = walked(root)
    assert (twice["files"], twice["duplicates"], twice["errors"]) == (MILLION // 2, MILLION // 2, 0)
    assert twice["usage"] == du(root) * 1024
    # A table of 16 bytes an entry, at least 3/8 full, and its half while it is doubled.
    assert twice["peak"] - once["peak"] < (MILLION // 2) * 16 * 8 / 3 * 1.5

    shutil.rmtree(root / "linked")

    def make_more() -> None:
        for number in range(MILLION // 2):
            os.mknod(f"more{number:06d}")

    inside(root / "flat", make_more)
    million = walked(root)
    assert (million["files"], million["errors"]) == (MILLION, 0)
    # No more for a million entries than for half of them.
    assert million["peak"] - once["peak"] < 4 << 20


def test_ten_thousand_roots(root: Path) -> None:
    roots = [root / f"{number:05d}" for number in range(10_000)]
    for one in roots:
        one.mkdir()
        (one / "file").write_bytes(b"x")
    found = walked(*roots, descriptors=64)
    assert (found["files"], found["directories"], found["errors"]) == (10_000, 10_000, 0)
    assert found["usage"] == sum(du(one) for one in roots[:3]) * 1024 // 3 * 10_000


@pytest.mark.parametrize("descriptors", [24, 0])
def test_a_hundred_thousand_levels(root: Path, descriptors: int) -> None:
    at = os.open(root, os.O_RDONLY)
    for _ in range(100_000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    found = walked(root, descriptors=descriptors)
    assert (found["directories"], found["errors"]) == (100_001, 0)
    assert found["peak"] < 64 << 20
