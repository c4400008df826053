"""``--html`` of scan and df: the file that is written, what is in it, and when there is none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import layerscan
from layerscan.cli.page import building, looking
from layerscan.cli.page.rendering import page
from layerscan.digest import sha256
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.ledger_case import HEX, container_config
from tests.builders.overlay2_case import Case
from tests.builders.page_case import MARK, PageStore, large_page
from tests.cli_runner import Result, error, run_here
from tests.docs.reader import code, section, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerscan.stores.holdings import Holdings

NPM = "971f374ce9fdbec711eb2358003e2bb755bff22ec6852dc5ebd59f987270db64"
"""The hash of d3-hierarchy 3.1.3's ``dist/d3-hierarchy.min.js``, as npm gives it."""

MOST_BYTES = 60_000
"""Of a page with next to no data."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("page") / "docker")
    PageStore(root)
    return root


def df(root: str, *options: object) -> Result:
    return run_here("df", "-d", root, "--min-age", 0, *options)


def scan(root: str, *options: object) -> Result:
    return run_here("scan", "-d", root, "--all", *options)


def shown(text: str) -> dict[str, Any]:
    """The data of a page."""
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text)
    data: dict[str, Any] = json.loads(found)
    return data


def page_of(done: Result) -> str:
    assert done.status == 0, done.lines
    assert done.lines == []
    return done.text


def df_page(root: str) -> str:
    return page_of(df(root, "--html", "-", "-o", os.devnull))


def scan_page(root: str) -> str:
    return page_of(scan(root, "--html", "-", "--report-file", os.devnull))


@pytest.mark.parametrize("made", [df_page, scan_page])
def test_it_is_one_document_that_names_no_url_and_runs_only_its_own_script(
    root: str, made: Callable[[str], str]
) -> None:
    text = made(root)
    assert not re.search(r"https?://", text, re.IGNORECASE)
    assert "evil.example" in text
    document, _, script = text.partition("<script id")
    data, _, _ = script.partition("</script>")
    assert not re.search(r"<(?:a|link|img|iframe)\b|href=|src=", document)
    assert not {"<", "&"} & {*data.partition(">")[2]}
    assert MARK in data
    assert MARK not in text.replace(data, "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "unsafe" not in policy[1]
    assert "{{" not in text
    # Its author's licence goes with the script.
    assert "Permission to use, copy, modify, and/or distribute this software" in text
    assert "Mike Bostock" in text


@pytest.mark.parametrize("made", [df_page, scan_page])
def test_it_says_what_made_it_and_adds_up(root: str, made: Callable[[str], str]) -> None:
    data = shown(made(root))
    about = data["about"]
    assert about["version"] == layerscan.__version__
    assert about["host"] == os.uname().nodename
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", about["made"])
    assert about["root"] == root
    assert sum(one["usage"] for one in data["things"]) == data["total"]
    for one in data["categories"]:
        things = [thing for thing in data["things"] if thing["category"] == one["category"]]
        assert sum(thing["usage"] for thing in things) == one["usage"]


def test_a_shared_layer_is_there_once_with_how_many_share_it(root: str) -> None:
    for made in (df_page, scan_page):
        data = shown(made(root))
        (debian,) = [one for one in data["things"] if one.get("step") == "ADD debian.tar.xz in /"]
        assert debian["images"] == 6
        assert "holder" not in debian
        assert debian["digest"].startswith("sha256:")
        assert debian["size"] == (900 + 600 + 700 + 250) * 1024
        (node,) = [one for one in data["things"] if one.get("step") == "RUN apt-get install nodejs"]
        assert data["holders"][node["holder"]]["label"].endswith("fleet/kiosk:3")
        assert "images" not in node or node["images"] == 1


def test_files_of_a_layer_are_named(root: str) -> None:
    things = shown(scan_page(root))["things"]
    (node,) = [one for one in things if one.get("step") == "RUN apt-get install nodejs"]
    (usr,) = node["files"]
    assert usr[0] == "usr/"
    assert {one[0] for one in usr[2]} == {"bin/", "lib/"}
    assert usr[1] <= node["usage"]


def test_what_is_cut_is_said(root: str) -> None:
    with (
        mock.patch.object(building, "_MOST_THINGS", 1),
        mock.patch.object(looking, "_MOST_THINGS", 3),
        mock.patch.object(looking, "_MOST_ENTRIES", 4),
    ):
        data = shown(df_page(root))
    more = {one["category"]: one["number"] for one in data["more"]}
    assert more == {"images": 2, "containers": 1, "volumes": 2, "engine": 2}
    assert sum(one["usage"] for one in data["things"] + data["more"]) == data["total"]
    assert "2 smaller things of volumes are drawn as one" in data["cut"]
    assert "folders and files are listed of the 3 largest things only" in data["cut"]
    assert "it has more than 4 entries" in {one.get("unlisted") for one in data["things"]}


def test_a_hard_link_from_elsewhere_is_no_reason_to_show_more_than_there_is(
    tmp_path: Path,
) -> None:
    case = Case.build(tmp_path / "docker")
    for layer in (case.one, case.two):
        big = case.store.folder_path(layer, "diff", "big")
        if layer is case.one:
            with open(big, "wb") as file:
                file.write(b"x" * 50_000)
            first = big
        else:
            os.link(first, big)
    data = shown(df_page(case.store.root))
    files = [one for one in data["things"] if one.get("unlisted")]
    assert [one["unlisted"] for one in files] == ["it shares files with others"]


def test_an_image_that_a_container_uses_cannot_be_chosen(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    container_config(case.store.root, HEX, Name="/web", Image=case.image_one)
    for made in (df_page, scan_page):
        kept = {
            one["label"].rpartition("/")[2]: one.get("kept", "")
            for one in shown(made(case.store.root))["holders"]
            if one["category"] == "images"
        }
        assert kept == {"one:1": "a container uses it", "two:1": ""}


def test_a_step_of_a_build_goes_with_the_image_that_was_built_on_it(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    step = case.store.image([case.base], extra={"step": 1})
    case.store.image([case.base, case.one], names=["three:1"], parent=step, extra={"step": 2})
    kept = {
        one["image_id"]: one.get("kept", "") for one in shown(scan_page(case.store.root))["holders"]
    }
    assert kept.pop(step) == "another image was built on it"
    assert {*kept.values()} == {""}


def test_an_image_that_went_meanwhile_has_no_record(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    holdings = Overlay2Store.holdings

    def without_one(store: Overlay2Store) -> Holdings:
        found = holdings(store)
        left = (one for one in found.holdings if case.image_one not in (one.key, one.image_id))
        return found._replace(holdings=tuple(left))

    with mock.patch.object(Overlay2Store, "holdings", without_one):
        data = shown(scan_page(case.store.root))
    kept = [one["kept"] for one in data["holders"] if one["image_id"] == case.image_one]
    assert kept == ["the store has no record of it any more"]
    assert sum(one["usage"] for one in data["things"]) == data["total"]


def test_it_is_written_beside_the_report_and_whole(root: str, tmp_path: Path) -> None:
    for command in (df, scan):
        file = tmp_path / "page.html"
        done = command(root, "--html", file, "--format", "json")
        assert done.status == 0
        assert json.loads(done.out)
        assert file.read_text().endswith("</html>\n")
        assert os.listdir(tmp_path) == ["page.html"]
        file.unlink()
    done = scan(root, "--html", tmp_path / "page.html", "-o", tmp_path / "meta.json")
    assert done.status == 0
    assert done.out == b""
    assert (tmp_path / "page.html").exists()


def test_what_cannot_be_written_is_refused_before_the_work(root: str, tmp_path: Path) -> None:
    with mock.patch("layerscan.cli.df.opened_store", side_effect=AssertionError):
        done = df(root, "--html", tmp_path)
        assert done.lines == [error(f"{tmp_path}: is a directory; --html takes a file")]
        done = df(root, "--html", "")
        assert done.lines == [error("--html takes the name of a file, not an empty one")]
        both = error("--html - and the report both want stdout: give one of them a file")
        assert df(root, "--html", "-").lines == [both]
    assert scan(root, "--html", "-").lines == [both]
    assert scan(root, "--html", "-", "-o", "-").lines == [both]
    same = tmp_path / "same"
    done = scan(root, "--html", same, "-o", same)
    assert done.lines == [error(f"{same}: --html and another output want the same file")]
    assert done.status == 2


def test_a_partial_scan_writes_none_unless_that_is_allowed(tmp_path: Path) -> None:
    case = Case.build(tmp_path / "docker")
    case.config().write_text("{")
    file = tmp_path / "page.html"
    done = scan(case.store.root, "--html", file)
    assert done.status == 3
    assert not file.exists()
    assert done.lines[-1] == error(
        f"{file} is not written, since something could not be read; --allow-partial writes what "
        "could"
    )
    done = scan(case.store.root, "--html", file, "--allow-partial")
    assert done.status == 3
    (problem,) = shown(file.read_text())["problems"]
    assert "config" in problem or "imagedb" in problem
    file.unlink()
    # df has told as much as there is, and the page begins with what it lacks.
    assert df(case.store.root, "--html", file).status == 3
    assert shown(file.read_text())["problems"]


def test_the_script_of_others_is_as_its_registry_gave_it() -> None:
    parts = resources.files("layerscan").joinpath("cli", "page")
    script = parts.joinpath("d3-hierarchy.min.js").read_bytes()
    (table,) = tables(
        section("docs/reference/dependencies.md", "In the page of `--html`"), "script"
    )
    ((name, version, *_),) = table.rows
    assert code(name) == "d3-hierarchy"
    assert f"v{version} ".encode() in script[:80]
    assert sha256(script) == f"sha256:{NPM}"


def test_it_is_small() -> None:
    assert len(page(large_page(1, 1))) < MOST_BYTES
    data = large_page()
    assert len(page(data)) - len(json.dumps(data.plain())) < 200_000
    assert len(page(data)) < 1_500_000


def test_nothing_of_it_is_loaded_without_the_option(root: str) -> None:
    code = (
        "import sys; from layerscan import cli; cli.main(sys.argv[1:]);"
        "assert not [name for name in sys.modules if 'cli.page' in name or 'largest' in name]"
    )
    for command in ("scan", "df"):
        subprocess.run(
            [sys.executable, "-c", code, command, "-d", root], check=True, capture_output=True
        )
