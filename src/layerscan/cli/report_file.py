"""Reports that go into a file: written whole or not at all, as node_exporter needs them."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from layerscan.cli.output import check_out_file, complain, is_stdout, write_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerscan.cli.options import Arguments


def add_report_file_argument(parser: "Arguments", *names: str) -> None:
    """Declare where the report goes."""
    meaning = "write the report there, not on stdout"
    parser.add_argument(*names, dest="report_file", metavar="FILE", help=meaning)


@contextmanager
def report_to(path: str | None) -> Iterator[None]:
    """What is printed on stdout meanwhile goes into the file `path`, whole or not at all.

    Into no file for None and ``-``.
    """
    if path is None or is_stdout(path):
        yield
        return
    text = StringIO()
    with redirect_stdout(text):
        yield
    write_data(path, text.getvalue().encode("utf-8", "backslashreplace"))


def check_report_file(path: str | None) -> None:
    """Refuse what cannot be written, before the work."""
    if path is not None:
        check_out_file(path)


def may_write(path: str | None, problems: "Sequence[object]", options: argparse.Namespace) -> bool:
    """Whether a report goes to `path`; what lacks something goes into no file, and that is told."""
    if path is None or is_stdout(path) or not problems or options.allow_partial:
        return True
    complain_not_written(path, "something could not be read")
    return False


def complain_not_written(path: str, why: str) -> None:
    """Say that a file is not written."""
    complain("error", f"{path} is not written, since {why}; --allow-partial writes what could")


def add_partial_argument(parser: "Arguments", meaning: str) -> None:
    """Declare ``--allow-partial``."""
    parser.add_argument("--allow-partial", action="store_true", help=meaning)
