"""The compiled parts on a 32-bit machine: built without a warning, and the same figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest

import layerscan
from layerscan import walk
from tests.builders.tree import Fifo, File, Link, Op, Sparse, Symlink, apply, many
from tests.conftest import require_programs
from tests.engines.kept import kept
from tests.requirements import require_root

pytestmark = [pytest.mark.engine, pytest.mark.root]

PROJECT = Path(layerscan.__file__).parent.parent.parent
TREE: tuple[Op, ...] = (
    *many("many", 3000),
    File("a/f", size=70_000),
    Link("a/g", "a/f"),
    Symlink("a/link", "f"),
    Fifo("fifo"),
    # Longer than 32 bits can say.
    Sparse("sparse", 5 << 30),
)
BUILD = """
cd "$1"
export PYTHONPATH=$1/build-tools LAYERSCAN_BUILD_WERROR=1
exec python3 setup.py --quiet build_ext --inplace
"""
WALK = """
import json, struct, sys
from layerscan import walk
from layerscan.prediction.filesystems import _htree
from layerscan.stores.containerd import _bolt
from layerscan.tar import _tar
assert struct.calcsize("P") == 4
print(json.dumps(walk(sys.argv[1])))
"""


def chroot_folder() -> str:
    """A bookworm for i386 with a compiler and Python."""

    def make(root: str) -> None:
        packages = "--include=gcc,libc6-dev,python3-dev"
        argv = ["debootstrap", "--arch=i386", "--variant=minbase", packages, "bookworm", root]
        subprocess.run(argv, check=True, capture_output=True)

    return kept("bookworm-i386", make)


def put_project(folder: Path) -> None:
    """The project as it is, and this Python's Cython and setuptools, which any Python can run."""
    compiled = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PROJECT / "src", folder / "src", ignore=compiled)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    packages = Path(sysconfig.get_path("purelib"))
    for name in ("Cython", "setuptools", "_distutils_hack"):
        shutil.copytree(packages / name, folder / "build-tools" / name, ignore=compiled)
    shutil.copy(packages / "cython.py", folder / "build-tools")


def test_it_builds_without_warnings_and_walks_alike() -> None:
    require_root()
    require_programs("debootstrap")
    root = Path(chroot_folder())
    with tempfile.TemporaryDirectory(dir=root / "tmp") as made:
        folder = Path(made)
        inside = f"/tmp/{folder.name}"
        put_project(folder)
        (folder / "tree").mkdir()
        apply(folder / "tree", *TREE)

        def run(*argv: str) -> str:
            ended = subprocess.run(
                ["chroot", root, *argv], capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        run("sh", "-c", BUILD, "build", inside)
        found = run("env", f"PYTHONPATH={inside}/src", "python3", "-c", WALK, f"{inside}/tree")
        assert json.loads(found) == json.loads(json.dumps(walk(folder / "tree")))
