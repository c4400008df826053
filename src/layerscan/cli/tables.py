"""Tables and figures for people, as all reports print them."""

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerscan.text import printable

if TYPE_CHECKING:
    from rich.table import Table

_SHORT = 12
"""Hex digits of a digest in a table, as Docker shows them."""

_KIB = 1024

_WIDEST_TABLE = 10_000
"""Characters of a line; a name has at most some 900."""


def new_table(texts: Sequence[str], numbers: Sequence[str]) -> "Table":
    """An empty table: columns of text, then columns of numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, no_wrap=True, justify="right")
    return table


def add_row(table: "Table", *cells: str) -> None:
    """Add a row to a table. What the cells hold, stores and registries said: it is escaped."""
    table.add_row(*(printable(cell, longest=None) for cell in cells))


def print_tables(*tables: "Table") -> None:
    """Print tables on stdout, an empty line after each."""
    from rich.console import Console

    # Printed here, not by rich, which ends the program in its own way if stdout
    # is a pipe that nobody reads any more.
    text = io.StringIO()
    # Never narrower than its content: a terminal wraps a long line, rich would
    # cut names and leave out figures. What a store says is text, not markup.
    console = Console(
        file=text,
        force_terminal=sys.stdout.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
        width=_WIDEST_TABLE,
        soft_wrap=True,
    )
    for table in tables:
        console.print(table)
        console.print()
    print(text.getvalue(), end="")


def human(count: int) -> str:
    """`count` bytes for people, in binary units with one decimal."""
    if count < _KIB:
        return f"{count} B"
    size = float(count)
    unit = ""
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):  # noqa: B007 - used after the loop
        size /= _KIB
        if round(size, 1) < _KIB:
            break
    return f"{size:.1f} {unit}"


def short(digest: str) -> str:
    """The beginning of a digest."""
    return digest.removeprefix("sha256:")[:_SHORT]
