"""Scans of a store in which a real engine is at work all the while."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection
from layerscan.stores import open_store
from tests.builders.tree import File, many
from tests.cli_runner import run
from tests.engines.docker import CLIENT
from tests.engines.images import Image, add, siblings, tower, write_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerscan.scanning.result import Scan
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

BUSY_SECONDS = 15.0
TOWER_FLOORS = 12
FILES = 2000

# What may be said of a store that is sound, whatever the engine does in it.
KNOWN_WARNING = re.compile(
    r"layerscan: warning: (the images are of several architectures: "
    r"|image \S+ was removed or renamed while the scan ran: left out$"
    r"|image \S+: (layer|\d+ layers) without a digest.*, left out of the document: sha256:"
    r"|\d+ images have layers without a digest .*, left out of the document: "
    # Docker's own fault, see test_engine_scan.
    r"|layer sha256:[0-9a-f]{64}: its files hold 5 bytes, the store recorded 0: )"
)

# Bodies of a loop that starts anew until the file "stop" is there.
PULL_AND_REMOVE = """
docker pull --quiet "$REGISTRY/live/tower:1"
docker pull --quiet "$REGISTRY/live/wide:1"
docker tag "$REGISTRY/live/wide:1" "live/wide:$round"
docker rmi "$REGISTRY/live/tower:1" "$REGISTRY/live/wide:1"
docker rmi "live/wide:$round"
"""
BUILD_AND_REMOVE = """
printf 'FROM %s\\nRUN echo %s > /round && mkdir /made && touch /made/x\\nRUN rm /made/x\\n' \
    "$BASE" "$round" | docker build --quiet --network none --tag live/built:1 -
docker tag live/built:1 "live/built:$((round % 2))-too"
docker rmi live/built:1
docker rmi "live/built:$((round % 2))-too"
"""


@dataclass(frozen=True)
class Figures:
    """What one layer costs, in bytes."""

    size: int
    usage: int


@dataclass
class Seen:
    """What the scans said, all together."""

    figures: dict[str, set[Figures]] = field(default_factory=dict)
    documents: list[dict[str, object]] = field(default_factory=list)
    labels: list[frozenset[str]] = field(default_factory=list)
    unknown_lines: list[str] = field(default_factory=list)

    def add(self, chain_id: str, size: int, usage: int) -> None:
        self.figures.setdefault(chain_id, set()).add(Figures(size, usage))

    def add_process(self, data_root: str, out: Path) -> None:
        """Scan as a whole process."""
        result = run("scan", "-d", data_root, "--format", "json", "-o", out)
        assert result.status == 0, "\n".join(result.lines)
        self.unknown_lines += [line for line in result.lines if not KNOWN_WARNING.match(line)]
        report = json.loads(result.out)
        for layer in report["layers"]:
            self.add(layer["chain_id"], layer["size"], layer["usage"])
        self.labels.append(frozenset(name for one in report["images"] for name in one["names"]))
        self.documents.append(json.loads(out.read_bytes()))

    def add_call(self, data_root: str, *, dangling: bool) -> Scan:
        """Scan from within this process."""
        result = scan(open_store(root=data_root), Selection(dangling=dangling))
        assert result.problems == ()
        lines = [f"layerscan: warning: {text}" for text in result.warnings]
        self.unknown_lines += [line for line in lines if not KNOWN_WARNING.match(line)]
        for chain_id, cost in result.costs.items():
            self.add(chain_id, cost.size, cost.usage)
        self.labels.append(
            frozenset(name.familiar for one in result.chosen for name in one.image.names)
        )
        return result


@dataclass(frozen=True)
class Stage:
    """The engine, the images that stay, and those in its registry that come and go."""

    docker: Docker
    registry: Registry
    base: str
    staying: tuple[str, ...]

    def layers(self) -> dict[str, Figures]:
        """The layers of the images that stay: ``du`` and the store's own records."""
        found = {}
        for image in self.staying:
            for folder in self.docker.layer_folders(image):
                chain_id, figures = self.look(folder)
                found[chain_id] = figures
        return found

    def look(self, folder: str) -> tuple[str, Figures]:
        """The chain_id and the figures of the layer that is in `folder`."""
        layerdb = f"{self.docker.data_root}/image/overlay2/layerdb/sha256"
        for name in os.listdir(layerdb):
            with open(f"{layerdb}/{name}/cache-id", encoding="ascii") as cache_id:
                if cache_id.read() == os.path.basename(folder):
                    break
        else:
            pytest.fail(f"no layer is in {folder}")
        done = subprocess.run(["du", "-sk", "-x", folder], check=True, capture_output=True)
        tar_split = os.stat(f"{layerdb}/{name}/tar-split.json.gz").st_size
        with open(f"{layerdb}/{name}/size", encoding="ascii") as size:
            usage = int(done.stdout.split()[0]) * 1024 + tar_split
            return f"sha256:{name}", Figures(int(size.read()), usage)

    @contextmanager
    def busy(self, folder: Path, *bodies: str) -> Iterator[list[Loop]]:
        """Each of `bodies` runs round after round in a process of its own."""
        with ExitStack() as cleanup:
            loops = []
            for number, body in enumerate(bodies):
                loops.append(Loop(self, folder / str(number), body))
                cleanup.callback(loops[-1].stop)
            yield loops


