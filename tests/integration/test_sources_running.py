"""Images in running engines and in stores as sources: what they give is what was pulled."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.builders.sources_case import fault, images, read_all
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import podman as podman_engine
from tests.engines.images import oddities
from tests.engines.podman import Podman
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]


@pytest.fixture(scope="module")
def odd(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An image with files of all kinds, in the registry."""
    builder = Builder(docker, registry, tmp_path_factory.mktemp("running"))
    return builder.pushed(oddities(base_image), "running/odd:1")


@pytest.fixture(scope="module")
def podman(odd: str) -> Iterator[Podman]:
    require_root()
    require_programs(*podman_engine.PROGRAMS)
    with Podman() as started:
        started.pull(odd)
        yield started


def sizes(source: str) -> list[tuple[str, int, int]]:
    """What `predict` says of the layers of a source, but for their digests."""
    done = run("predict", source, "--format", "json")
    assert done.status == 0, done.lines
    report = json.loads(done.out)
    return sorted((one["diff_id"], one["size"], one["usage"]) for one in report["layers"])


def test_an_engine_that_runs(docker: Docker, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    image_id = docker.image_id(odd)
    inspected = json.loads(docker.run("image", "inspect", odd))[0]
    for name in (odd, image_id, image_id[7:19]):
        ((image, tars),) = read_all(f"docker-daemon:{name}")
        assert image.image_id == image_id
        assert list(tars) == inspected["RootFS"]["Layers"]
    assert sizes(f"docker-daemon:{odd}") == sizes(f"docker://{odd}")
    message = fault("docker-daemon:running/none:1")
    assert message.startswith(f"docker-daemon:running/none:1: the engine at {docker.host}: answers")


def test_an_engine_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    message = fault("docker-daemon:web:1")
    assert "none.sock: cannot be asked: No such file or directory; is it running" in message
    monkeypatch.setenv("DOCKER_HOST", "ssh://other")
    assert "only unix:// and tcp:// without TLS are asked" in fault("docker-daemon:web:1")


def test_a_store_of_podman(podman: Podman, docker: Docker, odd: str) -> None:
    inspected = json.loads(docker.run("image", "inspect", odd))[0]
    for name in (odd, inspected["Id"], inspected["Id"][7:19]):
        source = f"containers-storage:[overlay@{podman.root}]{name}"
        ((image, tars),) = read_all(source)
        assert image.image_id == inspected["Id"]
        assert image.platform.architecture == inspected["Architecture"]
        assert list(tars) == inspected["RootFS"]["Layers"]
        assert all(layer.archive_size > 0 for layer in image.layers)
    assert sizes(source) == sizes(f"docker://{odd}")
    missing = f"containers-storage:[{podman.root}]running/none:1"
    assert fault(missing) == f"{missing}: the store {podman.root} has no such image"
    other = fault(source, {"riscv64"})
    assert other == f'{source}: is for "{inspected["Architecture"]}", which was not asked for'


def test_a_store_that_was_changed(podman: Podman, odd: str) -> None:
    source = f"containers-storage:[{podman.root}]{odd}"
    assert images(source)
    root = f"{podman.root}/overlay"
    changed = next(
        os.path.join(folder, name)
        for folder, _, names in os.walk(root)
        for name in sorted(names)
        if folder.startswith(root)
        and "/diff" in folder
        and not os.path.islink(f"{folder}/{name}")
        and os.path.isfile(f"{folder}/{name}")
        and os.path.getsize(f"{folder}/{name}") > 9
    )
    with open(changed, "r+b") as file:
        before = file.read(3)
        file.seek(0)
        file.write(bytes(byte ^ 1 for byte in before))
    try:
        assert "give another tar than was unpacked: they were changed" in fault(source)
        os.truncate(changed, 5)
        assert "has 5 bytes, not" in fault(source)
    finally:
        with open(changed, "r+b") as file:
            file.write(before)
