"""What is shipped: the sdist and the wheel, built and used as a stranger would."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SHIPPED = {
    "layerscan/_walk.pxd",
    "layerscan/_walk.pyi",
    "layerscan/walking/_tally.pxd",
    "layerscan/tar/_tar.pyi",
    "layerscan/stores/containerd/_bolt.pyi",
    "layerscan/prediction/filesystems/_htree.pyi",
    "layerscan/py.typed",
    "layerscan/schemas/layers-meta.schema.json",
    "layerscan/schemas/layers-meta-by-arch.schema.json",
    "layerscan/schemas/inspect.schema.json",
    "layerscan/schemas/stores.schema.json",
    "layerscan/schemas/device.schema.json",
    "layerscan/schemas/check.schema.json",
    "layerscan/schemas/diff.schema.json",
}


def run(*command: str | os.PathLike[str], **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [os.fspath(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=clean | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it, in isolation."""
    out = tmp_path_factory.mktemp("dist")
    # With warnings as errors, so that the generated C of the newest Cython is held to it too.
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, LAYERSCAN_BUILD_WERROR="1")
    return out


@pytest.fixture(scope="module")
def stranger(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment that has the wheel and what it asks for, no more."""
    home = tmp_path_factory.mktemp("stranger") / "venv"
    venv.create(home, with_pip=True)
    (wheel,) = built.glob("*.whl")
    run(home / "bin/pip", "install", "--quiet", wheel)
    return home / "bin/python"


def test_the_sdist_has_all_that_the_build_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = ROOT.glob("src/**/*.p[yx][xd]")
    assert {f"src/{name}" for name in SHIPPED} <= names
    assert {str(path.relative_to(ROOT)) for path in sources} <= names
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.endswith((".c", ".so"))]


def test_the_wheel_has_modules_and_what_others_compile_and_type_against(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    modules = {name for name in names if name.endswith(".py")}
    compiled = {name.partition(".")[0] for name in names if name.endswith(".so")}
    assert set(names) - modules == SHIPPED | {n for n in names if n.endswith(".so")}
    assert all(name.startswith("layerscan/") for name in names)
    assert compiled == {
        "layerscan/_walk",
        "layerscan/prediction/filesystems/_htree",
        "layerscan/stores/containerd/_bolt",
        "layerscan/tar/_tar",
    }


def test_a_stranger_can_walk(stranger: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    code = f"import layerscan; print(layerscan.walk({str(tmp_path)!r}).size, layerscan.__file__)"
    size, file = run(stranger, "-c", code).split()
    assert size == "5"
    assert str(stranger.parent.parent) in file


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["scan", "--help"],
        ["merge", "--help"],
        ["du", "/dev/null"],
        ["completion", "bash"],
    ],
)
def test_no_command_needs_a_development_package(stranger: Path, arguments: list[str]) -> None:
    assert run(stranger, "-m", "layerscan", *arguments).strip()
    assert run(stranger.parent / "layerscan", *arguments).strip()


def test_every_part_can_be_imported(stranger: Path) -> None:
    code = (
        "import importlib, pkgutil, layerscan\n"
        "for part in pkgutil.walk_packages(layerscan.__path__, 'layerscan.'):\n"
        "    if not part.name.endswith('__main__'):\n"
        "        importlib.import_module(part.name)\n"
        "print([getattr(layerscan, name) for name in layerscan.__all__])"
    )
    assert "function walk" in run(stranger, "-W", "error", "-c", code)


def test_a_stranger_can_scan_for_people_and_programs(stranger: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    subprocess.run([sys.executable, "-m", "tests.builders.sample", store], check=True, cwd=ROOT)
    assert "acme/app:1" in run(stranger, "-m", "layerscan", "-d", store)
    assert '"fs_block_size"' in run(stranger, "-m", "layerscan", "-d", store, "-o", "-")
    apps = tmp_path / "apps/app"
    apps.mkdir(parents=True)
    (apps / "docker-compose.yml").write_text("services: {a: {image: 'acme/app:1'}}\n")
    (apps / ".env").write_text("A=b\n")
    out = run(stranger, "-m", "layerscan", "-d", store, "-a", apps.parent, "-o", "-")
    assert "sha256:" in out


CIMPORTER = """
from layerscan._walk cimport Tally, walk_path


def blocks_and_files(bytes path, int threads):
    cdef Tally tally
    cdef const char *root = path
    cdef int error
    with nogil:
        error = walk_path(root, threads, &tally)
    if error:
        raise OSError(error, path)
    return tally.blocks, tally.files
"""

CIMPORTER_SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name="cimporter", py_modules=[], ext_modules=cythonize([Extension("cimporter", ["c.pyx"])]))
"""


def test_another_cython_package_can_cimport_the_walk(
    built: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("cimporter") / "venv"
    venv.create(home, with_pip=True)
    pip = (home / "bin/pip", "install", "--quiet")
    (wheel,) = built.glob("*.whl")
    run(*pip, "--upgrade", wheel, "cython", "setuptools")
    project = home.parent / "project"
    project.mkdir()
    (project / "c.pyx").write_text(CIMPORTER)
    (project / "setup.py").write_text(CIMPORTER_SETUP)
    run(*pip, "--no-build-isolation", project)
    code = (
        "import sys, cimporter, layerscan\n"
        "usage = layerscan.walk(sys.prefix)\n"
        "for threads in (0, 1, 8):\n"
        "    got = cimporter.blocks_and_files(sys.prefix.encode(), threads)\n"
        "    assert got == (usage.blocks, usage.files), got\n"
        "try:\n"
        "    cimporter.blocks_and_files(b'/nowhere', 0)\n"
        "except FileNotFoundError:\n"
        "    print('same')\n"
    )
    assert run(home / "bin/python", "-c", code) == "same\n"
