"""What tests of every room share: engines, and how a test says that it can't run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.engines import docker as docker_engine
from tests.engines import registry as registry_engine
from tests.engines.images import BASE, BUSYBOX, write_context
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry


def require_programs(*names: str) -> None:
    missing = docker_engine.missing_programs(names)
    require(not missing, f"not installed: {', '.join(missing)}; run tests/engines/install")


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """An empty registry at the start of the session, shared by its tests."""
    require_programs(*registry_engine.PROGRAMS)
    with registry_engine.Registry() as started:
        yield started


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A Docker Engine, without any image at the start, shared by the session's tests."""
    require_root()
    require_programs(*docker_engine.PROGRAMS)
    with docker_engine.Docker() as started:
        yield started


@pytest.fixture(scope="session")
def base_image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of the busybox image that others are built on, in the session's engine."""
    require(os.path.exists(BUSYBOX), f"no {BUSYBOX}; run tests/engines/install")
    context = write_context(BASE, tmp_path_factory.mktemp("images") / "base")
    docker.build(context, "base:1")
    return "base:1"
