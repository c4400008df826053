"""What is shipped: the sdist and the wheel, built and used as a stranger would."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders.containerd import ContainerdBuilder
from tests.builders.containers_storage import StoreBuilder as StorageBuilder
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.machine import Machine
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File, many
from tests.cli_runner import Fleet

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SHIPPED = {
    "layerscan/_walk.pxd",
    "layerscan/_walk.pyi",
    "layerscan/walking/_tally.pxd",
    "layerscan/tar/_tar.pyi",
    "layerscan/stores/containerd/_bolt.pyi",
    "layerscan/prediction/filesystems/_htree.pyi",
    "layerscan/py.typed",
    "layerscan/cli/page/d3-hierarchy.LICENSE",
    "layerscan/cli/page/d3-hierarchy.min.js",
    "layerscan/cli/page/drawing.js",
    "layerscan/cli/page/model.js",
    "layerscan/cli/page/page.css",
    "layerscan/cli/page/page.html",
    "layerscan/cli/page/page.js",
    "layerscan/cli/page/table.js",
    "layerscan/schemas/layers-meta.schema.json",
    "layerscan/schemas/layers-meta-by-arch.schema.json",
    "layerscan/schemas/inspect.schema.json",
    "layerscan/schemas/stores.schema.json",
    "layerscan/schemas/device.schema.json",
    "layerscan/schemas/check.schema.json",
    "layerscan/schemas/df.schema.json",
    "layerscan/schemas/scan.schema.json",
    "layerscan/schemas/diff.schema.json",
    "layerscan/schemas/reclaim.schema.json",
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


def installed(built: Path, home: Path, extras: str = "") -> Path:
    """The python of a new environment at `home` that has the wheel and what it asks for."""
    venv.create(home, with_pip=True)
    (wheel,) = built.glob("*.whl")
    run(home / "bin/pip", "install", "--quiet", f"{wheel}{extras}")
    return home / "bin/python"


@pytest.fixture(scope="module")
def minimal(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with the wheel and nothing else."""
    return installed(built, tmp_path_factory.mktemp("minimal") / "venv")


