"""Podman's store while Podman works in it, and what a pull really takes of a disk."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from tests.builders.exact_case import assert_meets, assert_meets_inodes
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines import podman as podman_engine
from tests.engines.images import BASE, ODDITIES, Image, siblings, tower, write_context
from tests.engines.podman import Podman
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerscan.scanning.result import Scan
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

GIBIBYTE = 1 << 30
BUSY_SECONDS = 10.0

# What may be said of a store that is sound, whatever the engine does in it.
KNOWN_WARNING = re.compile(
    r"image \S+ was removed or renamed while the scan ran: left out$"
    r"|\S+: (a layer|\d+ layers) left out, being pulled or removed, or left over from a pull"
)

WORK = """
until [ -e "$STOP" ]; do
    podman $STORE pull --quiet --tls-verify=false "$1" "$2"
    podman $STORE rmi "$1"
    podman $STORE rmi "$2"
    echo >> "$ROUNDS"
done
"""


class Shelf:
    """Images that a Podman has built and pushed, for other stores to pull."""

    def __init__(self, podman: Podman, registry: Registry, folder: Path) -> None:
        self.podman = podman
        self.registry = registry
        self.folder = folder
        self.put(BASE)

    def named(self, name: str) -> str:
        return f"{self.registry.address}/shelf/{name}:1"

    def put(self, image: Image) -> str:
        name = self.named(image.name)
        if not (self.folder / image.name).exists():
            self.podman.build(write_context(image, self.folder / image.name), name, "--layers")
            self.podman.push(name)
            os.sync()
        return name

    def on_base(self, name: str, *steps: str) -> str:
        chosen = tuple(ODDITIES[step] for step in steps)
        return self.put(Image(name, chosen, self.named("base")))


@pytest.fixture(scope="module")
def shelf(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    require_root()
    require_programs(*podman_engine.PROGRAMS)
    with Podman() as podman:
        yield Shelf(podman, registry, tmp_path_factory.mktemp("shelf"))


# Exact accounting.


def exact(root: str, image: str) -> Scan:
    store = open_store("containers-storage", root, exact=True)
    return scan(store, Selection((want(image),)), accounting=Accounting.EXACT)


def predicted(found: Scan, already: set[str]) -> int:
    """Bytes that the image of `found` takes where the layers `already` are."""
    (one,) = found.chosen
    new = {layer.chain_id for layer in one.image.layers} - already
    layers = sum(found.costs[chain_id].usage for chain_id in new)
    return layers + found.image_usage[one.image.image_id]


@pytest.mark.parametrize("block_size", [4096, 1024])
def test_exact_usage_of_every_pull_onto_a_fresh_disk(
    shelf: Shelf, tmp_path: Path, block_size: int
) -> None:
    require_programs(*loop.PROGRAMS)
    left, right = siblings("left", "right", base=shelf.named("base"))
    names = [
        shelf.named("base"),
        shelf.put(left),
        shelf.put(right),
        shelf.put(tower(30, base=shelf.named("base"))),
        shelf.on_base("odd", *ODDITIES),
        shelf.named("base"),
    ]
    here = os.statvfs(shelf.podman.root).f_bsize
    with loop.ext4(str(tmp_path / "disk"), 2 * GIBIBYTE, "-b", str(block_size)) as disk:
        require(os.statvfs(disk).f_bsize == block_size, f"no blocks of {block_size} bytes")
        with Podman(os.path.join(disk, "storage")) as device:
            # What the engine makes at its first start is not a pull's.
            device.run("images")
            already: set[str] = set()
            for name in names:
                built = exact(shelf.podman.root, name)
                foretold = predicted(built, already)
                before, inodes = loop.used_bytes(disk), loop.used_inodes(disk)
                device.pull(name)
                truth = loop.used_bytes(disk) - before
                print(f"{name}, blocks of {block_size}:")
                assert_meets_inodes(built, already, loop.used_inodes(disk) - inodes)
                if here == block_size:
                    assert_meets(foretold, truth)
                found = exact(device.root, name)
                assert_meets(predicted(found, already), truth)
                already |= found.costs.keys()


# At work.


def busy(podman: Podman, folder: Path, *images: str) -> subprocess.Popen[bytes]:
    """Have `podman` pull and remove `images` until the file "stop" is there."""
    argv = podman.command("sh", "-c", WORK, "sh", *images)
    at = argv.index("sh", argv.index("env"))
    options = f"--root {podman.root} --runroot {podman.run_root} --storage-driver overlay"
    variables = [f"STOP={folder}/stop", f"ROUNDS={folder}/rounds", f"STORE={options}"]
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(
            [*argv[:at], *variables, *argv[at:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def test_scans_while_images_are_pulled_and_removed(
    shelf: Shelf, registry: Registry, tmp_path: Path
) -> None:
    assert registry.address
    left, right = siblings("live-left", "live-right", base=shelf.named("base"))
    coming = (shelf.put(left), shelf.on_base("live-odd", "hard links", "old", "opaque", "names"))
    with Podman() as podman:
        staying = shelf.put(right)
        podman.pull(staying)
        for name in coming:
            podman.pull(name)
        whole = scan(open_store(root=podman.root))
        expected = {chain_id: (cost.size, cost.usage) for chain_id, cost in whole.costs.items()}
        worker = busy(podman, tmp_path, *coming)
        try:
            labels, scans = _watch(podman, expected, worker, tmp_path / "rounds")
        finally:
            (tmp_path / "stop").touch()
            # However long a round takes here; pytest's own limit ends what hangs.
            worker.wait()
        rounds = _lines(tmp_path / "rounds")
        print(f"{scans} scans, {rounds} rounds, {len(labels)} kinds of results")
        said = (tmp_path / "log").read_text()
        assert worker.returncode == 0, said
        assert "rror" not in said, said
        assert rounds > 2
        assert all(staying in found for found in labels)
        # Some scans met the store with the images, some without.
        assert len(labels) > 1


def _watch(
    podman: Podman,
    expected: dict[str, tuple[int, int]],
    worker: subprocess.Popen[bytes],
    rounds: Path,
) -> tuple[set[frozenset[str]], int]:
    """Scan over and over: every figure is right. Returns what images there were, and how often.

    So many seconds, and so many rounds of `worker`, however busy the machine is.
    """
    labels: set[frozenset[str]] = set()
    scans = 0
    end = time.monotonic() + BUSY_SECONDS
    while worker.poll() is None and (
        time.monotonic() < end or _lines(rounds) < 3 or len(labels) < 2
    ):
        result = scan(open_store(root=podman.root), Selection(dangling=True))
        scans += 1
        assert result.problems == ()
        assert [text for text in result.warnings if not KNOWN_WARNING.match(text)] == []
        for chain_id, cost in result.costs.items():
            size, usage = expected[chain_id]
            assert cost.size == size
            # Directories may have other sizes where a layer was made anew.
            assert abs(cost.usage - usage) <= 64 * 1024
        labels.add(frozenset(one.label for one in result.chosen))
    return labels, scans


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0
