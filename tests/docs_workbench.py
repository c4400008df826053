"""A folder where the commands of a document find what they need."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from layerscan import layersmeta
from layerscan.layersmeta import LayersMeta
from tests.cli_runner import Fleet, environment
from tests.docs_reader import ROOT, blocks

# Programs that a document takes to be on PATH, and what they are here.
STAND_INS = {
    "python": f'exec "{sys.executable}" "$@"',
    "layerscan": f'exec "{sys.executable}" -m layerscan "$@"',
    "sudo": 'exec "$@"',
}

# Where an engine keeps its store is, here, where the test made one.
SITE_CUSTOMIZE = """
import os
from layerscan import stores
stores.DOCKER_ROOT = os.environ["DOCS_DOCKER_ROOT"]
stores.DOCKER_CONFIG = stores.DOCKER_ROOT + "/no/daemon.json"
"""


@dataclass(frozen=True)
class Workbench:
    folder: Path
    # Paths in the documents, and what they are here.
    places: dict[str, str]
    environment: dict[str, str]

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
        (app,) = [block.text for block in blocks("docs/apps.md") if block.language == "yaml"]
        (folder / "apps" / "shop" / "docker-compose.yml").write_text(app)
        for architecture in ("amd64", "arm64"):
            document = layersmeta.dumps(LayersMeta(4096, {}))
            (folder / f"{architecture}.json").write_bytes(document)
        docker = root / "docker"
        fleet = Fleet.build(docker)
        name = "hub.foundries.io/fleet/app"
        fleet.store.image([fleet.base], names=[f"{name}:1043"], pushed={name: None})
        more = environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            PYTHONPATH=":".join(map(str, (customized, ROOT / "src", ROOT))),
            DOCS_DOCKER_ROOT=str(docker),
        )
        places = {"/var/lib/docker": str(docker), "/tmp/sample": str(root / "sample")}
        return cls(folder, places, more)

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
            timeout=60,
        )

    def here(self, text: str) -> str:
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def there(self, text: str) -> str:
        for there, here in self.places.items():
            text = text.replace(here, there)
        return text
