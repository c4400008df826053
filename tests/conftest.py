"""What tests of every room share: engines, and how a test says that it can't run."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from layerscan.registry import retry
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import open_to_all
from tests.engines import docker as docker_engine
from tests.engines import registry as registry_engine
from tests.engines.engine import missing_programs
from tests.engines.images import BASE, BUSYBOX, write_context
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

# How long an example takes depends on what else the machine does.
settings.register_profile("patient", deadline=None)
# Fewer examples, for `make check`.
settings.register_profile("few", deadline=None, max_examples=20)
settings.load_profile("patient")

# Where it is set, messages are written twice; tests of that set it.
os.environ.pop("GITHUB_ACTIONS", None)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name long bytes by their length: those of gzip have the time in them.

    Processes that share the tests must have the same names for them.
    """
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 15 else None


def require_programs(*names: str) -> None:
    missing = missing_programs(names)
    require(not missing, f"not installed: {', '.join(missing)}; run tests/engines/install")


@pytest.fixture
def open_registry() -> Iterator[OpenRegistry]:
    """An empty registry in this process that takes every document; see its module."""
    with OpenRegistry() as started:
        yield started


@pytest.fixture
def open_path() -> Iterator[Path]:
    """As `tmp_path`, for tests that become another user: each of them gets there.

    pytest's own folders are closed, and each run that begins closes them again.
    """
    with open_to_all() as folder:
        yield folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts of registry clients in this process follow each other at once."""
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.001)


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of Docker's configuration for a test; it is not there yet."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


@pytest.fixture(scope="session")
def tls_certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PEM file: a certificate for 127.0.0.1 that only itself vouches for, and its key."""
    require_programs("openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, both = folder / "key", folder / "certificate", folder / "both"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=registry.example"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return str(both)


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
    return build_base(docker, tmp_path_factory.mktemp("images"))


def build_base(docker: Docker, folder: Path) -> str:
    """Build the busybox image that others are built on; its name."""
    require(os.path.exists(BUSYBOX), f"no {BUSYBOX}; run tests/engines/install")
    docker.build(write_context(BASE, folder / "base"), "base:1")
    return "base:1"
