"""Markdown for a CI job's summary or a pull request: short, and never too long for one.

What stores and registries say shows as it is: nothing of it is markup, a link or a mention.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from layerscan.text import printable

_MOST = 60_000  # bytes in all: less than GitHub and GitLab take
_SHOWN = 10  # rows of a table that are not folded away
_LONGEST_CELL = 100
_LONGEST_LINE = 1000
# Words and figures; what else there is could be markup, or be taken for a link or a mention.
_PLAIN = re.compile(r"(?:[0-9A-Za-z](?:[0-9A-Za-z ,()+%/=-]|(?<=[0-9])\.(?=[0-9]))*)?")
_TICKS = re.compile("`+")


class MarkdownTable(NamedTuple):
    """A table, the most important rows first."""

    title: str  # of what, in the plural
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    number: int  # of rows that there are, also those that `rows` leaves out


def markdown_text(text: str, longest: int = 500) -> str:
    """Text that shows as it is, whatever reads the Markdown: as code, if need be."""
    text = printable(text, longest=longest)
    if _PLAIN.fullmatch(text):
        return text
    fence = "`" * (max(map(len, _TICKS.findall(text)), default=0) + 1)
    blank = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def markdown_code(lines: Iterable[str]) -> list[str]:
    """Lines that show as they are typed."""
    # Four blanks: there is no sign that a line could have to end it.
    return [f"    {line}" for line in lines]


def summary(
    answer: Iterable[str], listings: Iterable[MarkdownTable], ending: Iterable[str] = ()
) -> str:
    """The lines of an answer, and tables: of each ten rows, and the others folded.

    Lines are Markdown; of what does not fit, a table says how many rows it lacks.
    """
    lines = _Lines(_MOST)
    for line in answer:
        lines.add(line, "")
    for listing in listings:
        _add(lines, listing)
    ending = list(ending)
    if ending:
        lines.add(*ending, "")
    return lines.text()


class _Lines:
    """Lines, of at most so many bytes."""

    def __init__(self, most: int) -> None:
        self._lines: list[str] = []
        self._left = most

    def add(self, *lines: str, spare: int = 0) -> bool:
        """Add lines if they fit, and `spare` bytes after them; whether they do."""
        needed = sum(len(line.encode("utf-8", "backslashreplace")) + 1 for line in lines)
        if needed + spare > self._left:
            return False
        self._left -= needed
        self._lines += lines
        return True

    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)


def _add(lines: _Lines, listing: MarkdownTable) -> None:
    """Add a table, so far as it fits."""
    if not listing.rows:
        return
    first, others = listing.rows[:_SHOWN], listing.rows[_SHOWN:]
    shown = _add_rows(lines, listing.heads, first)
    if shown and others:
        fold = f"<details><summary>{len(others):,} more {listing.title}</summary>"
        if lines.add("", fold, "", spare=_LONGEST_LINE):
            shown += _add_rows(lines, listing.heads, others)
            lines.add("", "</details>")
    missing = listing.number - shown
    if missing > 0:
        lines.add("", f"{missing:,} {listing.title} are not shown.")
    lines.add("")


def _add_rows(lines: _Lines, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Add a table's rows, so far as they fit; how many."""
    number = 0
    # Room for what ends the table, and begins the next.
    if not lines.add(*_heading(heads), spare=_LONGEST_LINE):
        return 0
    for row in rows:
        cells = (markdown_text(cell, _LONGEST_CELL).replace("|", "\\|") for cell in row)
        if not lines.add(f"| {' | '.join(cells)} |", spare=_LONGEST_LINE):
            break
        number += 1
    return number


def _heading(heads: Sequence[str]) -> Iterator[str]:
    words = [head if not head.isupper() else head.capitalize() for head in heads]
    yield f"| {' | '.join(words)} |"
    yield f"|{' --- |' * len(heads)}"
