"""Engines that are started with settings of their own: the store that they use is the one found."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerscan.stores import open_store
from tests.builders.machine import Machine
from tests.conftest import require_programs
from tests.engines import containerd as containerd_engine
from tests.engines import docker as docker_engine
from tests.engines import podman as podman_engine
from tests.engines.containerd import CONFIG, Containerd
from tests.engines.docker import Docker
from tests.engines.engine import run
from tests.engines.podman import Podman
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

# The users' ids that Docker maps to are the machine's: a daemon sees others.
OTHER_IDS = """
mount --bind "$1" /etc/subuid
mount --bind "$2" /etc/subgid
shift 2
exec "$@"
"""


@pytest.fixture
def machine(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    require_root()
    return Machine.isolate(open_path, monkeypatch)


@pytest.fixture(scope="module")
def name(docker: Docker, registry: Registry, base_image: str) -> str:
    """An image in the registry."""
    pushed = f"{registry.address}/settings/base:1"
    docker.tag(base_image, pushed)
    docker.push(pushed)
    return pushed


def found() -> tuple[str, list[str]]:
    """The store that is found without being named, and the tags of its images."""
    store = open_store()
    names = (str(name) for image in store.images() for name in image.names)
    return store.root, sorted(name for name in names if "@" not in name)


def test_docker_with_a_data_root_elsewhere(machine: Machine, name: str) -> None:
    require_programs(*docker_engine.PROGRAMS)
    root = machine.path("elsewhere")
    settings = {"data-root": root, "storage-driver": "overlay2"}
    config = machine.write(machine.daemon_json, json.dumps(settings))
    with Docker(root, config=config) as engine:
        engine.pull(name)
        assert found() == (root, [name])


def test_docker_that_maps_root_to_a_user(machine: Machine, name: str) -> None:
    require_programs(*docker_engine.PROGRAMS)
    ids = [machine.path("etc/subuid"), machine.path("etc/subgid")]
    for path in ids:
        machine.write(path, "nobody:100000:65536\n")
    prefix = ("unshare", "--mount", "sh", "-ec", OTHER_IDS, "ids", *ids)
    root = machine.docker
    os.makedirs(root)
    settings = {"data-root": root, "storage-driver": "overlay2"}
    config = machine.write(machine.daemon_json, json.dumps(settings))
    with Docker(root, config=config) as engine:
        engine.pull(name)
    assert found() == (root, [name])
    machine.write(config, json.dumps({**settings, "userns-remap": "nobody:nogroup"}))
    machine.write(ids[1], "nogroup:300000:65536\nnobody:200000:65536\n")
    subprocess.run(["chmod", "o+x", root], check=True)
    with Docker(root, config=config, prefix=prefix) as engine:
        # What it had before the change, it does not have now.
        assert engine.run("image", "ls", "--quiet") == ""
        engine.pull(name)
        engine.tag(name, "settings:mapped")
        inside = engine.run("info", "--format", "{{.DockerRootDir}}")
        assert found() == (inside, [name, "docker.io/library/settings:mapped"])
        assert inside == f"{root}/100000.200000"


def test_containerd_with_settings_in_several_files(machine: Machine, name: str) -> None:
    require_programs(*containerd_engine.PROGRAMS)
    root, layers = machine.path("root"), machine.path("layers")
    more = machine.path("etc/containerd/more.toml")
    plugin = '[plugins."io.containerd.snapshotter.v1.overlayfs"]\nroot_path = '
    machine.write(more, f'version = 2\nroot = "{root}"\n{plugin}"{layers}"\n')
    config = machine.write(
        machine.path("etc/containerd/config.toml"),
        CONFIG.replace("version = 2\n", f'version = 2\nimports = ["{more}"]\n'),
    )
    with Containerd(root, config=config) as engine:
        engine.pull(name)
        assert found() == (root, [name])
    (image,) = open_store().images()
    assert {os.path.commonpath((one.folder, layers)) for one in image.layers} == {layers}


def test_podman_with_a_root_elsewhere(
    machine: Machine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs(*podman_engine.PROGRAMS)
    root, config = machine.path("elsewhere"), machine.path("storage.conf")
    settings = f'[storage]\ndriver = "overlay"\ngraphroot = "{root}"\n'
    with Podman(root) as engine:
        engine.pull(name)
        machine.write(config, f'{settings}runroot = "{engine.run_root}"\n')

        def podman(*arguments: str) -> str:
            of_settings = ("env", f"CONTAINERS_STORAGE_CONF={config}", "podman", *arguments)
            return run(engine.command(*of_settings), folder="/").decode().strip()

        told = podman("info", "--format", "{{.Store.GraphRoot}}")
        listed = podman("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", config)
    assert found() == (told, [listed])
    assert (told, listed) == (root, name)
