"""``layerscan reclaim``: what removing images would give back."""

import argparse
from time import time
from typing import TYPE_CHECKING

from layerscan.cli.amounts import size, span
from layerscan.cli.markdown import MarkdownTable, markdown_code, summary
from layerscan.cli.options import add_threads_argument
from layerscan.cli.output import complain, is_for_people, print_json
from layerscan.cli.report_file import (
    add_partial_argument,
    add_report_file_argument,
    check_report_file,
    may_write,
    report_to,
)
from layerscan.cli.status import ExitStatus
from layerscan.cli.store_options import add_store_arguments, opened_store
from layerscan.cli.tables import Table, human, print_tables, short
from layerscan.errors import LayerscanError
from layerscan.reference import hint_at_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerscan.ledger.reclaim import Beside, ImageChoice, Reclaim, Reclaimer

HELP = "what removing images would give back"
DESCRIPTION = """Say how many bytes of disk come back if images are removed: what no other
image, container or build cache keeps. Layerscan removes nothing itself; it
prints the engine's commands that do it.

Without IMAGE or a choice below it is about every image that has no name."""
EPILOG = """examples:
  sudo layerscan reclaim 'registry.example/ci/*:2024-*'
  sudo layerscan reclaim --unused --older-than 30d --except 'example/base:*'
  sudo layerscan reclaim --need 20GiB
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    image = "a name, a pattern of names as in a shell, or the beginning of an id"
    add("images", metavar="IMAGE", nargs="*", help=image)
    choice = parser.add_argument_group("which images")
    add = choice.add_argument
    add("--unnamed", action="store_true", help="those without a name")
    add("--unused", action="store_true", help="those that no container uses")
    add("--older-than", metavar="TIME", type=span, help="made before that: 30d, 12h")
    add("--except", dest="excepted", metavar="IMAGE", action="append", default=[], help="not these")
    need = "as many as give that much back, of those that no container uses, the oldest first"
    add("--need", metavar="SIZE", type=size, help=need)
    add("--containers", choices=["stopped"], help="remove the containers that do not run first")
    store = parser.add_argument_group("the store")
    add_store_arguments(store)
    add_threads_argument(store)
    formats = ["table", "json", "markdown"]
    parser.add_argument("--format", choices=formats, default="table", help="(default: table)")
    add_report_file_argument(parser, "-o", "--out-file")
    add_partial_argument(parser, "write that file although something could not be read")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.progress import ScanProgress
    from layerscan.ledger.reclaim import Reclaimer
    from layerscan.ledger.stocktaking import take_stock

    check_report_file(options.report_file)
    options.summary.begin("walk")
    store = opened_store(options)
    with ScanProgress(shown=is_for_people()) as progress:
        on_progress = progress.update if progress.shown else None
        ledger = take_stock(store, threads=options.threads, on_progress=on_progress)
    options.summary.begin("report")
    reclaimer = Reclaimer(ledger.items, with_stopped=options.containers == "stopped")
    complain("warning", *ledger.notes, *_staying(reclaimer, options.images, ledger.root))
    found = reclaimer.remove(_wanted(options))
    report = _ReclaimReport(found, reclaimer.beside(), options.need)
    if may_write(options.report_file, ledger.problems, options):
        with report_to(options.report_file):
            report.print(options.format)
    if report.lacking:
        lacking = human(report.lacking)
        complain("warning", f"there is not that much: {lacking} less than --need asks for")
    complain("error", *map(str, ledger.problems))
    return ExitStatus.PARTIAL if ledger.problems else ExitStatus.DONE


def _wanted(options: argparse.Namespace) -> "ImageChoice":
    from layerscan.ledger.reclaim import ImageChoice

    chosen = options.images or options.unused or options.older_than is not None
    chosen = chosen or options.need is not None
    return ImageChoice(
        names=tuple(options.images),
        excepted=tuple(options.excepted),
        unnamed=options.unnamed or not chosen,
        made_before=None if options.older_than is None else time() - options.older_than,
        need=options.need,
    )


def _staying(reclaimer: "Reclaimer", patterns: "Sequence[str]", root: str) -> "Iterator[str]":
    """A line for each image that is asked for by name and cannot be removed."""
    from layerscan.ledger.reclaim import ImageChoice

    for pattern in patterns:
        found = reclaimer.matching(ImageChoice(names=(pattern,)))
        if not found:
            names = (name for group in reclaimer.images() for one in group for name in one.names)
            hint = hint_at_names(pattern, names)
            raise LayerscanError(f"{root}: there is no image {pattern}{hint}")
        for group in found:
            why = reclaimer.kept(group)
            if why:
                yield f"{group[0].name}: {why}, so it stays"


class _ReclaimReport:
    """What is reported of a set of images that are removed."""

    def __init__(self, found: "Reclaim", beside: "Sequence[Beside]", need: int | None) -> None:
        self._found = found
        self._beside = beside
        self._commands = found.commands()
        self.lacking = max((need or 0) - found.freed, 0)

    def print(self, form: str) -> None:
        """Print it as a table, as Markdown, or as JSON."""
        if form == "json":
            print_json(self._plain())
        elif form == "markdown":
            print(self._markdown(), end="")
        else:
            self._print_tables()

    def _plain(self) -> dict[str, object]:
        found = self._found
        return {
            "freed": found.freed,
            "images": [
                {
                    "name": one.names[0] if one.names else "",
                    "names": list(one.names),
                    "image_id": one.holdings[0].image_id,
                    "freed": one.freed,
                }
                for one in found.removed
            ],
            "containers": [one.name for one in found.containers],
            "commands": self._commands,
            "beside": [
                {
                    "what": one.what,
                    "freed": one.freed,
                    "count": one.number,
                    "commands": [list(command) for command in one.commands],
                }
                for one in self._beside
            ],
        }

    def _rows(self) -> "Iterator[tuple[str, str, str, str]]":
        """What is removed: bytes of it, and together with what is before it, an id, a name."""
        together = self._found.freed_by_containers
        if self._found.containers:
            number = len(self._found.containers)
            yield human(together), human(together), "", f"containers that do not run: {number}"
        for one in self._found.removed:
            together += one.freed
            name = ", ".join(one.arguments) if one.names else "(no name)"
            yield human(one.freed), human(together), short(one.holdings[0].image_id), name

    def _rows_beside(self) -> "Iterator[tuple[str, str, str]]":
        for one in self._beside:
            command = "; ".join(map(_shell, one.commands)) or "no command of the engine does it"
            yield human(one.freed), f"{one.number:,}", f"{one.what}: {command}"

    def _print_tables(self) -> None:
        table = Table(["FREED", "TOGETHER"], ["ID", "IMAGE"])
        for row in self._rows():
            table.add(*row)
        beside = Table(["FREED", "NUMBER"], ["BESIDE IMAGES"])
        for one in self._rows_beside():
            beside.add(*one)
        print_tables(table, *([beside] if self._beside else []))
        if self._commands:
            print("To remove the images:")
        for command in self._commands:
            print(f"  {_shell(command)}")

    def _markdown(self) -> str:
        images, beside = list(self._rows()), list(self._rows_beside())
        return summary(
            [f"Removing these would give back **{human(self._found.freed)}**."],
            (
                MarkdownTable("images", ("Freed", "Together", "Id", "Image"), images, len(images)),
                MarkdownTable("kinds", ("Freed", "Number", "Beside images"), beside, len(beside)),
            ),
            markdown_code(map(_shell, self._commands)),
        )


def _shell(command: "Sequence[str]") -> str:
    import shlex

    from layerscan.text import printable

    return printable(shlex.join(command), longest=None)
