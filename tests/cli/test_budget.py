"""What has grown since an earlier scan, and budgets that are exceeded."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from layerscan.cli.tables import human
from tests.builders.overlay2 import StoreBuilder
from tests.builders.rendered import rendered
from tests.builders.tree import File
from tests.cli_runner import Result, run_here

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = json.loads(
    resources.files("layerscan").joinpath("schemas", "scan.schema.json").read_text()
)
MIB = 1 << 20


class Release:
    """Two releases of a store, and the report of the first."""

    def __init__(self, folder: Path) -> None:
        self.old_store = StoreBuilder(folder / "old")
        self.new_store = StoreBuilder(folder / "new")
        self.report = folder / "old.json"
        for store, web, tag in ((self.old_store, 1, "1042"), (self.new_store, 3, "1043")):
            base = store.layer(None, File("base", size=2 * MIB, seed=1))
            store.image([base], names=["base:1"])
            shop = store.layer(base, File("shop", size=web * MIB, seed=web))
            store.image([base, shop], names=[f"registry.example/fleet/shop:{tag}"])
        gone = self.old_store.layer(None, File("gone", size=MIB, seed=7))
        self.old_store.image([gone], names=["gone:1"])
        fresh = self.new_store.layer(None, File("fresh", size=4 * MIB, seed=8))
        self.new_store.image([fresh], names=["fresh:1"])
        done = scan(self.old_store, "--format", "json", "--report-file", self.report)
        assert (done.status, done.out) == (0, b"")

    def compared(self, *options: object, status: int = 0) -> dict[str, Any]:
        done = self.scan(*options, "--format", "json")
        assert done.status == status, done.lines
        found: dict[str, Any] = json.loads(done.out)
        Draft202012Validator(SCHEMA).validate(found)
        return found

    def scan(self, *options: object) -> Result:
        return scan(self.new_store, "--compare", self.report, *options)


def scan(store: StoreBuilder, *options: object) -> Result:
    done = run_here("scan", "-d", store.root, *options)
    done.lines[:] = [line for line in done.lines if ": warning: " not in line]
    return done


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(tmp_path_factory.mktemp("release"))


def test_what_has_grown(release: Release) -> None:
    growth = release.compared()["growth"]
    by_name = {one["names"][0]: one for one in growth["images"]}
    assert by_name["base:1"]["growth"] == 0
    # The tag is new, the repository is the same.
    shop = by_name["registry.example/fleet/shop:1043"]
    assert 0 <= shop["growth"] - 2 * MIB < 4096
    assert shop["before"] > 3 * MIB
    assert (by_name["fresh:1"]["before"], by_name["fresh:1"]["growth"]) == (None, None)
    assert [one["names"] for one in growth["gone_images"]] == [["gone:1"]]
    assert [len(growth[key]) for key in ("new_layers", "gone_layers")] == [2, 2]
    old = json.loads(release.report.read_text())
    now = release.compared()
    assert growth["usage"] == now["totals"]["usage"] - old["totals"]["usage"]
    assert growth["since"] == str(release.report)


def test_tables_and_the_line_below_say_it(release: Release) -> None:
    images, layers, ending = release.scan("--sort", "growth").text.split("\n\n")
    head, *rows = images.splitlines()
    assert head.split()[2] == "GREW"
    names = [row.split()[-1] for row in rows]
    assert names == ["fresh:1", "registry.example/fleet/shop:1043", "base:1"]
    assert "  new  " in rows[0]
    assert "  +2.0 MiB  " in rows[1]
    assert "  0 B  " in rows[2]
    assert layers.splitlines()[0].split()[2] == "GREW"
    line = ending.splitlines()[1]
    assert line.startswith(f"since {release.report}: +5.0 MiB; new layers: 2 (7.")
    assert line.endswith("images gone: 1")


def test_no_budget_is_no_verdict(release: Release) -> None:
    assert "exceeded" not in release.compared()
    assert "growth" not in json.loads(scan(release.new_store, "--format", "json").out)


@pytest.mark.parametrize(
    ("options", "exceeding"),
    [
        (["--max-usage", "6MiB"], []),
        (["--max-usage", "4.5MiB"], [("registry.example/fleet/shop:1043", "usage")]),
        (["--max-usage", "all=6MiB"], [(None, "usage")]),
        (["--max-usage", "all=20MiB", "--max-usage", "20MiB"], []),
        (["--max-growth", "3MiB"], [("fresh:1", "growth")]),
        (["--max-growth", "all=4MiB"], [(None, "growth")]),
        (["--max-growth", "all=500%"], []),
        # What is new had nothing of which a part could be taken.
        (["--max-growth", "10%"], [("registry.example/fleet/shop:1043", "growth")]),
        (["--max-growth", "all=10 %"], [(None, "growth")]),
        (["--max-growth", "100%"], []),
    ],
)
def test_budgets(
    release: Release, options: list[str], exceeding: list[tuple[str | None, str]]
) -> None:
    found = release.compared(*options, status=1 if exceeding else 0)
    assert [(one["image"], one["what"]) for one in found["exceeded"]] == exceeding
    for one in found["exceeded"]:
        assert one["found"] > one["allowed"]
        assert one["origin"] == options[0]


def test_a_budget_names_images_in_full_too(tmp_path: Path, release: Release) -> None:
    (tmp_path / "b.toml").write_text('[[image]]\nname = "docker.io/library/fresh:*"\nusage = 1\n')
    found = release.compared("--budget", tmp_path / "b.toml", status=1)
    assert [one["image"] for one in found["exceeded"]] == ["fresh:1"]


def test_a_limit_may_be_reached(release: Release) -> None:
    usage = release.compared()["totals"]["usage"]
    assert release.scan("--max-usage", f"all={usage}").status == 0
    done = release.scan("--max-usage", f"all={usage - 1}")
    assert done.status == 1
    taken = human(usage)
    what = f"all images together take {taken}, 1 B more than the {taken} of --max-usage"
    assert done.lines == [f"layerscan: error: {what}"]


def test_a_file_of_budgets(release: Release, tmp_path: Path) -> None:
    budget = tmp_path / "budget.toml"
    budget.write_text(
        '[all]\ngrowth = "1%"\n[[image]]\nname = "registry.example/*"\nusage = "1MiB"\n'
        '[[image]]\nname = "registry.*"\nusage = 99999999\ngrowth = "1GiB"\n'
        '[[image]]\nname = "lost*"\nusage = 1\n'
    )
    done = run_here(
        *("scan", "-d", release.new_store.root, "--compare", release.report, "--budget", budget)
    )
    assert done.status == 1
    assert f"layerscan: warning: {budget}, image[2]: no image has a name like lost*" in done.lines
    errors = [line for line in done.lines if ": error: " in line]
    origins = [line.rpartition(" of ")[2] for line in errors]
    assert origins == [f"{budget}, all", f"{budget}, image[0]"]
    assert errors[0].startswith("layerscan: error: all images together grew by 5.0 MiB, ")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[", "is not TOML: "),
        ("\xff", "is not TOML: "),
        ("budget = 1", "$.budget: is not a key here; all and image are"),
        ("all = 1", "$.all: must be an object"),
        ("[all]", "$.all: needs a usage or a growth"),
        ("[all]\nusage = '5 apples'", "$.all: '5 apples' is not a size"),
        ("[all]\nusage = -5", "$.all: '-5' is not a size"),
        ("[all]\ngrowth = true", "$.all: 'True' is not a growth"),
        ("[all]\nname = 'x'\nusage = 1", "$.all.name: is not a key here"),
        ("[image]\nname = 'x'", "$.image: must be a list of tables: [[image]]"),
        ("[[image]]\nusage = 1", "$.image[0]: needs a name"),
        ("[[image]]\nname = 'x'", "$.image[0]: needs a usage or a growth"),
        ("[[image]]\nname = 'x'\nsize = 1", "$.image[0].size: is not a key here"),
    ],
)
def test_a_budget_that_cannot_be_read(
    release: Release, tmp_path: Path, text: str, fault: str
) -> None:
    (tmp_path / "budget.toml").write_bytes(text.encode("latin-1"))
    done = release.scan("--budget", tmp_path / "budget.toml")
    assert done.status == 2
    (line,) = done.lines
    assert line.startswith(f"layerscan: error: {tmp_path}/budget.toml: {fault}")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--max-growth", "5%"], "--max-growth: growth since when? give the earlier report"),
        (["--sort", "growth"], "--sort growth needs --compare"),
        (["--compare", "/nowhere/x.json"], "/nowhere/x.json: cannot be read"),
        (["--max-usage", "much"], "argument --max-usage: 'much' is not a size"),
        (["--max-usage", "all="], "argument --max-usage: '' is not a size"),
        (["--max-growth", "-5%"], "argument --max-growth: "),
    ],
)
def test_what_cannot_be_asked(release: Release, options: list[str], fault: str) -> None:
    done = scan(release.new_store, *options)
    assert (done.status, done.out) == (2, b"")
    assert fault in done.lines[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda report: report.pop("totals"),
        lambda report: report["totals"].update(usage=-1),
        lambda report: report.update(images={}),
        lambda report: report["images"][0].update(names=[1]),
        lambda report: report["images"][0].pop("os"),
        lambda report: report["layers"][0].update(usage="much"),
        lambda report: report.update(accounting="exact"),
    ],
)
def test_a_report_that_is_none(release: Release, tmp_path: Path, damage: Any) -> None:  # noqa: ANN401 - a lambda
    report = json.loads(release.report.read_text())
    damage(report)
    (tmp_path / "x.json").write_text(json.dumps(report))
    done = scan(release.new_store, "--compare", tmp_path / "x.json")
    assert (done.status, done.out, len(done.lines)) == (2, b"", 1)
    assert done.lines[0].startswith(f"layerscan: error: {tmp_path}/x.json: ")


def test_what_is_compared_with_what(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "store")
    layer = store.layer(None, File("f", size=MIB))
    other = store.layer(None, File("g", size=2 * MIB))
    third = store.layer(None, File("h", size=3 * MIB))
    store.image([layer], names=["many:1"])
    store.image([other], names=["many:2"])
    store.image([third], names=["renamed:1"])
    scan(store, "--format", "json", "--report-file", tmp_path / "old.json")
    again = StoreBuilder(tmp_path / "again")
    again.image([again.layer(None, File("f", size=MIB, seed=9))], names=["many:3"])
    again.image([again.layer(None, File("h", size=3 * MIB))], names=["now/called:else"])
    large = again.layer(None, File("g", size=5 * MIB))
    again.image([large], names=["many:2"], architecture="arm64")
    found = json.loads(scan(again, "--compare", tmp_path / "old.json", "--format", "json").out)
    before = {one["names"][0]: one["before"] for one in found["growth"]["images"]}
    # Of many there were two, and the one for another platform is another one.
    assert before["many:3"] is None
    assert before["many:2"] is None
    assert before["now/called:else"] > 3 * MIB
    assert [one["names"] for one in found["growth"]["gone_images"]] == [["many:2"], ["many:1"]]


def test_the_document_is_written_and_the_report_too(release: Release, tmp_path: Path) -> None:
    paths = [tmp_path / "meta.json", tmp_path / "report.md"]
    options = ("--format", "markdown", "--max-usage", "1")
    done = release.scan("-o", paths[0], "--report-file", paths[1], *options)
    assert (done.status, done.out) == (1, b"")
    assert json.loads(paths[0].read_text()).keys() == {"fs_block_size", "layers"}
    text = paths[1].read_text()
    assert text.startswith("**Over budget**: ")
    shown = rendered(text)
    assert "registry.example/fleet/shop:1043" in shown.cells
    assert "+2.0 MiB" in shown.cells


def test_what_cannot_be_read_goes_before_a_budget(tmp_path: Path) -> None:
    release = Release(tmp_path)
    store = release.new_store
    broken = store.image([store.layer(None, File("b", size=10))], names=["broken:1"])
    with open(store.config_path(broken), "w", encoding="utf-8") as config:
        config.write("{")
    assert release.scan("--max-usage", "1").status == 3
