"""Inputs in the form of what people met in practice, each one of a kind.

`tests/cases` has them; what must happen is said here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders.fit_apps import Layer
from tests.builders.fit_case import app_of
from tests.cli_runner import Result
from tests.cli_runner import run_here as run

CASES = Path(__file__).parents[1] / "cases"
IMAGES = CASES / "images"
FIT = CASES / "fit"
ONE = "sha256:8bad2313398b3f328e3fd15b6e5b85d13891a9462a2e653dc3adb646f2b7ce13"
TWO = "sha256:dae1c78541ca78ff9cd23a8e692f3a29fcfb42f970a04697f7577795c1fc0ed3"


def predict(case: str, *options: str) -> Result:
    os.chdir(IMAGES)
    return run("predict", f"oci:{case}", *options)


def document(case: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(predict(case, "-o", "-", *options).out)
    return found


@pytest.fixture(autouse=True)
def _back_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(IMAGES)


def test_an_index_and_a_config_that_differ() -> None:
    result = predict("wrong-config-arch", "--by-arch", "-o", "-")
    found = json.loads(result.out)
    assert {name: list(one["layers"]) for name, one in found.items()} == {
        "amd64": [ONE],
        "arm64": [TWO],
    }
    (line,) = result.lines
    assert "the index says linux/arm64, the image's config linux/amd64" in line
    assert list(document("wrong-config-arch", "--arch", "arm64")["layers"]) == [TWO]


@pytest.mark.slow
def test_a_config_of_another_type() -> None:
    found = document("silent-config-index", "--by-arch")
    assert {name: list(one["layers"]) for name, one in found.items()} == {
        "amd64": [ONE],
        "arm64": [TWO],
    }
    assert list(document("cfgtype0")["layers"]) == [ONE]
    assert list(document("cfgtype0", "--by-arch")) == ["amd64"]


def test_signatures_beside_an_image() -> None:
    result = predict("cosign-save", "-o", "-")
    assert result.status == 0
    assert list(json.loads(result.out)["layers"]) == [ONE]


def test_platforms_that_are_missing() -> None:
    result = predict("missing-platforms", "-o", "-")
    assert list(json.loads(result.out)["layers"]) == [ONE]
    (line,) = result.lines
    assert "since it is not there: linux/arm64; there is linux/amd64" in line
    refused = predict("missing-platforms", "--arch", "arm64")
    assert (refused.status, len(refused.lines)) == (2, 1)
    assert "linux/arm64" in refused.lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [("a:1", ONE), ("docker.io/library/b:1", TWO)])
def test_images_that_have_one_tag(name: str, layer: str) -> None:
    assert list(document(f"same-refname:{name}")["layers"]) == [layer]
    report = json.loads(predict("same-refname", "--format", "json").out)
    names = sorted(name for one in report["images"] for name in one["names"])
    assert names == [
        "oci:same-refname:docker.io/library/a:1",
        "oci:same-refname:docker.io/library/b:1",
    ]


def test_a_tag_that_several_images_have() -> None:
    result = predict("same-refname:1")
    assert result.status == 2
    assert '"docker.io/library/a:1", "docker.io/library/b:1"' in result.lines[0]


def test_null_is_absent() -> None:
    result = predict("null-platform-variant", "--by-arch", "-o", "-")
    assert (result.status, list(json.loads(result.out))) == (0, ["amd64"])


@pytest.mark.slow
def test_a_config_without_an_architecture() -> None:
    assert list(document("cfg-noarch")["layers"]) == [ONE]
    refused = predict("cfg-noarch", "--by-arch", "-o", "-")
    assert (refused.status, refused.out) == (2, b"")
    assert refused.lines[0].endswith("nothing says its architecture; say it with --arch")
    assert list(document("cfg-noarch", "--by-arch", "--arch", "arm64")) == ["arm64"]


def test_one_blob_several_times_in_an_image() -> None:
    found = document("dup-layers")["layers"]
    report = json.loads(predict("dup-layers", "--format", "json").out)
    for digest, figures in found.items():
        layers = [one for one in report["layers"] if one["digests"] == [digest]]
        assert len(layers) > 1
        assert figures["usage"] == sum(one["usage"] for one in layers)
        assert figures["size"] == sum(one["size"] for one in layers)
        assert {figures["archive_size"]} == {one["archive_size"] for one in layers}
    (image,) = report["images"]
    assert image["usage"] == sum(one["usage"] for one in found.values())


# Does it fit?


def check(case: str, *options: object, status: int) -> dict[str, Any]:
    found = run("check", "--device", FIT / case / "device.json", *options, "--format", "json")
    assert found.status == status, found.lines
    report: dict[str, Any] = json.loads(found.out)
    return report


def test_docker_on_a_disk_of_its_own() -> None:
    case = "aklite-docker-own-disk"
    meta = ("--layers-meta", FIT / case / "meta.json")
    report = check(case, *meta, "--policy", "aktualizr-lite-skopeo", status=1)
    assert [
        (one["volume"], one["fits"], one["required"]["bytes"], one["available"]["bytes"])
        for one in report["volumes"]
    ] == [
        ("/", True, 12_000_000, 4096 * (600_000 - 131_072)),
        ("/var/lib/docker", False, 9_000_000, 0),
    ]
    # composectl, so today's client, counts all of it where its store is.
    assert check(case, *meta, status=0)["policy"] == "aktualizr-lite"


def test_reserve_that_is_rounded_up_as_a_double() -> None:
    case = "aklite-reserved-rounding"
    meta = ("--layers-meta", FIT / case / "meta.json", "--watermark", "93")
    report = check(case, *meta, "--policy", "aktualizr-lite-skopeo", status=1)
    (volume,) = report["volumes"]
    assert (volume["required"]["bytes"], volume["available"]["bytes"]) == (8192, 4096)
    # composectl's is cut off.
    (volume,) = check(case, *meta, status=0)["volumes"]
    assert (volume["required"]["bytes"], volume["available"]["bytes"]) == (8192, 8192)


def test_client_of_today_and_the_one_before(tmp_path: Path) -> None:
    layer = Layer("ten megabytes", 10_000_000, 12_000_000)
    app = ("--app", app_of(layer, index=True).store(tmp_path / "store"), "--arch", "arm64")
    case = "aklite-current-engine"
    today = check(case, *app, status=1)
    (volume,) = today["volumes"]
    assert (volume["volume"], volume["available"]["bytes"]) == ("/", 4096 * 4000)
    assert check(case, *app, "--policy", "aktualizr-lite-skopeo", status=0)["fits"]
    assert check(case, *app, "--policy", "exact", status=0)["fits"]
