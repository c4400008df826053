"""Where every byte is after an engine was killed in the middle of its work.

A dockerd is killed, started again, and asked with its own commands to tidy up: what it
leaves all the same, ``df`` finds, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from layerscan.stores.holdings import Category
from tests.builders.tree import many
from tests.conftest import build_base
from tests.engines.docker import CLIENT, Docker
from tests.engines.engine import unmount_below
from tests.engines.images import Image, add, write_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerscan.ledger.model import Item, Ledger
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

PATIENCE = 60.0


class Killed:
    """A Docker whose daemon is killed and started again over the same data root."""

    def __init__(self, root: Path) -> None:
        self.data_root = str(root / "docker")
        self.engine = Docker(self.data_root).start()

    def begin(self, *command: str, buildkit: bool = False) -> subprocess.Popen[bytes]:
        """Start a command of the client."""
        environment = os.environ | {
            "DOCKER_HOST": self.engine.host,
            "DOCKER_BUILDKIT": str(int(buildkit)),
        }
        return subprocess.Popen(
            [CLIENT, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def kill(self, client: subprocess.Popen[bytes]) -> None:
        """End the daemon in the middle, and start it again."""
        os.kill(self.engine.daemon.pid, signal.SIGKILL)
        client.wait(PATIENCE)
        with contextlib.suppress(OSError):
            self.engine.stop()
        self.engine = Docker(self.data_root).start()

    def layers(self) -> int:
        """Bytes in the folders of layers, as du has them while they change."""
        found = subprocess.run(
            ["du", "-s", "-B1", f"{self.data_root}/overlay2"], check=False, capture_output=True
        )
        return int(found.stdout.split()[0])

    def wait_until(self, least: int = 0, most: int = 1 << 60) -> None:
        """Wait until the layers take from `least` to `most` bytes."""
        deadline = time.monotonic() + PATIENCE
        while not least <= self.layers() <= most:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stock(self) -> Ledger:
        return take_stock(open_store("overlay2", self.data_root), min_age=0)

    def lost(self) -> dict[str, Item]:
        """What nobody refers to, by its first path within the data root; the sum is du's."""
        ledger = self.stock()
        du = subprocess.run(["du", "-skx", self.data_root], check=True, capture_output=True)
        assert ledger.total == int(du.stdout.split()[0]) * 1024
        assert not ledger.problems
        assert ledger.sums[Category.UNCLEAR].usage == 0
        return {
            os.path.relpath(item.holding.paths[0], self.data_root): item
            for item in ledger.items
            if item.holding.category is Category.UNREFERENCED
        }


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    engine = Killed(tmp_path)
    try:
        yield engine
    finally:
        engine.engine.stop()
        # What a daemon that is killed leaves mounted.
        unmount_below(engine.data_root, itself=True)


def large(registry: Registry, killed: Killed, folder: Path) -> str:
    """An image of three layers of many files, in a registry and not in the engine."""
    base = build_base(killed.engine, folder)
    steps = tuple(add(*many(f"d{n}", 4000, size=10_000, seed=n)) for n in range(3))
    name = f"{registry.address}/killed/large:1"
    killed.engine.build(write_context(Image("large", steps, base), folder / "large"), name)
    killed.engine.push(name)
    killed.engine.run("system", "prune", "--all", "--force")
    return name


def test_in_the_middle_of_an_import(killed: Killed, tmp_path: Path) -> None:
    files = write_context(Image("f", (add(*many("d", 3000, size=40_000, seed=9)),)), tmp_path / "c")
    before = killed.layers()
    client = killed.begin("import", f"{files}/000.tar", "big:1")
    killed.wait_until(before + (50 << 20))
    under_way = {item.holding.category for item in killed.stock().items if item.usage > 10 << 20}
    assert under_way == {Category.TRANSIENT}
    killed.kill(client)
    for _ in range(2):
        lost = killed.lost()
        (folder,) = [item for path, item in lost.items() if path.startswith("overlay2/")]
        assert folder.usage > 50 << 20
        assert any(path.startswith("image/overlay2/layerdb/tmp/write-set-") for path in lost)
        # Docker itself finds nothing of it.
        killed.engine.run("system", "prune", "--all", "--force", "--volumes")