@pytest.fixture(scope="module")
def full(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with the wheel and all extras."""
    return installed(built, tmp_path_factory.mktemp("full") / "venv", "[all]")


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


def test_a_stranger_can_walk(minimal: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    code = f"import layerscan; print(layerscan.walk({str(tmp_path)!r}).size, layerscan.__file__)"
    size, file = run(minimal, "-c", code).split()
    assert size == "5"
    assert str(minimal.parent.parent) in file


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["scan", "--help"],
        ["merge", "--help"],
        ["predict", "--help"],
        ["publish", "--help"],
        ["du", "/dev/null"],
    ],
)
def test_a_command_says_what_it_does_without_any_package(
    minimal: Path, arguments: list[str]
) -> None:
    assert run(minimal, "-m", "layerscan", *arguments).strip()
    assert run(minimal.parent / "layerscan", *arguments).strip()


def test_nothing_needs_a_development_package(full: Path) -> None:
    assert "complete" in run(full, "-m", "layerscan", "completion", "bash")
    code = (
        "import importlib, pkgutil, layerscan\n"
        "for part in pkgutil.walk_packages(layerscan.__path__, 'layerscan.'):\n"
        "    if not part.name.endswith('__main__'):\n"
        "        importlib.import_module(part.name)\n"
        "print([getattr(layerscan, name) for name in layerscan.__all__])"
    )
    assert "function walk" in run(full, "-W", "error", "-c", code)


def test_a_stranger_can_scan_for_people_and_programs(full: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    subprocess.run([sys.executable, "-m", "tests.builders.sample", store], check=True, cwd=ROOT)
    assert "acme/app:1" in run(full, "-m", "layerscan", "-d", store)
    assert '"fs_block_size"' in run(full, "-m", "layerscan", "-d", store, "-o", "-")
    apps = tmp_path / "apps/app"
    apps.mkdir(parents=True)
    (apps / "docker-compose.yml").write_text("services: {a: {image: 'acme/app:1'}}\n")
    (apps / ".env").write_text("A=b\n")
    out = run(full, "-m", "layerscan", "-d", store, "-a", apps.parent, "-o", "-")
    assert "sha256:" in out


# Without extras.

MOST_BYTES = 5_000_000
"""Of the minimal installation, its compiled Python files included."""


def test_the_minimal_installation_is_small_and_alone(minimal: Path) -> None:
    (packages,) = minimal.parent.parent.glob("lib/python*/site-packages")
    own = {path for path in packages.iterdir() if path.name.startswith("layerscan")}
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
    others = {path.name for path in packages.iterdir() if not path.name.startswith(tools)}
    assert others == {path.name for path in own}
    files = [path for folder in own for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert [path for path in files if path.suffix == ".pyc"]


# Where an engine keeps its store is where the test made one.
CUSTOMIZED = """
import os
from tests.builders.machine import Machine
for module, name, value in Machine(os.environ["MACHINE"]).settings():
    setattr(module, name, value)
"""


@dataclass(frozen=True)
class Site:
    """A machine with a store of each kind, two versions of an App, and their documents."""

    machine: Machine
    apps: Path
    registry: str

    def run(self, python: Path, words: str) -> tuple[int, str, str]:
        """Run the program: its exit status, stdout and stderr."""
        arguments = words.format(
            docker=self.machine.docker,
            containerd=self.machine.containerd,
            storage=self.machine.storage,
            apps=self.apps,
            registry=self.registry,
        ).split()
        done = subprocess.run(
            [python, "-m", "layerscan", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.apps,
            env={
                "PATH": os.environ["PATH"],
                "HOME": self.machine.path("home"),
                "MACHINE": self.machine.folder,
                "PYTHONPATH": f"{self.machine.path('customized')}:{ROOT}",
            },
        )
        # What is free on the disk changes at any time.
        out = re.sub(r'((?:(?:free|available)_blocks|free_inodes)": )[0-9]+', r"\1…", done.stdout)
        return done.returncode, out, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    machine = Machine(str(tmp_path_factory.mktemp("machine")))
    machine.write(machine.path("customized/sitecustomize.py"), CUSTOMIZED)
    os.makedirs(os.path.dirname(machine.docker))
    Fleet.build(machine.docker)
    containerd = ContainerdBuilder(machine.containerd)
    base = containerd.layer(None, *many("usr/lib", 30, size=700, seed=1))
    top = containerd.layer(base, File("app", size=90_000, seed=2))
    containerd.image(["x.example/fleet/app:1"], [base, top])
    containerd.write()
    storage = StorageBuilder(machine.storage)
    storage.image([storage.layer(None, File("y", size=70_000))], names=["x.example/app:1"])
    apps = tmp_path_factory.mktemp("apps")
    kept, old, new = (Layer(name, size, 4096 * size) for name, size in SIZES)
    App({"web": {"arm64": [kept, old]}}).dry_run(apps / "old/shop")
    App({"web": {"arm64": [kept, new]}}).dry_run(apps / "new/shop")
    (apps / "meta.json").write_bytes(encode({"arm64": metadata_of([kept, new])}))
    (apps / "one.json").write_bytes(encode(metadata_of([kept], fs_block_size=4096)))
    shutil.copy(ROOT / "docs/guides/devices/emmc-8gb-two-volumes.json", apps / "device.json")
    (apps / "app").mkdir()
    (apps / "app/docker-compose.yml").write_text("services: {a: {image: 'acme/web:7'}}\n")
    (apps / "layout").mkdir()
    with OpenRegistry() as registry:
        yield Site(machine, apps, registry.address)


SIZES = (("kept", 1000), ("old", 300), ("new", 2000))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        *((0, f"scan -d {{{kind}}}{options}")
          for kind in ("docker", "containerd", "storage")
          for options in ("", " --format json", " -o -", " --accounting exact --by-arch -o -")),
        (0, "scan -d {docker} --image acme/web:7"),
        (0, "scan -d {docker} --html {apps}/page.html"),
        (0, "df -d {docker} --html {apps}/page.html"),
        (0, "stores"),
        (0, "stores --format json"),
        (0, "du {docker} {containerd}"),
        (0, "du --format json {storage}"),
        (0, "merge amd64=one.json arm=one.json"),
        (0, "device --docker-root {docker} --store-root {apps}"),
        *((0, f"check --policy {policy} --layers-meta meta.json --device device.json{options}")
          for policy in ("aktualizr-lite", "exact")
          for options in ("", " --format json", " --watermark 90")),
        (1, "check --layers-meta meta.json --device device.json --watermark 20"),
        (0, ("check --app new/shop --installed old/shop --device device.json"
            " --policy aktualizr-lite-skopeo")),
        (0, "diff old/shop new/shop"),
        (0, "diff --format json old/shop meta.json"),
    ],
)  # fmt: skip
def test_without_extras_the_output_is_the_same(
    minimal: Path, full: Path, site: Site, status: int, words: str
) -> None:
    found = site.run(minimal, words)
    assert found == site.run(full, words)
    assert found[0] == status, found[2]
    assert found[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"predict {source}",
         "predictions and file tables need numpy: pip install 'layerscan[predict]'")
        for source in ("oci:layout", "docker://{registry}/acme/web:7")
    ] + [
        (words, "asking registries needs httpx: pip install 'layerscan[registry]'")
        for words in (
            "inspect {registry}/acme/web:7",
            "diff old/shop {registry}/acme/shop:7",
            "check --app {registry}/acme/shop:7 --device device.json",
            "scan -d {docker} --resolve-digests",
        )
    ] + [
        (words, "reading Compose files needs pyyaml: pip install 'layerscan[apps]'")
        for words in (
            "scan -d {docker} --apps-root {apps}",
            "publish app --target {registry}/acme/shop:7 --allow-missing-meta",
            "check --app new/shop --device device.json",
        )
    ] + [
        ("completion bash", "completion scripts need shtab: pip install 'layerscan[completion]'"),
    ],
)  # fmt: skip
def test_each_extra_that_is_missing_is_told_in_one_line(
    minimal: Path, site: Site, words: str, message: str
) -> None:
    assert site.run(minimal, words) == (2, "", f"layerscan: error: {message}\n")


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
