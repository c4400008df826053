"""The option ``--html``: a page of its own beside the report."""

import os
from typing import TYPE_CHECKING

from layerscan.cli.output import check_out_file, is_stdout, write_data
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from layerscan.cli.options import Arguments
    from layerscan.cli.page.model import PageData


def add_html_argument(parser: "Arguments") -> None:
    """Declare ``--html``."""
    meaning = "write a page to look at there: one file that needs nothing else"
    parser.add_argument("--html", metavar="FILE", help=meaning)


def check_html(path: str | None, *others: str | None) -> None:
    """Refuse what cannot be written before the work, and what one of the `others` writes, too.

    An output that is ``-`` goes to stdout; None stands for no output.
    """
    if path is None:
        return
    check_out_file(path, "--html")
    for other in filter(None, others):
        if is_stdout(path) and is_stdout(other):
            raise LayerscanError(
                f"--html {path} and the report both want stdout: give one of them a file"
            )
        if not is_stdout(other) and os.path.realpath(path) == os.path.realpath(other):
            raise LayerscanError(f"{path}: --html and another output want the same file")


def write_page(path: str, data: "PageData") -> None:
    """Write the page, whole or not at all; ``-`` is stdout."""
    from layerscan.cli.page.rendering import page

    write_data(path, page(data))