def test_in_the_middle_of_a_pull_and_of_a_removal(
    killed: Killed, registry: Registry, tmp_path: Path
) -> None:
    name = large(registry, killed, tmp_path)
    before = killed.layers()
    client = killed.begin("pull", name)
    # In the middle of the second layer.
    killed.wait_until(before + (70 << 20))
    killed.kill(client)
    lost = killed.lost()
    reasons = {item.holding.reason for item in lost.values() if item.usage > 1 << 20}
    assert reasons == {
        "a layer of no image, and no container or build cache has it",
        "no layer, container or build cache names this folder",
    }
    # Pulled again, the layers that were whole have an image; the folder stays nobody's.
    killed.engine.pull(name)
    lost = killed.lost()
    assert {item.holding.reason for item in lost.values() if item.usage > 1 << 20} == {
        "no layer, container or build cache names this folder"
    }
    full = killed.layers()
    client = killed.begin("rmi", name)
    killed.wait_until(most=full - (20 << 20))
    killed.kill(client)
    reasons = {item.holding.reason for item in killed.lost().values()}
    assert "left by a removal that broke off" in reasons


def test_in_the_middle_of_a_build(killed: Killed, tmp_path: Path) -> None:
    base = build_base(killed.engine, tmp_path)
    folder = tmp_path / "context"
    folder.mkdir()
    text = f"FROM {base}\nRUN dd if=/dev/zero of=/x bs=1024 count=40000; sleep 60\n"
    (folder / "Dockerfile").write_text(text)
    before = killed.layers()
    client = killed.begin("build", "--network", "none", str(folder), buildkit=True)
    killed.wait_until(before + (30 << 20))
    # du sees it once more where it is mounted, so that there may be half of it.
    in_use = [item for item in killed.stock().items if item.in_use and item.usage > 10 << 20]
    assert [item.holding.category for item in in_use] == [Category.BUILD_CACHE]
    killed.kill(client)
    # BuildKit has it on record still, or has removed it: nobody else may.
    assert not [item for item in killed.lost().values() if item.usage > 20 << 20]


def test_a_container_without_its_folder(killed: Killed, tmp_path: Path) -> None:
    base = build_base(killed.engine, tmp_path)
    script = "dd if=/dev/zero of=/x bs=1024 count=5000"
    killed.engine.run("run", "--network", "none", "--name", "gone", base, "sh", "-c", script)
    container = killed.engine.run("inspect", "--format", "{{.Id}}", "gone")
    assert killed.lost() == {}
    killed.engine.stop()
    os.rename(f"{killed.data_root}/containers/{container}", tmp_path / "taken")
    killed.engine = Docker(killed.data_root).start()
    (item,) = [item for item in killed.lost().values() if item.usage > 4 << 20]
    assert "which is not there" in item.holding.reason


def test_logs_and_volumes_are_told_apart(killed: Killed, tmp_path: Path) -> None:
    base = build_base(killed.engine, tmp_path)
    for name, volume in (("one", "named:/v"), ("two", "/anonymous")):
        script = "dd if=/dev/zero bs=1024 count=500 | tr '\\0' x; dd if=/dev/zero of=/v/f count=99"
        killed.engine.run(
            *("run", "--network", "none", "--name", name, "--volume", volume, base),
            *("sh", "-c", script if volume.startswith("named") else "echo"),
        )
    killed.engine.run("rm", "two")
    ledger = killed.stock()
    items = {item.holding.name: item for item in ledger.items}
    assert items["one (logs)"].usage > 500 << 10
    assert items["named"].usage > 99 * 512
    (anonymous,) = [
        item
        for item in ledger.items
        if item.holding.category is Category.VOLUMES and item.holding.name != "named"
    ]
    # A volume that no container names any more.
    assert ledger.sums[Category.VOLUMES].freeable == anonymous.usage
