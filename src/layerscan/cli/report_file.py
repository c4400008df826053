"""Reports that go into a file: written whole or not at all, as node_exporter needs them."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from layerscan.cli.output import check_out_file, is_stdout, write_data

if TYPE_CHECKING:
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
