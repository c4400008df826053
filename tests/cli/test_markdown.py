"""Reports as Markdown: short enough, and nothing in them is markup but ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.cli.markdown import MarkdownTable, markdown_code, markdown_text, summary
from layerscan.text import printable
from tests.builders.rendered import rendered

OURS = {"p", "strong", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"}

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</summary></details>",
    "a|b",
    "a`b``c",
    "`",
    "``a``",
    "\\|",
    "a\\",
    "**bold** _it_ ~~no~~",
    "[link](https://example.com)",
    "https://example.com",
    "www.example.com",
    "@someone #12 !",
    "&amp;&lt;",
    "line\nend\r\n\n# heading",
    "\x1b[31m\u202e",
    " blanks ",
    "1. one",
    "- list",
    "---",
    "\udcff",
]


def table(rows: list[list[str]], number: int | None = None) -> MarkdownTable:
    return MarkdownTable("things", ["NAME"] * len(rows[0]), rows, number or len(rows))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_shows_as_it_is(text: str) -> None:
    shown = rendered(summary([markdown_text(text)], [table([[text, "end"]])]))
    assert shown.tags <= OURS
    assert shown.cells[2:] == [printable(text).strip(), "end"]
    assert printable(text).strip() in shown.text


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_whatever_a_cell_holds_it_shows_as_it_is(cells: list[str]) -> None:
    shown = rendered(summary(["x"], [table([cells])]))
    assert shown.tags <= OURS
    # Blanks at the ends of code are not shown where there are some at both.
    expected = [printable(cell).strip() for cell in cells]
    assert [cell.strip() for cell in shown.cells[len(cells) :]] == expected


def test_the_answer_comes_first_and_ten_rows_are_not_folded() -> None:
    rows = [[str(number), "x"] for number in range(30)]
    text = summary(["**answer**"], [table(rows)], ["ending"])
    shown = rendered(text)
    assert text.startswith("**answer**\n")
    assert text.rstrip().endswith("ending")
    numbers = [cell for cell in shown.cells if cell.isdigit()]
    assert numbers == [str(number) for number in range(30)]
    assert "20 more things" in shown.folded
    assert [cell for cell in numbers if f"\n{cell}\n" not in shown.folded] == numbers[:10]


def test_rows_that_were_left_out_are_counted() -> None:
    text = summary(["x"], [table([["1", "2"]] * 4, number=9)])
    assert "5 things are not shown." in text


@pytest.mark.parametrize("width", [1, 80, 2000])
def test_it_is_never_too_long(width: int) -> None:
    rows = [[f"{number}" + "\N{SNOWMAN}|" * width, "end"] for number in range(5000)]
    listings = [table(rows), table(rows), table([["1", "2"]])]
    answer = ["**answer**", *[markdown_text("y" * width)] * 500]
    text = summary(answer, listings, markdown_code(["z" * width] * 500))
    assert len(text.encode()) < 60_000
    shown = rendered(text)
    assert shown.tags <= OURS | {"details", "summary"}
    assert text.count("<details>") == text.count("</details>")
    assert "things are not shown." in text
