"""containerd's own store, by `ctr`, against Docker's store of the same images."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import ContainerdBuilder
from tests.builders.documents import INDEX, descriptor, index
from tests.builders.tree import File, many
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import containerd as containerd_engine
from tests.engines.containerd import Containerd
from tests.engines.images import Image, add, oddities, siblings, tower
from tests.engines.truth import MANIFEST, Builder, du
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

MOST_LATE = 5 * 4096
"""Bytes by which a layer of the largest file here may differ from its record."""

LIVE_ROUNDS = 12


@dataclass(frozen=True)
class Stage:
    """Docker and containerd with the same images; what each is called."""

    docker: Docker
    containerd: Containerd
    builder: Builder
    base: str
    odd: str
    left: str
    right: str
    multi: str

    @property
    def images(self) -> tuple[str, ...]:
        return (self.base, self.odd, self.left, self.right)

    @property
    def root(self) -> str:
        return self.containerd.root


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    require_root()
    require_programs(*containerd_engine.PROGRAMS)
    with Containerd() as started:
        yield started


@pytest.fixture(scope="module")
def stage(
    docker: Docker,
    registry: Registry,
    base_image: str,
    containerd: Containerd,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    builder = Builder(docker, registry, tmp_path_factory.mktemp("containerd"))
    left, right = siblings("left", "right", base=base_image)
    found = Stage(
        docker,
        containerd,
        builder,
        base=builder.also_pushed(base_image, "ctrd/base:1"),
        odd=builder.pushed(oddities(base_image), "ctrd/odd:1"),
        left=builder.pushed(left, "ctrd/left:1"),
        right=builder.pushed(right, "ctrd/right:1"),
        multi=multi_platform(builder, registry, "ctrd/multi"),
    )
    for image in found.images:
        containerd.pull(image)
    containerd.pull(found.multi, "--all-platforms")
    for image in (found.base, found.right):
        containerd.pull(image, namespace="k8s.io")
    os.sync()
    return found


def multi_platform(builder: Builder, registry: Registry, path: str) -> str:
    """An index of two images for two architectures, pushed."""
    entries = []
    for architecture in ("amd64", "arm64"):
        builder.foreign(f"linux/{architecture}", f"{path}:{architecture}")
        raw = registry.get(f"{path}/manifests/{architecture}", accept=MANIFEST)
        platform = {"os": "linux", "architecture": architecture}
        entries.append(descriptor(raw, MANIFEST, platform=platform))
    builder.put_manifest(f"{path}:1", index(entries), INDEX)
    return builder.named(f"{path}:1")


def usages(containerd: Containerd, namespace: str = "default") -> dict[str, tuple[int, int]]:
    """Bytes and inodes of each snapshot, as ``ctr`` tells them."""
    lines = containerd.ctr("snapshots", "usage", "-b", namespace=namespace).splitlines()[1:]
    return {key: (int(size), int(inodes)) for key, size, inodes in map(str.split, lines)}


def document(*options: str | os.PathLike[str]) -> dict[str, Any]:
    result = run("scan", *options, "-o", "-")
    assert result.status == 0, result.lines
    found: dict[str, Any] = json.loads(result.out)
    return found


# The same images.


def test_digests_and_sizes_are_those_of_docker(stage: Stage) -> None:
    chosen = [option for image in stage.images for option in ("-i", image)]
    ours = document("-s", "containerd", "-d", stage.root, "--namespace", "default", *chosen)
    theirs = document("-s", "overlay2", "-d", stage.docker.data_root, *chosen)
    assert ours["layers"].keys() == theirs["layers"].keys()
    for digest, figures in ours["layers"].items():
        assert figures["size"] == theirs["layers"][digest]["size"]
    assert ours["fs_block_size"] == theirs["fs_block_size"]
    assert len(ours["layers"]) == 15


def test_figures_are_those_of_du_and_of_ctr(stage: Stage) -> None:
    os.sync()
    result = scan(ContainerdStore(stage.root, namespace="default"), Selection(every_platform=True))
    assert (result.problems, result.warnings) == ((), ())
    told = usages(stage.containerd)
    assert result.costs.keys() == told.keys()
    for chain, cost in result.costs.items():
        assert cost.usage == du(cost.layer.folder)
        walked = cost.walked.child
        assert walked is not None
        # Recorded before the file system had written all out: the scan, which has
        # no warning here, allows for the block or two that this can change.
        assert cost.layer.recorded_usage == told[chain][0]
        assert walked.blocks * 512 == pytest.approx(told[chain][0], rel=0, abs=MOST_LATE)
        inodes = walked.files + walked.directories + walked.symlinks + walked.others
        assert inodes == cost.layer.recorded_inodes == told[chain][1]


def test_images_are_those_of_ctr(stage: Stage) -> None:
    for namespace in ("default", "k8s.io"):
        listed = stage.containerd.ctr("images", "ls", "-q", namespace=namespace).split()
        store = ContainerdStore(stage.root, namespace=namespace)
        names = {str(name) for image in store.images() for name in image.names if name.tag}
        assert names == set(listed)
        assert (store.problems, store.notes, store.vanished) == ((), (), ())


def test_namespace_with_kubernetes_name_goes_first(stage: Stage) -> None:
    result = run("scan", "-s", "containerd", "-d", stage.root, "--format", "json")
    assert result.status == 0
    names = {name for image in json.loads(result.out)["images"] for name in image["names"]}
    assert {stage.base, stage.right} <= names
    assert stage.odd not in names
    (line,) = result.lines
    assert "the images are those of namespace 'k8s.io'; there are others in 'default'" in line


def test_platforms(stage: Stage) -> None:
    options = ("-s", "containerd", "-d", stage.root, "--namespace", "default", "-i", stage.multi)
    machine = "arm64" if os.uname().machine == "aarch64" else "amd64"
    other = ({"amd64", "arm64"} - {machine}).pop()
    by_arch = document(*options, "--by-arch")
    assert by_arch.keys() == {"amd64", "arm64"}
    assert document(*options) == by_arch[machine]
    assert document(*options, "--arch", other) == by_arch[other]
    assert document(*options, "--platform", f"linux/{other}") == by_arch[other]
    assert by_arch["amd64"]["layers"].keys() != by_arch["arm64"]["layers"].keys()


def test_archives_that_are_discarded(stage: Stage, tmp_path: Path) -> None:
    with Containerd(os.fspath(tmp_path / "root")) as other:
        other.pull(stage.left)
        store = ContainerdStore(other.root, exact=True)
        kept = scan(store, accounting="exact")
        layers = {
            path
            for cost in kept.costs.values()
            for path in cost.layer.exact_paths
            if "/blobs/" in path
        }
        assert len(layers) == len(kept.costs)
        for path in layers:
            digest = f"sha256:{os.path.basename(path)}"
            other.ctr("content", "rm", digest)
        # The files go when containerd next collects its garbage.
        while any(map(os.path.exists, layers)):
            time.sleep(0.05)
        gone = scan(store, accounting="exact")
        assert gone.document().layers.keys() == kept.document().layers.keys()
        freed = sum(cost.usage for cost in kept.costs.values()) - sum(
            cost.usage for cost in gone.costs.values()
        )
        assert freed > 2_000_000
        assert (gone.problems, gone.warnings) == ((), ())


def test_image_that_is_not_unpacked(stage: Stage, tmp_path: Path) -> None:
    with Containerd(os.fspath(tmp_path / "root")) as other:
        other.ctr("content", "fetch", "--plain-http", stage.left)
        other.ctr("images", "tag", stage.left, "any text")
        store = ContainerdStore(other.root)
        assert store.images() == []
        (note,) = store.notes
        assert note.startswith("left out, not unpacked: ")
        assert "any text" in note


def test_damage_is_found(stage: Stage, tmp_path: Path) -> None:
    with Containerd(os.fspath(tmp_path / "root")) as other:
        other.pull(stage.left)
        result = scan(ContainerdStore(other.root))
        assert result.warnings == ()
        top = result.chosen[0].image.layers[-1]
        os.unlink(f"{top.folder}/fs/own/left")
        (warning,) = scan(ContainerdStore(other.root)).warnings
        assert warning.startswith(f"layer {top.chain_id}: it has 2 files and folders, ")


# The store at work.


def test_scans_while_images_come_and_go(stage: Stage, base_image: str, tmp_path: Path) -> None:
    wide = Image("wide", (add(*many("wide", 1500, size=200, seed=9)),), base_image)
    coming = (
        stage.builder.pushed(tower(10, base=base_image), "ctrd/tower:1"),
        stage.builder.pushed(wide, "ctrd/wide:1"),
    )
    with Containerd(os.fspath(tmp_path / "root")) as busy:
        busy.pull(stage.right)
        steady = document("-s", "containerd", "-d", busy.root, "-i", stage.right)
        failures: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                while not done.is_set():
                    for image in coming:
                        busy.pull(image)
                    for image in coming:
                        busy.remove(image)
            except BaseException as error:  # noqa: BLE001 - the test reports it
                failures.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        seen: set[frozenset[str]] = set()
        try:
            for _ in range(LIVE_ROUNDS):
                result = scan(ContainerdStore(busy.root))
                assert result.problems == ()
                said = [line for line in result.warnings if "left out" not in line]
                assert said == []
                seen.add(frozenset(one.label for one in result.chosen))
                found = result.document()
                for digest, figures in steady["layers"].items():
                    assert found.layers[digest]._asdict().items() >= figures.items()
                again = document("-s", "containerd", "-d", busy.root, "-i", stage.right)
                assert again == steady
        finally:
            done.set()
            worker.join()
        assert failures == []
        assert len(seen) > 1
        assert all(stage.right in labels for labels in seen)


# What the tests' writer makes.


def test_containerd_reads_what_the_builder_writes(stage: Stage, tmp_path: Path) -> None:
    built = ContainerdBuilder(tmp_path / "root")
    base = built.layer(None, File("base", size=5000))
    layers = [base, *(built.layer(base, File(f"{number}", size=10)) for number in range(300))]
    built.image(["docker.io/library/app:1", "any text"], [base])
    for layer in layers[1:]:
        name = f"reg.example/app:{os.fsdecode(layer.ops[0].path)}"
        built.image([name], [base, layer])
    built.image(["reg.example/other:1"], [base], namespace="other")
    built.write()
    ours = {
        namespace: {
            layer.chain_id: (layer.recorded_usage, layer.recorded_inodes)
            for image in ContainerdStore(built.root, namespace=namespace).images()
            for layer in image.layers
        }
        for namespace in ("default", "other")
    }
    with Containerd(built.root) as real:
        assert usages(real) == ours["default"]
        assert usages(real, "other") == ours["other"]
        listed = real.ctr("images", "ls", "-q").splitlines()
        assert len(listed) == 302
        assert {"docker.io/library/app:1", "any text"} <= set(listed)
        # And it goes on with it: a bbolt file that was wrong would not be written to.
        real.pull(stage.left)
        images = open_store("containerd", built.root, namespace="default").images()
        assert len(images) == 302
        (left,) = scan(
            ContainerdStore(built.root, namespace="default"), Selection((want(stage.left),))
        ).chosen
        assert left.label == stage.left
