"""Layers that have a path twice, or only seem to, and who takes them.

Docker, Podman and containerd pull the same images. What is said of them in
`tests/builders/repeated_case.py` is so, and `predict` says which of them the engine refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from layerscan.prediction.images import predict
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.repeated_case import CASES
from tests.builders.tars import tar
from tests.conftest import require_programs
from tests.engines import containerd as containerd_engine
from tests.engines import podman as podman_engine
from tests.engines.containerd import Containerd
from tests.engines.engine import EngineError
from tests.engines.podman import Podman
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

SAID = "duplicates of file paths not supported"


class Engine(Protocol):
    """Who pulls images."""

    def pull(self, name: str) -> object: ...


@pytest.fixture(scope="module")
def names(
    docker: Docker, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Images in the registry, each of the one layer of a case."""
    builder = Builder(docker, registry, tmp_path_factory.mktemp("repeated"))
    return {
        title: builder.of_tars(f"repeated/{number}:1", tar(*case.parts))
        for number, (title, case) in enumerate(CASES.items())
    }


@pytest.fixture(scope="module")
def engines(docker: Docker) -> Iterator[dict[str, Engine]]:
    """By the kinds of their stores."""
    require_root()
    require_programs(*containerd_engine.PROGRAMS, *podman_engine.PROGRAMS)
    with Containerd() as containerd, Podman() as podman:
        yield {"overlay2": docker, "containerd": containerd, "containers-storage": podman}


def pull(engine: Engine, name: str) -> str:
    """Why the engine refuses an image, empty where it takes it."""
    try:
        engine.pull(name)
    except EngineError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("title", CASES)
def test_what_the_engine_refuses_is_said(
    title: str, names: dict[str, str], engines: dict[str, Engine]
) -> None:
    repeated = CASES[title].repeated
    for store, engine in engines.items():
        is_refused = repeated is not None and store != "containerd"
        why = pull(engine, names[title])
        assert (SAID in why, bool(why)) == (is_refused, is_refused), (store, why)
        with (
            RegistryClient() as client,
            open_source(f"docker://{names[title]}", lambda: client) as source,
        ):
            found = predict([source], store=store)
        told = [one for one in found.notes if "has a path twice" in one]
        assert [f"twice, {repeated}: " in one for one in told] == [True] * is_refused, store
