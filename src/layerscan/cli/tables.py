"""Tables and figures for people, as all reports print them.

A table is aligned text: figures first, so that they are in sight however narrow the
terminal is, then short words, and last what may be long.
"""

import os
import sys
from collections.abc import Sequence

from layerscan.cli.output import may_be_coloured, may_be_styled
from layerscan.text import is_harmless, printable

_SHORT = 12  # hex digits of a digest in a table, as Docker shows them

_KIB = 1024
_LARGEST = 1023.95  # what is less is no 1024.0 of its unit when it is rounded to one decimal

_GAP = "  "
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"

# Columns that a terminal has for the last cell, or else columns are left out; however narrow
# it is, so many characters of a long name are shown.
_NAME, _LEAST_NAME = 24, 12


class Table:
    """A table under construction: columns of figures, aligned to the right, and then of text.

    Long cells of the last column of text are shortened to what is left of a terminal's line.
    Before that the columns that can be `spared` are left out, those named first before others.
    """

    def __init__(
        self, figures: Sequence[str], texts: Sequence[str], *, spared: Sequence[str] = ()
    ) -> None:
        self._figures = len(figures)
        self._rows = [(*figures, *texts)]
        self._spared = spared
        self._ending = ""

    def add(self, *cells: str) -> None:
        """Add a row. What the cells hold, stores and registries said: it is escaped."""
        # One look at the whole row is enough for nearly all.
        if not is_harmless("".join(cells)):
            cells = tuple(printable(cell, longest=None) for cell in cells)
        self._rows.append(cells)

    def end(self, text: str) -> None:
        """What its last line says, under all columns."""
        self._ending = text

    def lines(self, width: int | None = None) -> list[str]:
        """Its lines, headings first, of at most `width` columns; None shortens nothing."""
        columns = list(zip(*self._rows, strict=True))
        last = columns.pop() if self._figures < len(columns) else None
        aligned = {
            column[0]: _aligned(column, to_right=number < self._figures)
            for number, column in enumerate(columns)
        }
        if last is not None:
            most = sys.maxsize
            if width is not None:
                needed = min(max(map(_width, last)), _NAME)
                most = max(self._room(aligned, width, needed), _LEAST_NAME)
            aligned[last[0]] = [_shortened(cell, most) for cell in last]
        lines = [_GAP.join(cells).rstrip() for cells in zip(*aligned.values(), strict=True)]
        return [*lines, self._ending] if self._ending else lines

    def _room(self, aligned: dict[str, list[str]], width: int, needed: int) -> int:
        """Columns that are left for the last, once others are left out if it `needed` that."""

        def left() -> int:
            return width - sum(_width(column[0]) + len(_GAP) for column in aligned.values())

        for heading in self._spared:
            if left() >= needed:
                break
            aligned.pop(heading, None)
        return left()


def print_tables(*tables: Table) -> None:
    """Print tables on stdout, an empty line after each."""
    width = _terminal_width() if may_be_styled(sys.stdout) else None
    is_bold = may_be_coloured(sys.stdout)
    for table in tables:
        headings, *rows = table.lines(width)
        print(f"{_BOLD}{headings}{_PLAIN}" if is_bold else headings, *rows, "", sep="\n")


def _terminal_width() -> int | None:
    try:
        # A terminal that does not know it says 0.
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def _aligned(cells: Sequence[str], *, to_right: bool) -> list[str]:
    if "".join(cells).isascii():
        widest = max(map(len, cells))
        return [cell.rjust(widest) if to_right else cell.ljust(widest) for cell in cells]
    widths = [_width(cell) for cell in cells]
    widest = max(widths)
    blanks = (" " * (widest - width) for width in widths)
    pairs = zip(cells, blanks, strict=True)
    return [blank + cell if to_right else cell + blank for cell, blank in pairs]


def _width(text: str) -> int:
    """The columns of a terminal that `text` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def _shortened(text: str, most: int) -> str:
    """`text` in `most` columns without its middle: names differ at both ends, by host and tag."""
    # No character takes more than two columns.
    if len(text) <= most // 2 or _width(text) <= most:
        return text
    end = (most - 1) // 2
    start = most - 1 - end
    while _width(text[:start]) > most - 1 - end:
        start -= 1
    left = end
    while _width(text[-left:]) > end:
        left -= 1
    return f"{text[:start]}…{text[-left:]}"


def human(count: int) -> str:
    """`count` bytes for people, in binary units with one decimal."""
    if count < _KIB:
        return f"{count} B"
    size = float(count)
    unit = ""
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):  # noqa: B007 - used after the loop
        size /= _KIB
        if size < _LARGEST:
            break
    return f"{size:.1f} {unit}"


def human_change(count: int) -> str:
    """A change by `count` bytes for people, with its sign."""
    return f"{'-' if count < 0 else '+'}{human(abs(count))}" if count else human(0)


def counted(number: int, things: str) -> str:
    """So many `things`, which is their plural: ``1 image``, ``1,234 images``."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def moment(seconds: float | None) -> str:
    """A time since the epoch in UTC, as RFC 3339 has it; empty for None."""
    if seconds is None:
        return ""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""  # what a file says of itself may be of no year that there is


def short(digest: str) -> str:
    """The beginning of a digest."""
    return digest.removeprefix("sha256:")[:_SHORT]
