"""Inputs in the form of what people met in practice, each one of a kind.

`tests/cases` has them; what must happen is said here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Result, run

IMAGES = Path(__file__).parents[1] / "cases" / "images"
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
