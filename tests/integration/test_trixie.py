"""Docker with the containerd image store, against Docker's overlay2 of the same images."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from layerscan.registry import RegistryClient
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.sources import open_source
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.sources_case import read_all
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import trixie as trixie_engine
from tests.engines.images import oddities
from tests.engines.trixie import TrixieDocker
from tests.engines.truth import Builder, du
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

DOCKERFILE = """FROM {base}
COPY file /file
RUN echo hello > /hello && ln /hello /again
"""


@pytest.fixture(scope="module")
def trixie() -> Iterator[TrixieDocker]:
    require_root()
    require_programs(*trixie_engine.PROGRAMS)
    with TrixieDocker() as started:
        yield started


@dataclass(frozen=True)
class Stage:
    """Both engines with the same images; and what the newer one has built."""

    old: Docker
    new: TrixieDocker
    base: str
    odd: str
    built: str


@pytest.fixture(scope="module")
def stage(
    docker: Docker,
    registry: Registry,
    base_image: str,
    trixie: TrixieDocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    folder = tmp_path_factory.mktemp("trixie")
    builder = Builder(docker, registry, folder)
    base = builder.also_pushed(base_image, "trixie/base:1")
    odd = builder.pushed(oddities(base_image), "trixie/odd:1")
    for image in (base, odd):
        trixie.run("pull", "--quiet", image)
    built = builder.named("trixie/built:1")
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    for name in ("lost:1", built):
        (context / "file").write_text(name * 1000)
        options = ("--quiet", "--network", "none", "--tag", name)
        trixie.run("build", *options, os.fspath(context))
    # A container needs it, so it is kept without a name.
    trixie.run("create", "lost:1", "sh")
    trixie.run("rmi", "--force", "lost:1")
    trixie.run("push", built)
    docker.pull(built)
    os.sync()
    return Stage(docker, trixie, base, odd, built)


def document(*options: str | os.PathLike[str]) -> dict[str, dict[str, dict[str, int]]]:
    result = run("scan", *options, "-o", "-")
    assert result.status == 0, result.lines
    found: dict[str, dict[str, dict[str, int]]] = json.loads(result.out)
    return found


def test_digests_and_sizes_are_those_of_overlay2(stage: Stage) -> None:
    chosen = [option for image in (stage.base, stage.odd, stage.built) for option in ("-i", image)]
    new = document("-d", stage.new.data_root, *chosen)
    old = document("-d", stage.old.data_root, *chosen)
    assert new["layers"].keys() == old["layers"].keys()
    assert {digest: figures["size"] for digest, figures in new["layers"].items()} == {
        digest: figures["size"] for digest, figures in old["layers"].items()
    }
    assert len(new["layers"]) == 14


def test_store_of_a_docker_data_root_is_found(stage: Stage) -> None:
    result = run("scan", "-d", stage.new.data_root, "--format", "json")
    assert result.status == 0, result.lines
    report = json.loads(result.out)
    assert report["store"] == {
        "kind": "containerd",
        "root": f"{stage.new.data_root}/containerd/daemon",
    }
    listed = stage.new.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    tags = {name for image in report["images"] for name in image["names"] if "@" not in name}
    assert tags == {name for name in listed if not name.endswith("<none>")}


def test_figures_are_those_of_du(stage: Stage) -> None:
    os.sync()
    result = scan(ContainerdStore(stage.new.data_root), Selection(dangling=True))
    assert (result.problems, result.warnings) == ((), ())
    for cost in result.costs.values():
        assert cost.usage == du(cost.layer.folder)
        assert cost.walked.child is not None
        # Recorded before the file system had written all out.
        recorded = cost.layer.recorded_usage
        assert recorded is not None
        assert cost.walked.child.blocks * 512 == pytest.approx(recorded, rel=0, abs=5 * 4096)


def test_image_that_lost_its_name(stage: Stage) -> None:
    store = ContainerdStore(stage.new.data_root)
    listed = stage.new.run("image", "ls", "--no-trunc", "--quiet", "--filter", "dangling=true")
    nameless = [image for image in store.images() if not image.has_name]
    assert len(nameless) == len(listed.split()) == 1
    (image,) = nameless
    (digests,) = image.digests.values()
    assert len(digests) == 4
    assert None not in digests


def test_image_by_the_digest_that_docker_gives_it(stage: Stage) -> None:
    digest = stage.new.run("image", "inspect", "--format", "{{index .RepoDigests 0}}", stage.odd)
    assert re.fullmatch(r"127\.0\.0\.1:\d+/trixie/odd@sha256:[0-9a-f]{64}", digest)
    store = ContainerdStore(stage.new.data_root)
    (one,) = scan(store, Selection((want(digest),))).chosen
    assert one.label == stage.odd


def test_exact_counts_the_archives(stage: Stage) -> None:
    store = ContainerdStore(stage.new.data_root, exact=True)
    chosen = Selection((want(stage.base),))
    exact, usual = scan(store, chosen, accounting="exact"), scan(store, chosen)
    done = subprocess.run(
        ["du", "-sk", "--apparent-size", f"{store.root}/io.containerd.content.v1.content/blobs"],
        check=True,
        capture_output=True,
    )
    assert int(done.stdout.split()[0]) > 2000
    more = sum(one.usage for one in exact.costs.values()) - sum(
        one.usage for one in usual.costs.values()
    )
    assert more > 2_000_000


@pytest.mark.usefixtures("stage")
def test_engine_leaves_nothing_mounted() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert trixie_engine.chroot_folder() not in mounts.read()


def test_what_it_saves_is_a_source(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    stage.new.run("save", "--output", os.fspath(path), stage.odd, stage.built)
    found = read_all(f"docker-archive:{path}")
    assert len(found) == 2
    for image, tars in found:
        assert [layer.diff_id for layer in image.layers] == list(tars)
    # The layers are as the registry has them.
    with RegistryClient() as client, open_source(f"docker://{stage.odd}", lambda: client) as pushed:
        (odd,) = pushed.images()
    assert [image.layers for image, _ in found if image.image_id == odd.image_id] == [
        tuple(layer._replace(media_type="") for layer in odd.layers)
    ]
