"""Publishing Apps from a program: how far it has come, and what is left behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.apps.discovery import app_at
from layerscan.publishing import publish as publishing
from layerscan.publishing.preparation import PlannedApp, Settings
from layerscan.publishing.publish import (
    AppsProgress,
    Failed,
    Published,
    Run,
    plan_apps,
    publish,
)
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from tests.builders.publish_case import Bench, metadata
from tests.builders.registry_faults import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("docker_config")


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    made = Bench(open_registry, tmp_path)
    made.app("other", {"b": "x" * 1000}, web="acme/web:7")
    return made


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient() as opened:
        yield opened


LAYERS = {"amd64": ["base", "web", "db"], "arm64": ["armbase", "armweb", "armdb"]}
SETTINGS = Settings(metadata(**LAYERS), {})


def run_of(bench: Bench, client: RegistryClient, *names: str) -> Run:
    """A run of these Apps, whose bundles are made in the folder ``scratch``."""
    scratch = bench.root / "scratch"
    scratch.mkdir()
    planned = plan_apps([app_at(str(bench.apps / name)) for name in names], SETTINGS, client)
    apps = [
        (one, parse(bench.target(f"fleet/{one.app.name}:1")))
        for one in planned
        if isinstance(one, PlannedApp)
    ]
    return Run(apps, SETTINGS, "auto", str(scratch))


def publish_all(
    run: Run, client: RegistryClient, told: Callable[[AppsProgress], object] | None = None
) -> dict[str, Published | Failed]:
    return {one.app: one for one in publish(run, client, told)}


def test_progress_counts_apps_and_bytes(bench: Bench, client: RegistryClient) -> None:
    told: list[AppsProgress] = []
    run = run_of(bench, client, "shop", "other")
    publish_all(run, client, told.append)
    blobs = [bench.registry.blobs(f"fleet/{name}").values() for name in ("shop", "other")]
    assert told[-1] == AppsProgress(2, 2, sum(len(one) for both in blobs for one in both))
    assert {one.apps for one in told} == {2}
    assert [one.sent for one in told] == sorted(one.sent for one in told)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[0].done == 0


def test_an_app_that_fails_counts_as_done(bench: Bench, client: RegistryClient) -> None:
    told: list[AppsProgress] = []
    run = run_of(bench, client, "shop", "other")
    bench.registry.fail("PUT", "/fleet/other/", Status(403, code="DENIED"), times=99)
    found = publish_all(run, client, told.append)
    assert told[-1][:2] == (2, 2)
    assert isinstance(found["other"], Failed)
    assert "DENIED" in found["other"].reason


@pytest.mark.parametrize("status", [None, 403])
def test_no_bundle_is_left_behind(bench: Bench, client: RegistryClient, status: int | None) -> None:
    run = run_of(bench, client, "shop")
    if status is not None:
        bench.registry.fail("PUT", "/fleet/shop/", Status(status), times=99)
    found = publish_all(run, client)["shop"]
    assert isinstance(found, Published if status is None else Failed)
    assert not list((bench.root / "scratch").iterdir())


def test_a_bundle_that_cannot_be_made_fails_its_app(bench: Bench, client: RegistryClient) -> None:
    run = run_of(bench, client, "shop")
    (bench.root / "scratch").rmdir()
    found = publish_all(run, client)["shop"]
    assert isinstance(found, Failed)
    assert found.reason.startswith(f"{bench.root}/scratch/")
    assert found.reason.endswith(".tgz: No such file or directory")


def test_what_was_there_already_is_not_counted_as_sent(
    bench: Bench, client: RegistryClient
) -> None:
    run = run_of(bench, client, "shop")
    first, second = (publish_all(run, client)["shop"] for _ in range(2))
    assert isinstance(first, Published)
    blobs = bench.registry.blobs("fleet/shop").values()
    assert first.sent == sum(map(len, blobs))
    assert second == first._replace(sent=0)


@pytest.mark.parametrize("length", [2009, 2010, 2011])
def test_a_manifest_that_old_clients_cannot_read_is_told(length: int) -> None:
    prepared: Any = SimpleNamespace(
        app=SimpleNamespace(name="shop"), architectures=("amd64",), metadata=None, warnings=("a",)
    )
    target = parse("registry.example/fleet/shop:1")
    found = publishing._published(prepared, target, bytes(length), has_layers_manifests=False)
    assert found.size == length
    assert len(found.warnings) == (1 if length <= 2010 else 2)
