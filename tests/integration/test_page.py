"""The page of ``--html`` in a browser: what is seen, what it adds up to, and what it may not do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.cli.page.rendering import page
from layerscan.cli.tables import human
from layerscan.ledger.reclaim import ImageChoice, Reclaimer
from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from tests.builders.page_case import HOSTILE_VOLUME, PageStore, large_page
from tests.cli_runner import run_here
from tests.engines.chromium import Chromium, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine

EVERYTHING = "everything"
MOST_MILLISECONDS = 1000
"""For 300 images with 3,000 layers: as the page promises."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    root = str(folder / "docker")
    PageStore(root)
    for command, options in (("df", ("--min-age", 0)), ("scan", ("--all",))):
        done = run_here(
            command, "-d", root, *options, "--format", "json", "--html", folder / f"{command}.html"
        )
        assert done.status == 0, done.lines
        (folder / f"{command}.json").write_bytes(done.out)
    return folder


@pytest.fixture(autouse=True)
def nothing_goes_wrong(browser: Chromium) -> Iterator[None]:
    browser.console()
    yield
    assert browser.console() == []
    assert browser.run("return window.hit") is None


def report(pages: Path, command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pages / f"{command}.json").read_text())
    return found


def show_everything(browser: Chromium) -> None:
    browser.run(
        "const view = document.getElementById('view'); view.value = arguments[0];"
        "view.dispatchEvent(new Event('change'))",
        EVERYTHING,
    )


def rows(browser: Chromium, *columns: str) -> list[tuple[Any, ...]]:
    """Cells of the table: figures as bytes, others as text."""
    found = browser.run(
        """return [...document.querySelectorAll("#table tbody tr")].map(row =>
          arguments[0].map(name => {
            const cell = row.querySelector(`[data-column="${name}"]`);
            const part = cell.querySelector("data") || cell.querySelector("span");
            return part ? part.value ?? part.textContent : cell.textContent;
          }))""",
        columns,
    )
    return [
        tuple(int(one) if name in ("usage", "size", "gives back") and one else one
              for name, one in zip(columns, row, strict=True))
        for row in found
    ]  # fmt: skip


def test_the_figures_of_df_are_those_of_its_json(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "df.html")
    found = report(pages, "df")
    (total,) = browser.texts("#title data")
    assert total == human(found["total"])
    for name, one in found["categories"].items():
        card = f"#kinds [data-kind={name}]"
        if not one["usage"]:
            continue
        figures = {
            part: browser.run(
                "return document.querySelector(arguments[0])?.value ?? '0'", f"{card} {selector}"
            )
            for part, selector in (
                ("usage", "button > data"),
                ("freeable", ".freeable data"),
                ("in_use", ".in-use data"),
            )
        }
        assert {part: int(value) for part, value in figures.items()} == {
            part: one[part] for part in figures
        }
        assert browser.texts(f"{card} .count")[0].split()[0] == str(one["count"])
    show_everything(browser)
    items = [(one["category"].replace("_", " "), one["usage"]) for one in found["items"]]
    assert sorted(rows(browser, "kind", "usage")) == sorted(items)
    tree = browser.run("return picture.trail[0]")
    assert added_up(tree) == found["total"]


def added_up(node: dict[str, Any]) -> int:
    """What the leaves of a tree take together: of each node what it takes itself."""
    if "children" not in node:
        return int(node["usage"])
    total = sum(map(added_up, node["children"]))
    assert total == node["usage"], node["name"]
    return total


def test_the_figures_of_scan_are_those_of_its_json(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "scan.html")
    found = report(pages, "scan")
    assert browser.texts("#title data") == [human(found["totals"]["usage"])]
    assert added_up(browser.run("return picture.trail[0]")) == found["totals"]["usage"]
    images = [
        (one["image_id"].removeprefix("sha256:")[:12], one["usage"], one["own"])
        for one in found["images"]
    ]
    assert sorted(rows(browser, "id", "usage", "gives back")) == sorted(images)
    show_everything(browser)
    layers = [
        (one["usage"], one["size"], f"{one['images']:,}", one["step"]) for one in found["layers"]
    ]
    shown = [row for row in rows(browser, "usage", "size", "images", "why") if row[1] != ""]
    assert sorted(row[:3] for row in shown) == sorted(row[:3] for row in layers)
    assert "RUN apt-get install python3" in {row[3] for row in shown}