class Loop:
    """A shell that runs the same commands round after round, until it is stopped."""

    def __init__(self, stage: Stage, folder: Path, body: str) -> None:
        folder.mkdir()
        self._folder = folder
        loop = f"""
            set -e
            docker() {{ {CLIENT} "$@"; }}
            for ((round = 1; ; round++)); do
                if [[ -e stop ]]; then exit 0; fi
                {body}
                echo "$round" > rounds
            done
        """
        environment = {
            "DOCKER_HOST": stage.docker.host,
            "DOCKER_BUILDKIT": "0",
            "DOCKER_CONFIG": str(folder),
            "REGISTRY": stage.registry.address,
            "BASE": stage.base,
        }
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", loop],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def rounds(self) -> int:
        """How many are done."""
        path = self._folder / "rounds"
        return int(path.read_text() or 0) if path.exists() else 0

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Let it end its round; the test fails if a command of it did."""
        (self._folder / "stop").touch()
        # However long a round takes here; pytest's own limit ends what hangs.
        status = self._process.wait()
        assert status == 0, (self._folder / "log").read_text()


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    folder = tmp_path_factory.mktemp("live")

    def build(image: Image, name: str) -> str:
        docker.build(write_context(image, folder / image.name), name)
        docker.push(name)
        return name

    live = f"{registry.address}/live"
    # They stand on what stays, and on nothing that goes when they go.
    coming = (
        build(tower(TOWER_FLOORS, base=base_image), f"{live}/tower:1"),
        build(
            Image("wide", (add(*many("wide", FILES, size=200, seed=9)),), base_image),
            f"{live}/wide:1",
        ),
    )
    left, right = siblings("left", "right", base=base_image)
    staying = (
        build(left, f"{live}/left:1"),
        build(right, f"{live}/right:1"),
        build(
            Image(
                "files", (add(*many("files", FILES, size=5000, seed=7)), add(File("x"))), base_image
            ),
            f"{live}/files:1",
        ),
    )
    for name in coming:
        docker.rmi(name)
    os.sync()
    return Stage(docker, registry, base_image, staying)


def test_layers_that_stay_have_the_same_figures_while_others_come_and_go(
    stage: Stage, tmp_path: Path
) -> None:
    truth = stage.layers()
    root = stage.docker.data_root
    seen = Seen()
    processes = calls = 0
    with stage.busy(tmp_path, PULL_AND_REMOVE, BUILD_AND_REMOVE) as loops:
        end = time.monotonic() + BUSY_SECONDS
        # So many seconds, and so many rounds, however busy the machine is.
        while all(loop.is_running for loop in loops) and (
            time.monotonic() < end
            or any(loop.rounds < 2 for loop in loops)
            or len(set(seen.labels)) < 3
        ):
            seen.add_process(root, tmp_path / "meta.json")
            processes += 1
            for dangling in (False, True, False):
                seen.add_call(root, dangling=dangling)
                calls += 1
    print(f"{processes} processes, {calls} calls, rounds {[loop.rounds for loop in loops]}")
    assert seen.unknown_lines == []
    assert {chain_id: seen.figures[chain_id] for chain_id in truth} == {
        chain_id: {figures} for chain_id, figures in truth.items()
    }
    # Of those that came and went, what is content does not depend on the moment either.
    assert [found for found in seen.figures.values() if len({one.size for one in found}) > 1] == []
    for labels in seen.labels:
        assert labels >= set(stage.staying)
    assert all(loop.rounds > 1 for loop in loops)
    # There was something to stumble over: not every scan saw the same images.
    assert len(set(seen.labels)) > 2

    os.sync()
    last = scan(open_store(root=root), Selection(dangling=True))
    for chain_id, cost in last.costs.items():
        expected = stage.look(cost.layer.folder)
        assert (chain_id, Figures(cost.size, cost.usage)) == expected


def test_document_of_the_images_that_stay_has_the_same_bytes_all_the_time(
    stage: Stage, tmp_path: Path
) -> None:
    out = tmp_path / "meta.json"
    asked = [part for name in stage.staying for part in ("--image", name)]

    def scanned() -> bytes:
        result = run("scan", "-d", stage.docker.data_root, *asked, "-o", out)
        assert (result.status, result.out, result.lines) == (0, b"", [])
        return out.read_bytes()

    before = scanned()
    assert len(json.loads(before)["layers"]) == len(stage.layers())
    with stage.busy(tmp_path, PULL_AND_REMOVE, BUILD_AND_REMOVE) as (pulling, _):
        while pulling.is_running and pulling.rounds < 1:
            assert scanned() == before
    assert scanned() == before


def test_running_container_changes_no_figure_of_layers(stage: Stage, tmp_path: Path) -> None:
    root = stage.docker.data_root
    command = ["scan", "-d", root, "--format", "json", "-o", tmp_path / "meta.json"]
    before = run(*command)
    docker = stage.docker
    write = f"head -c {8 << 20} /dev/zero > /written; sleep 600"
    container = docker.run(
        *("run", "--detach", "--network", "none", stage.staying[0], "sh", "-c", write)
    )
    try:
        merged = docker.run("inspect", "--format", "{{.GraphDriver.Data.MergedDir}}", container)
        assert os.path.ismount(merged)
        assert os.path.dirname(os.path.dirname(merged)) == f"{root}/overlay2"
        during = run(*command)
    finally:
        docker.run("rm", "--force", container)
    assert (before.status, before.lines) == (during.status, during.lines)
    assert before.status == 0
    reports = [json.loads(result.out) for result in (before, during)]
    used = {name for one in reports[1]["images"] if one["in_container"] for name in one["names"]}
    assert stage.staying[0] in used
    for report in reports:
        for one in report["images"]:
            # The container keeps it, and is made of it.
            for key in ("in_container", "own", "shared"):
                del one[key]
    assert reports[0] == reports[1]


def test_layer_that_is_mounted_in_its_own_folder_is_not_counted_twice(stage: Stage) -> None:
    folder = stage.docker.layer_folders(stage.staying[0])[-1]
    chain_id, truth = stage.look(folder)
    merged = os.path.join(folder, "merged")
    os.mkdir(merged)
    with open(os.path.join(folder, "lower"), encoding="ascii") as lower:
        lowers = [os.path.join(folder, "diff"), *lower.read().split(":")]
    try:
        overlay2 = os.path.dirname(folder)
        options = "lowerdir=" + ":".join(lowers)
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True, cwd=overlay2
        )
        try:
            result = scan(open_store(root=stage.docker.data_root))
        finally:
            subprocess.run(["umount", merged], check=True)
    finally:
        os.rmdir(merged)
    cost = result.costs[chain_id]
    assert cost.walked.mounts == 1
    assert Figures(cost.size, cost.usage) == truth
    # Nothing of its content is hidden.
    assert not [line for line in result.warnings if "mounted" in line]
