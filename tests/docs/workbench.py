"""A folder where the commands of a document find what they need."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerscan.fit import device_file
from layerscan.fit.device import Device, EngineLayers, Volume
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.ledger_case import add
from tests.builders.machine import Machine
from tests.builders.published_apps import put_fleet
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File
from tests.cli_runner import Fleet, environment
from tests.docs.reader import DEVICES, ROOT, blocks
from tests.docs.registry import fill

# Programs that a document takes to be on PATH, and what they are here.
STAND_INS = {
    "python": f'exec "{sys.executable}" "$@"',
    "layerscan": f'exec "{sys.executable}" -m layerscan "$@"',
    "sudo": 'exec "$@"',
}

# Where an engine keeps its store is, here, where the test made one.
SITE_CUSTOMIZE = """
import os
from tests.builders.machine import Machine
for module, name, value in Machine(os.environ["DOCS_MACHINE"]).settings():
    setattr(module, name, value)
"""


@dataclass(frozen=True)
class Workbench:
    folder: Path
    # Paths in the documents, and what they are here.
    places: dict[str, str]
    environment: dict[str, str]
    # What is registry.example in the documents.
    registry: OpenRegistry

    @classmethod
    def build(cls, root: Path) -> "Workbench":
        programs, customized = root / "programs", root / "customized"
        programs.mkdir()
        customized.mkdir()
        for name, script in STAND_INS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        (customized / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
        folder = root / "work"
        (folder / "apps" / "shop").mkdir(parents=True)
        page = blocks("docs/reference/apps.md")
        (app,) = [block.text for block in page if block.language == "yaml"]
        (folder / "apps" / "shop" / "docker-compose.yml").write_text(app)
        (budget,) = [one.text for one in blocks("docs/guides/budget.md") if one.language == "toml"]
        (folder / "budget.toml").write_text(budget)
        write_versions(folder)
        machine = Machine(str(root / "machine"))
        docker = Path(machine.docker)
        docker.parent.mkdir(parents=True)
        fleet = Fleet.build(docker)
        name = "hub.foundries.io/fleet/app"
        fleet.store.image([fleet.base], names=[f"{name}:1043"], pushed={name: None})
        add(
            str(docker),
            File("volumes/shop_data/_data/orders", size=600_000, seed=1),
            File(f"overlay2/{'0123456789abcdef' * 4}/diff/left", size=2_000_000, seed=2),
        )
        registry = OpenRegistry()
        put_fleet(registry, fleet.store, fleet.base)
        fill(registry, folder)
        more = environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            PYTHONPATH=":".join(map(str, (customized, ROOT / "src", ROOT))),
            DOCS_MACHINE=machine.folder,
            HOME=machine.path("home"),
            DOCKER_CONFIG="",
        )
        places = {
            "/var/lib/docker": str(docker),
            "/tmp/sample": str(root / "sample"),
            "registry.example/": f"{registry.address}/",
        }
        return cls(folder, places, more, registry)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.here(word) for word in command],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment,
            text=True,
            timeout=240,
        )

    def here(self, text: str) -> str:
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def there(self, text: str) -> str:
        for there, here in self.places.items():
            text = text.replace(here, there)
        return text


def write_versions(folder: Path) -> None:
    """Two versions of an App as dry runs, the new one as a store of blobs; and devices."""
    shutil.copytree(DEVICES, folder / "devices")
    base = [Layer("base", 29_124_181, 80_412_672), Layer("python", 45_881_376, 131_784_704)]
    for tag, top in (("1042", Layer("1042", 1_904_118, 5_992_448)), ("1043", LATEST)):
        app = App({"web": {"arm64": [*base, top]}, "db": {"arm64": [base[0]]}})
        app.dry_run(folder / tag / "shop")
    app.store(folder / "mirror")
    write_few_inodes(folder)


def write_few_inodes(folder: Path) -> None:
    """Metadata of a layer of many files, and a disk that has few inodes for them."""
    files = Layer("many files", 294_000, 12_288_000, inodes=3013)
    (folder / "many-files.json").write_bytes(encode({"arm64": metadata_of([files])}))
    disk = Volume(4096, 15_000, 12_000, 12_000, inodes=1520, free_inodes=1509)
    engine = EngineLayers("overlay2", False, *[frozenset[str]()] * 3)  # noqa: FBT003 - as it is
    root = "/data"
    device = Device("", "arm64", {root: disk}, root, root, root, root, engine=engine)
    (folder / "few-inodes.json").write_bytes(device_file.dumps(device))


LATEST = Layer("1043", 2_310_447, 7_180_288)


@pytest.fixture
def workbench(tmp_path: Path) -> Iterator[Workbench]:
    built = Workbench.build(tmp_path)
    yield built
    built.registry.close()