def test_what_images_give_back_is_what_reclaim_says(browser: Chromium, pages: Path) -> None:
    root = str(pages / "docker")
    browser.open(pages / "df.html")
    shown = [row[0] for row in rows(browser, "image")]
    possible = [name for name, one in zip(shown, boxes(browser), strict=True) if one.is_enabled()]
    assert "registry.example/fleet/vision:1" in set(shown) - set(possible)
    items = take_stock(open_store("overlay2", root)).items
    vision, api, kiosk = (
        f"registry.example/fleet/{one}" for one in ("vision:2", "api:7", "kiosk:3")
    )
    for chosen in ([vision], [api], [api, kiosk], [vision, api, kiosk], possible):
        for name, box in zip(shown, boxes(browser), strict=True):
            if box.is_selected() != (name in chosen):
                browser.click(box)
        told = Reclaimer(items).remove(ImageChoice(names=tuple(chosen)))
        assert len(told.removed) == len(chosen)
        assert int(browser.one("#freed data").get_attribute("value") or -1) == told.freed > 0
    assert browser.all("#map .freed")
    browser.click(browser.one("#clear"))
    assert not browser.one("#chosen").is_displayed()
    assert not browser.all("#map .freed")


def boxes(browser: Chromium) -> list[Any]:
    return browser.all("tbody input")


def test_removing_one_image_after_the_other_is_the_same_in_any_order(
    browser: Chromium, pages: Path
) -> None:
    for command in ("df", "scan"):
        browser.open(pages / f"{command}.html")
        own = browser.run(
            "return data.holders.filter(canGo).map(one => [one.own || 0, removal(one.roots).bytes])"
        )
        assert own
        assert all(told == found for told, found in own)


def test_names_are_text_whatever_is_in_them(browser: Chromium, pages: Path) -> None:
    for command in ("df", "scan"):
        browser.open(pages / f"{command}.html")
        show_everything(browser)
        visit(browser)
        assert browser.run("return document.images.length") == 0
        assert browser.all("svg, a, iframe, object, link, [href], [src]") == []
        assert browser.run("return document.scripts.length") == 2
    browser.open(pages / "df.html")
    show_everything(browser)
    names = browser.texts("#table tbody th")
    assert HOSTILE_VOLUME in names
    seen = json.dumps(browser.run("return data.things.map(one => one.files || [])"))
    for text in ("<img src=x onerror=window.hit = 1>", r"\\xff\\xfe", r"turned \\u202e round"):
        assert text in seen
    visible = " ".join(browser.texts("body *"))
    assert not {"\u202e", "\u2028", "\x1b", "\x00"} & {*visible}


def visit(browser: Chromium) -> None:
    """Look at every node of the picture once, and at what is said of it."""
    browser.run(
        """const all = (node, trail) => {
          picture.go([...trail, node]);
          for (const tile of picture.tiles) showTip(tile.node, tile.element);
          for (const child of node.children || []) all(child, [...trail, node]);
        };
        all(picture.trail[0], []); picture.go([picture.trail[0]]);"""
    )


def test_the_table_sorts_and_filters(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "df.html")
    show_everything(browser)
    usages = [row[0] for row in rows(browser, "usage")]
    assert usages == sorted(usages, reverse=True)
    heads = {one.text.strip(" ▲▼"): one for one in browser.all("thead button")}
    browser.click(heads["usage"])
    assert [row[0] for row in rows(browser, "usage")] == sorted(usages)
    assert browser.all("thead th[aria-sort=ascending]")[0].text.startswith("usage")
    browser.click(heads["name"])
    names = [row[0] for row in rows(browser, "name")]
    assert names == sorted(names)
    browser.one("#filter").send_keys("PYTHON3 run")
    assert {row[0] for row in rows(browser, "why")} == {"RUN apt-get install python3"}
    assert browser.texts("#number") == [f"1 of {len(usages)}"]
    browser.one("#filter").clear()
    browser.one("#filter").send_keys("nothing has this name")
    assert rows(browser, "name") == []


