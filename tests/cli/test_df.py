"""``layerscan df``: tables, JSON, Markdown and metrics of the same ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.builders.ledger_case import HEX, add
from tests.builders.overlay2_case import Case
from tests.builders.rendered import rendered
from tests.builders.tree import File
from tests.cli_runner import Result, run_here

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = json.loads(resources.files("layerscan").joinpath("schemas", "df.schema.json").read_text())

HOSTILE = "a\n\x1b[31m|<script>`*_"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    case = Case.build(tmp_path_factory.mktemp("df") / "docker")
    root = case.store.root
    add(root, File(f"overlay2/{HEX}/diff/f", size=100_000))
    for number in range(7):
        add(root, File(f"volumes/v{number}/_data/f", size=4096 * (number + 1)))
    add(root, File(f"volumes/{HOSTILE}/_data/f", size=90_000))
    return root


def df(root: str, *options: object) -> Result:
    done = run_here("df", "-d", root, "--min-age", "0", *options)
    assert done.status == 0, done.lines
    assert done.lines == []
    return done


def report(root: str, *options: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(df(root, *options, "--format", "json").out)
    Draft202012Validator(SCHEMA).validate(found)
    return found


def test_the_json_adds_up(root: str) -> None:
    found = report(root)
    du = subprocess.run(["du", "-skx", root], check=True, capture_output=True)
    assert found["total"] == int(du.stdout.split()[0]) * 1024
    assert sum(one["usage"] for one in found["categories"].values()) == found["total"]
    assert sum(one["usage"] for one in found["items"]) == found["total"]
    for name, one in found["categories"].items():
        items = [item for item in found["items"] if item["category"] == name]
        assert one["usage"] == sum(item["usage"] for item in items)
        assert one["freeable"] <= one["usage"]
    usages = [one["usage"] for one in found["items"]]
    assert usages == sorted(usages, reverse=True)
    assert found["roots"] == [root]
    (disk,) = found["disks"]
    assert disk["roots"] == [root]
    assert disk["usage"] == found["total"] <= disk["used"]
    assert found["categories"]["volumes"]["count"] == 8
    (lost,) = [one for one in found["items"] if one["category"] == "unreferenced"]
    assert lost["paths"] == [os.path.join(root, "overlay2", HEX)]
    assert "names this folder" in lost["reason"]
    assert lost["since"].endswith("+00:00")


def of_volumes(table: str) -> list[str]:
    """The lines of volumes: in this column, not by this name."""
    return re.findall(r"^ *[0-9.]+ \w+ +volumes +(.*)$", table, re.MULTILINE)


def test_the_table(root: str) -> None:
    sums, items, disk = df(root).text.split("\n\n")
    heads = sums.splitlines()[0].split()
    assert heads == ["USAGE", "IN", "USE", "FREEABLE", "NUMBER", "HOLDER"]
    found = report(root)
    for line in sums.splitlines()[1:-1]:
        name = line.split("  ")[-1].replace(" ", "_")
        assert f"{found['categories'][name]['count']:,}" in line
    assert sums.splitlines()[-1].endswith("total")
    # Of each kind the five largest.
    assert len(of_volumes(items)) == 5
    assert disk.startswith(f"disk of {root}: ")
    assert "\x1b" not in items


@pytest.mark.parametrize(("options", "count"), [((), 5), (("--top", 0), 0), (("--top", 9), 8)])
def test_as_many_of_each_as_are_asked_for(
    root: str, options: tuple[object, ...], count: int
) -> None:
    assert len(of_volumes(df(root, *options).text.split("\n\n")[1])) == count


def test_all_of_one_kind(root: str) -> None:
    lines = df(root, "--list", "volumes", "--sort", "name").text.splitlines()
    assert lines[0].split() == ["USAGE", "CHANGED", "HOLDER", "PATH"]
    paths = [line.split("  ")[-1] for line in lines[1:9]]
    assert paths[0].startswith(f"{root}/volumes/a\\n\\x1b[31m|<script>`*_")
    assert paths[1:] == [f"{root}/volumes/v{number} (v{number})" for number in range(7)]
    found = report(root, "--list", "volumes", "--sort", "name")
    assert {one["category"] for one in found["items"]} == {"volumes"}
    names = [one["name"] for one in found["items"]]
    assert names == sorted(names)
    assert HOSTILE in names


def test_markdown_shows_names_as_they_are(root: str) -> None:
    text = df(root, "--format", "markdown").text
    shown = rendered(text)
    assert "volumes" in shown.cells
    assert any(r"a\n\x1b[31m|<script>`*_" in cell for cell in shown.cells)
    ours = {"p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert shown.tags <= ours | {"details", "summary"}


def test_metrics(root: str) -> None:
    lines = df(root, "--format", "prometheus").text.splitlines()
    found = report(root)
    for name, one in found["categories"].items():
        label = f'{{kind="overlay2",root="{root}",category="{name}"}}'
        for metric, key in (("usage", "usage"), ("in_use", "in_use"), ("freeable", "freeable")):
            assert f"layerscan_store_{metric}_bytes{label} {one[key]}" in lines
    assert any(line.startswith(f'layerscan_disk_used_bytes{{root="{root}"}} ') for line in lines)
    metrics = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert metrics == {line.partition("{")[0] for line in lines if not line.startswith("#")}


def test_no_file_is_written_of_what_could_not_be_read(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    case.config().write_bytes(b"{}")
    path = tmp_path / "store.prom"
    for command in ("df", "reclaim"):
        form = ("--format", "json")
        done = run_here(command, "-d", case.store.root, "-o", path, *form)
        assert (done.status, done.out, path.exists()) == (3, b"", False)
        assert any(f"{path} is not written, since" in line for line in done.lines)
        done = run_here(command, "-d", case.store.root, "-o", path, *form, "--allow-partial")
        assert done.status == 3
        assert json.loads(path.read_text())
        path.unlink()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    case.config().write_bytes(b"{}")
    done = run_here("df", "-d", case.store.root)
    assert done.status == 3
    assert any(str(case.config()) in line for line in done.lines)
    assert any("leaves open who holds the rest" in line for line in done.lines)


def test_no_store(tmp_path: Path) -> None:
    for command in (["df"], ["reclaim", "x"]):
        done = run_here(*command, "-d", tmp_path / "none")
        assert done.status == 2
        assert len(done.lines) == 1
