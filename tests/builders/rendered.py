"""Markdown as a reader of pull requests sees it, by the rules of CommonMark and GitHub's tables."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

from markdown_it import MarkdownIt


class RenderedMarkdown(NamedTuple):
    text: str  # all of it, without markup
    tags: set[str]
    cells: list[str]  # of tables
    folded: str  # the text that is shown only when it is asked for


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.text = self.folded = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs, (tag, attrs)
        self.tags.add(tag)
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data
        if "details" in self.open:
            self.folded += data


def rendered(markdown: str) -> RenderedMarkdown:
    """What becomes of `markdown`, in which HTML and links are allowed, as GitHub allows them."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader = _Reader()
    reader.feed(renderer.render(markdown))
    assert not reader.open
    return RenderedMarkdown(reader.text, reader.tags, reader.cells, reader.folded)