def test_the_picture_is_usable_by_keyboard(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "df.html")
    browser.run("document.querySelector('#path button').focus()")
    browser.press("TAB")
    first = browser.focused()
    assert first.startswith("images, ")
    assert browser.one("#tip").is_displayed()
    browser.press("ARROW_DOWN")
    assert browser.focused() != first
    browser.press("ARROW_UP", "ENTER")
    path = browser.texts("#path button")
    assert path[1:] == ["images"]
    browser.press("ENTER")
    deeper = browser.texts("#path button")
    assert len(deeper) == 3
    browser.press("ENTER", "ENTER")
    assert len(browser.texts("#path button")) == 5
    browser.press("ESCAPE", "ESCAPE", "ESCAPE")
    assert browser.texts("#path button") == path
    browser.press("ESCAPE", "ESCAPE")
    assert len(browser.texts("#path button")) == 1
    # The picture is one stop of the Tab key, and what comes next is the table's.
    browser.press("TAB", "TAB")
    assert browser.run("return document.activeElement.id") == "filter"


@pytest.mark.parametrize("command", ["df", "scan"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False)])
def test_it_fits_and_can_be_read(
    browser: Chromium, pages: Path, tmp_path: Path, command: str, width: int, *, dark: bool
) -> None:
    browser.open(pages / f"{command}.html", width=width, dark=dark)
    # To be looked at: in a folder of the caller's, if there is one.
    folder = os.environ.get("PAGE_PICTURES", tmp_path)
    browser.picture((tmp_path / folder).joinpath(f"{command}-{width}-{dark}.png"))
    assert browser.run("return document.documentElement.scrollWidth") <= width
    light = browser.run(
        """const parts = getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g);
        return parts.reduce((sum, one) => sum + Number(one), 0) / 3"""
    )
    assert (light < 60) == dark
    assert browser.run(CONTRAST) >= 4.5
    # What is drawn lies in what it belongs to, and does not lie on its neighbours.
    assert browser.run(OVERLAPS) == 0


CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(Number).map((one) => {
    const part = one / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
return Math.min(...[...document.querySelectorAll("#map .tile, #map .box")].map((one) => {
  const style = getComputedStyle(one), [dim, bright] =
    [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
  return (bright + 0.05) / (dim + 0.05);
}));
"""
"""The least contrast of text and ground, by WCAG 2.2."""

OVERLAPS = """
const tiles = [...document.querySelectorAll("#map .tile")]
  .map((one) => one.getBoundingClientRect());
let number = 0;
tiles.forEach((a, place) => tiles.slice(place + 1).forEach((b) => {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  number += width > 0.6 && height > 0.6;
}));
return number;
"""


def test_it_prints(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "df.html")
    browser.emulate(media="print")
    assert not browser.one("#controls").is_displayed()
    assert browser.one("#map").is_displayed()
    assert browser.one("#table").is_displayed()
    assert browser.one("#made").text.startswith("Made by layerscan ")


def test_three_hundred_images_are_drawn_at_once(browser: Chromium, tmp_path: Path) -> None:
    data = large_page()
    file = tmp_path / "large.html"
    file.write_bytes(page(data))
    browser.open(file)
    assert browser.run("return performance.now()") < MOST_MILLISECONDS * 3
    least = min(
        browser.run(
            "const start = performance.now(); picture.draw(); map.getBoundingClientRect();"
            "return performance.now() - start"
        )
        for _ in range(3)
    )
    assert least < MOST_MILLISECONDS
    assert added_up(browser.run("return picture.trail[0]")) == data.total
    assert len(rows(browser, "image")) == 200
    browser.click(browser.one("#more"))
    assert len(rows(browser, "image")) == 300
