"""``layerscan df``: where every byte of a store is."""

import argparse

from layerscan.cli.html_option import add_html_argument, check_html, write_page
from layerscan.cli.options import add_threads_argument, whole_number
from layerscan.cli.output import complain, is_for_people
from layerscan.cli.report_file import (
    add_partial_argument,
    add_report_file_argument,
    check_report_file,
    may_write,
    report_to,
)
from layerscan.cli.status import ExitStatus
from layerscan.cli.store_options import add_store_arguments, opened_store

HELP = "where every byte of a store is, and who holds it"
DESCRIPTION = """Walk all of an image store and say who holds every byte of it: images,
containers, volumes, the build cache, and what nobody refers to any more.

Nothing is ever removed. Beside a running engine this is safe: what an engine
may still be about to use is 'transient' or 'unclear', not 'unreferenced'."""
EPILOG = """examples:
  sudo layerscan df
  sudo layerscan df --list unreferenced
  sudo layerscan df --format prometheus
  sudo layerscan df --html store.html
"""

_FORMATS = ("table", "json", "markdown", "prometheus")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from layerscan.stores.holdings import Category

    store = parser.add_argument_group("the store")
    add_store_arguments(store)
    add_threads_argument(store)
    add = parser.add_argument
    add(
        "--list",
        metavar="CATEGORY",
        choices=[str(one) for one in Category],
        help="everything of this category, with its paths: " + ", ".join(Category),
    )
    number = whole_number("number of items", 0)
    add("--top", metavar="N", type=number, default=5, help="of each, how many (default: 5)")
    add("--sort", choices=["usage", "name", "age"], default="usage", help="(default: usage)")
    age = whole_number("number of seconds", 0)
    meaning = "what was changed since is not called unreferenced (default: 300)"
    add("--min-age", metavar="SECONDS", type=age, default=300, help=meaning)
    add("--format", choices=_FORMATS, default="table", help="(default: table)")
    add_report_file_argument(parser, "-o", "--out-file")
    add_partial_argument(parser, "write that file although something could not be read")
    add_html_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.df_report import print_ledger
    from layerscan.cli.progress import ScanProgress
    from layerscan.ledger.stocktaking import take_stock

    check_report_file(options.report_file)
    check_html(options.html, options.report_file or "-")
    options.summary.begin("walk")
    store = opened_store(options)
    with ScanProgress(shown=is_for_people()) as progress:
        ledger = take_stock(
            store,
            min_age=options.min_age,
            threads=options.threads,
            on_progress=progress.update if progress.shown else None,
        )
    options.summary.begin("report")
    if may_write(options.report_file, ledger.problems, options):
        with report_to(options.report_file):
            print_ledger(
                ledger, options.format, category=options.list, most=options.top, order=options.sort
            )
    if options.html is not None:
        from layerscan.cli.page.of_ledger import page_of_ledger

        write_page(options.html, page_of_ledger(ledger, store.images()))
    complain("warning", *ledger.notes)
    if ledger.vanished:
        complain("warning", f"{ledger.vanished:,} entries were removed while this ran")
    complain("error", *map(str, ledger.problems))
    return ExitStatus.PARTIAL if ledger.problems else ExitStatus.DONE
