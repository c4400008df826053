"""``layerscan reclaim``: what it prints, and for which images."""

from __future__ import annotations

import json
import os
import time
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from layerscan.cli.amounts import size, span
from tests.builders.ledger_case import add, container_config
from tests.builders.overlay2_case import Case
from tests.builders.tree import File
from tests.cli_runner import Result, run_here

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = json.loads(
    resources.files("layerscan").joinpath("schemas", "reclaim.schema.json").read_text()
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "docker")


def reclaim(case: Case, *options: object, warnings: int = 0) -> Result:
    done = run_here("reclaim", "-d", case.store.root, *options)
    assert done.status == 0, done.lines
    assert len(done.lines) == warnings, done.lines
    return done


def report(case: Case, *options: object, warnings: int = 0) -> dict[str, Any]:
    done = reclaim(case, *options, "--format", "json", warnings=warnings)
    found: dict[str, Any] = json.loads(done.out)
    Draft202012Validator(SCHEMA).validate(found)
    assert found["freed"] == sum(one["freed"] for one in found["images"])
    return found


def usage(*paths: object) -> int:
    """Bytes of disk of folders and files."""
    total = 0
    for path in map(str, paths):
        for folder, _, files in os.walk(path):
            total += os.lstat(folder).st_blocks * 512
            total += sum(os.lstat(os.path.join(folder, one)).st_blocks for one in files) * 512
        if not os.path.isdir(path):
            total += os.lstat(path).st_blocks * 512
    return total


def test_one_image(case: Case) -> None:
    found = report(case, "one:1")
    (image,) = found["images"]
    assert image["name"] == "one:1"
    assert image["image_id"] == case.image_one
    assert found["commands"] == [["docker", "image", "rm", "one:1"]]
    # Its own layer and its config, but not the base that the other has, too.
    assert found["freed"] >= usage(case.folder(), case.config())
    both = report(case, "one:1", "two:1")
    assert both["images"][0]["freed"] == found["freed"]
    assert both["freed"] > 2 * found["freed"]
    assert report(case, "*:1")["freed"] == both["freed"]
    assert report(case, "*:1", "--except", "two:*") == found
    assert report(case, case.image_one[7:15]) == found


def test_without_a_choice_it_is_about_images_without_a_name(case: Case) -> None:
    assert report(case)["images"] == []
    layer = case.store.layer(case.base, File("three", size=30_000))
    nameless = case.store.image([case.base, layer])
    (image,) = report(case)["images"]
    assert image == {"name": "", "names": [], "image_id": nameless, "freed": image["freed"]}
    assert report(case, "--unnamed")["commands"] == [["docker", "image", "rm", nameless]]
    assert len(report(case, "--unused")["images"]) == 3


def test_the_table_and_markdown(case: Case) -> None:
    lines = reclaim(case, "*").text.splitlines()
    assert lines[0].split() == ["FREED", "TOGETHER", "ID", "IMAGE"]
    assert [line.split()[-1] for line in lines[1:3]] == ["one:1", "two:1"]
    assert lines[-2:] == ["To remove the images:", "  docker image rm one:1 two:1"]
    text = reclaim(case, "*", "--format", "markdown").text
    assert "    docker image rm one:1 two:1" in text.splitlines()
    assert text.count("| `one:1` |") == 1


def test_so_much_as_is_needed(case: Case) -> None:
    assert len(report(case, "--need", "1")["images"]) == 1
    done = report(case, "--need", "1GiB", warnings=1)
    assert len(done["images"]) == 2
    told = reclaim(case, "--need", "1G", warnings=1).lines[0]
    assert told.startswith("layerscan: warning: there is not that much: ")


def test_what_a_container_uses_stays(case: Case) -> None:
    container = case.store.container(case.one, File("written", size=50_000))
    container_config(case.store.root, container, Name="/web", Image=case.image_one)
    log = os.path.join("containers", container, f"{container}-json.log")
    add(case.store.root, File(log, size=20_000))
    add(case.store.root, File("volumes/lost one/_data/f", size=10_000))
    found = report(case, "*", warnings=1)
    assert [one["name"] for one in found["images"]] == ["two:1"]
    warning = reclaim(case, "one:1", warnings=1).lines[0]
    assert warning == "layerscan: warning: one:1: a container uses it, so it stays"
    without = run_here(
        *("reclaim", "-d", case.store.root, "*", "--containers", "stopped", "--format", "json")
    )
    assert without.status == 0
    document = json.loads(without.out)
    Draft202012Validator(SCHEMA).validate(document)
    assert document["containers"] == ["web"]
    assert document["commands"][0] == ["docker", "container", "rm", "web"]
    assert document["freed"] > found["freed"] + 50_000
    beside = {one["what"]: one for one in document["beside"]}
    assert beside["volumes that no container uses"]["commands"] == [
        ["docker", "volume", "rm", "lost one"]
    ]
    assert beside["logs of containers"]["freed"] == 20_480
    assert "docker volume rm 'lost one'" in reclaim(case, "two:1").text


def test_older_than(case: Case) -> None:
    for image, days in ((case.image_one, 10), (case.image_two, 1)):
        when = time.gmtime(time.time() - 86_400 * days)
        updated = time.strftime("%Y-%m-%dT%H:%M:%SZ", when).encode()
        folder = os.path.join(case.store.root, "image/overlay2/imagedb/metadata/sha256")
        with open(f"{folder}/{image.removeprefix('sha256:')}/lastUpdated", "wb") as file:
            file.write(updated)
    assert [one["name"] for one in report(case, "--older-than", "9d")["images"]] == ["one:1"]
    assert report(case, "--older-than", "11d")["images"] == []


def test_an_image_that_is_not_there(case: Case) -> None:
    done = run_here("reclaim", "-d", case.store.root, "three:1")
    assert done.status == 2
    assert done.lines == [f"layerscan: error: {case.store.root}: there is no image three:1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("4096", 4096), ("20GiB", 20 << 30), ("1.5G", 3 << 29), ("7 MB", 7 << 20)],
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("2m", 120), ("1w", 604_800)])
def test_spans(text: str, expected: int) -> None:
    assert span(text) == expected


@pytest.mark.parametrize("options", [("--need", "much"), ("--need", "-1"), ("--older-than", "1y")])
def test_what_is_no_size_and_no_time(case: Case, options: tuple[str, ...]) -> None:
    done = run_here("reclaim", "-d", case.store.root, *options)
    assert done.status == 2


def test_scan_says_what_reclaim_says(case: Case) -> None:
    layer = case.store.layer(case.base, File("three", size=30_000))
    nameless = case.store.image([case.base, layer])
    container = case.store.container(case.one)
    container_config(case.store.root, container, Name="/web", Image=case.image_one)
    done = run_here("scan", "-d", case.store.root, "--all", "--format", "json")
    images = {one["image_id"]: one for one in json.loads(done.out)["images"]}
    assert {one: images[one]["in_container"] for one in images} == {
        case.image_one: True,
        case.image_two: False,
        nameless: False,
    }
    layers = {one["chain_id"]: one["usage"] for one in json.loads(done.out)["layers"]}
    assert images[case.image_one]["own"] == 0
    assert images[case.image_two]["own"] == layers[case.two.chain_id]
    assert images[nameless]["own"] == layers[layer.chain_id]
    table = run_here("scan", "-d", case.store.root).text
    assert [
        line for line in table.splitlines() if line.endswith("one:1 (+1) (a container keeps it)")
    ]
