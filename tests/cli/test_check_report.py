"""The answer of ``layerscan check``, cell by cell and line by line, of verdicts made here."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from layerscan.cli.check_report import print_report
from layerscan.fit.deletions import Deletion
from layerscan.fit.verdict import (
    Bundle,
    InodeNeed,
    Limit,
    Missing,
    Others,
    Rule,
    Space,
    Verdict,
)
from layerscan.ledger.reclaim import Reclaim, Removed
from layerscan.stores.holdings import Category, Holding
from tests.builders.rendered import rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
TOTAL = 1000
SCHEMA = json.loads(
    resources.files("layerscan").joinpath("schemas", "check.schema.json").read_text()
)


def space(required: int, available: int, **more: Any) -> Space:  # noqa: ANN401 - fields of it
    given: dict[str, Any] = {
        "volume": "data",
        "purposes": ("store", "docker"),
        "total": TOTAL,
        "least": required,
    }
    return Space(**given | {"required": required, "available": available} | {"free": 900} | more)


def verdict(*spaces: Space, limit: Limit = Limit(80), **more: Any) -> Verdict:  # noqa: ANN401, B008
    found = Verdict("composectl", "arm64", limit, {"app": Rule.METADATA}, spaces, (), (), None, ())
    return found._replace(**more)


def lines(capsys: pytest.CaptureFixture[str], found: Verdict) -> list[str]:
    """What is printed for people, with one blank in place of several."""
    print_report(found, "text", device="d", warnings=())
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def below(heading: str, printed: Sequence[str]) -> list[str]:
    """The rows of the table whose headings begin so."""
    first = next(number for number, line in enumerate(printed) if line.startswith(heading))
    rest = printed[first + 1 :]
    return list(rest[: rest.index("")])


def test_volumes_that_fit_and_that_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    printed = lines(
        capsys,
        verdict(
            space(500, 500, reserved=100, app="shop"),
            space(501, 500, reserved=100, volume="disk", purposes=("layers",)),
        ),
    )
    assert below("REQUIRED AVAILABLE RESERVED TOTAL FITS FOR VOLUME", printed) == [
        "500 B 500 B 100 B 1000 B yes blobs and layers of shop data",
        "50.00 % 50.00 % 10.00 %",
        "501 B 500 B 100 B 1000 B no content of layers disk",
        "50.10 % 50.00 % 10.00 %",
    ]
    assert printed[-3:] == [
        "layers missing: 0, download: 0 B",
        "disk: 1 B would have to be freed",
        "does not fit: app for arm64 (composectl, watermark 80 %)",
    ]


def test_volume_without_a_size_has_no_percentages(capsys: pytest.CaptureFixture[str]) -> None:
    printed = lines(capsys, verdict(space(0, 0, reserved=0, total=0)))
    assert printed[1:] == [
        "0 B 0 B 0 B 0 B yes blobs and layers data",
        "",
        "layers missing: 0, download: 0 B",
        "fits: app for arm64 (composectl, watermark 80 %)",
    ]


def test_archives_that_fit_and_that_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    bundles = (Bundle("small", 300, 300), Bundle("large", 302, 300))
    printed = lines(capsys, verdict(space(1, 1, reserved=0), bundles=bundles))
    assert below("REQUIRED AVAILABLE FITS ARCHIVE OF APP", printed) == [
        "300 B 300 B yes small",
        "302 B 300 B no large",
    ]
    assert printed[-2:] == [
        "large: its archive does not fit in the store of Apps: 2 B would have to be freed",
        "does not fit: app for arm64 (composectl, watermark 80 %)",
    ]


def test_missing_layers_come_by_what_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    missing = (
        Missing(A, 10, 100, estimated=True),
        Missing(B, 20, 300, estimated=False),
        Missing(C, 30, 100, estimated=False),
    )
    found = verdict(space(1, 1, reserved=0), missing=missing[::-1], others=Others(3, 7))
    printed = lines(capsys, found)
    assert below("ARCHIVE SIZE USAGE RULE MISSING LAYER", printed) == [
        f"20 B 300 B metadata {'b' * 12}",
        f"10 B 100 B estimate {'a' * 12}",
        f"30 B 100 B metadata {'c' * 12}",
    ]
    assert printed[-2] == "layers missing: 3, other blobs missing: 3, download: 67 B"


def test_other_blobs_are_told_where_some_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    found = verdict(space(1, 1, reserved=0))
    for others, told in (
        (Others(0, 0), "layers missing: 0, download: 0 B"),
        (Others(1, 5), "layers missing: 0, other blobs missing: 1, download: 5 B"),
    ):
        assert lines(capsys, found._replace(others=others))[-2] == told


@pytest.mark.parametrize(
    ("least", "more"),
    [
        (600, ""),
        (599, "; 99 B in the best case"),
        (501, "; 1 B in the best case"),
        (500, "; it may also fit, if layers come slowly"),
        (499, "; it may also fit, if layers come slowly"),
    ],
)
def test_what_would_have_to_be_freed(
    capsys: pytest.CaptureFixture[str], least: int, more: str
) -> None:
    found = verdict(space(600, 500, reserved=0, least=least))
    assert lines(capsys, found)[-2] == f"data: 100 B would have to be freed{more}"


def test_bytes_are_to_be_freed_for_an_app(capsys: pytest.CaptureFixture[str]) -> None:
    found = verdict(space(600, 500, reserved=0, app="shop"))
    assert lines(capsys, found)[-2] == "data: 100 B would have to be freed for shop"


@pytest.mark.parametrize("free", [1999, 2000])
def test_inodes_that_are_too_few(capsys: pytest.CaptureFixture[str], free: int) -> None:
    found = verdict(space(1, 1, reserved=0, inodes=InodeNeed(2000, free)))
    printed = lines(capsys, found)
    told = [line for line in printed if "inodes" in line]
    too_few = "data: 2,000 inodes are needed, and 1,999 are free: too few, whatever the bytes"
    assert told == ([too_few] if free < 2000 else [])
    answer = "does not fit" if free < 2000 else "fits"
    assert printed[-1] == f"{answer}: app for arm64 (composectl, watermark 80 %)"


def test_several_apps_and_what_is_set_aside(capsys: pytest.CaptureFixture[str]) -> None:
    apps = {"shop": Rule.METADATA, "ki\nosk": Rule.ESTIMATE}
    found = verdict(space(1, 1, reserved=0), limit=Limit(80, 2048), rules=apps)
    assert lines(capsys, found)[-1] == (
        "fits: shop, ki\\nosk for arm64 (composectl, 2.0 KiB reserved)"
    )


def test_same_facts_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    found = verdict(
        space(600, 500, reserved=100, least=400, app="shop", inodes=InodeNeed(3, 2)),
        bundles=(Bundle("shop", 9, 8),),
        missing=(Missing(A, 10, 100, estimated=True),),
        others=Others(3, 7),
        limit=Limit(80, 2048),
    )
    print_report(found, "json", device="d", warnings=("w",))
    assert json.loads(capsys.readouterr().out) == {
        "fits": False,
        "policy": "composectl",
        "architecture": "arm64",
        "watermark": None,
        "reserved_storage": 2048,
        "device": "d",
        "apps": [{"app": "app", "rule": "metadata"}],
        "volumes": [
            {
                "volume": "data",
                "app": "shop",
                "purposes": ["store", "docker"],
                "fits": False,
                "required": {"bytes": 600, "percent": 60.0},
                "required_at_least": {"bytes": 400, "percent": 40.0},
                "free": {"bytes": 900, "percent": 90.0},
                "reserved": {"bytes": 100, "percent": 10.0},
                "available": {"bytes": 500, "percent": 50.0},
                "total": {"bytes": 1000, "percent": 100.0},
                "left": {"bytes": 0, "percent": 0.0},
                "to_free": {"bytes": 100, "percent": 10.0},
                "inodes": {"required": 3, "free": 2},
            }
        ],
        "bundles": [{"app": "shop", "fits": False, "required": 9, "available": 8}],
        "missing_layers": [{"digest": A, "archive_size": 10, "usage": 100, "rule": "estimate"}],
        "missing_others": {"blobs": 3, "size": 7},
        "download": 17,
        "delete": None,
        "warnings": ["w"],
    }


def test_what_could_go(capsys: pytest.CaptureFixture[str]) -> None:
    image = Holding(
        "image:a",
        Category.IMAGES,
        "shop:1",
        names=("shop:1", "shop@sha256:00"),
        image_id=A,
        tool=("docker", "image", "rm"),
    )
    found = verdict(space(600, 500, reserved=0))
    reclaim = Reclaim((Removed((image,), 2048),), (), 0)
    for suffices, end in ((True, "it would fit"), (False, "still too little")):
        print_report(
            *(found, "text"), device="d", warnings=(), deletion=Deletion(reclaim, "data", suffices)
        )
        printed = capsys.readouterr().out.splitlines()
        assert printed[-2] == f"without these, 2.0 KiB more would be free: {end}"
        assert "FREED  ID            IMAGE THAT THE UPDATE DOES NOT NEED" in printed[-5]
        assert printed[-4].split() == ["2.0", "KiB", A[7:19], "shop:1"]
    nothing = Deletion(Reclaim((), (), 0), "data", suffices=False)
    print_report(found, "text", device="d", warnings=(), deletion=nothing)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2] == "no image could be removed: a container or the update needs each"
    print_report(
        *(found, "json"), device="d", warnings=(), deletion=Deletion(reclaim, "data", suffices=True)
    )
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(SCHEMA).validate(document)
    assert document["delete"] == {
        "suffices": True,
        "volume": "data",
        "freed": 2048,
        "images": [{"names": ["shop:1", "shop@sha256:00"], "image_id": A, "freed": 2048}],
        "commands": [["docker", "image", "rm", "shop:1"]],
    }


def test_markdown_says_the_answer_first(capsys: pytest.CaptureFixture[str]) -> None:
    image = Holding("image:a", Category.IMAGES, "shop:1", names=("shop:1",), image_id=A)
    deletion = Deletion(Reclaim((Removed((image,), 2048),), (), 0), "data", suffices=True)
    missing = (Missing(A, 10, 100, estimated=True),)
    hostile = "<b>*data*</b>|"
    found = verdict(space(600, 500, reserved=0, volume=hostile), missing=missing)
    print_report(found, "markdown", device="d", warnings=(), deletion=deletion)
    text = capsys.readouterr().out
    assert text.startswith("**Does not fit**: ")
    shown = rendered(text)
    assert f"{hostile}: 100" in shown.text
    assert {hostile, "no", "blobs and layers", "600 B", "estimate", A, "2.0 KiB", "shop:1"} <= {
        *shown.cells
    }
    print_report(verdict(space(100, 500, reserved=0)), "markdown", device="d", warnings=())
    text = capsys.readouterr().out
    assert text.startswith("**Fits**: app for arm64 (composectl, watermark 80 %)\n")
