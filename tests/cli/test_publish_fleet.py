"""`publish` of several Apps at once."""

import json
import shutil
from pathlib import Path

import pytest

from tests.builders.publish_case import (
    Bench,
)
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import error


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    return Bench(open_registry, tmp_path)


# Several Apps.


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    for number in range(5):
        bench.app(f"app{number}", {"n": str(number)}, web="acme/web:7", db="acme/db:2")
    bench.app("bad", web="acme/none:1")
    return bench


def test_one_failing_app_keeps_no_other_from_being_published(fleet: Bench, tmp_path: Path) -> None:
    digest_file = tmp_path / "digests"
    result = fleet.publish(
        "--apps-root", fleet.apps, "--digest-file", digest_file, app=(), to="fleet/{app}:9"
    )
    assert result.status == 3
    names = [*(f"app{number}" for number in range(5)), "shop"]
    lines = [line.split("\t") for line in result.text.splitlines()]
    assert [name for name, _ in lines] == names
    for name, digest in lines:
        assert fleet.registry.tags(f"fleet/{name}") == {"9": digest}
    assert digest_file.read_bytes() == result.out
    (failure,) = [line for line in result.lines if line.startswith("layerscan: error")]
    assert failure.startswith(error(f"App bad: {fleet.registry.address}/acme/none:1"))
    assert not fleet.registry.manifests("fleet/bad")


def test_each_image_is_asked_for_once(fleet: Bench) -> None:
    shutil.rmtree(fleet.apps / "bad")
    fleet.registry.seen.clear()
    result = fleet.publish("-a", fleet.apps, app=(), to="fleet/{app}:9")
    assert result.status == 0
    # An index and all its manifests: only they say what is an image.
    assert fleet.registry.count("GET", "/acme/web/manifests/") == 3
    assert fleet.registry.count("GET", "/acme/db/manifests/") == 4


def test_all_of_several_that_fail(fleet: Bench) -> None:
    fleet.app("worse", web="acme/none:1")
    result = fleet.publish(app=["bad", "worse"], to="fleet/{app}")
    assert (result.status, result.out, len(result.lines)) == (2, b"", 2)


def test_the_report_as_json(fleet: Bench) -> None:
    result = fleet.publish("--format", "json", app=["bad", "shop"], to="fleet/{app}:9")
    assert result.status == 3
    bad, shop = json.loads(result.out)
    assert bad == {"app": "bad", "error": bad["error"]}
    digest = fleet.registry.tags("fleet/shop")["9"]
    assert shop == {
        "app": "shop",
        "target": fleet.target("fleet/shop:9"),
        "digest": digest,
        "size": len(fleet.registry.manifests("fleet/shop")[digest]),
        "architectures": ["amd64", "arm64"],
        "layers_meta": True,
        "layers_manifests": True,
        "uploaded": shop["uploaded"],
        "warnings": [],
    }
    blobs = fleet.registry.blobs("fleet/shop")
    assert shop["uploaded"] == sum(len(content) for content in blobs.values())
