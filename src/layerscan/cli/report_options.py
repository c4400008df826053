"""Options of a scan's report: what of it is shown, where, and against which budget."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from layerscan.cli.amounts import growth_limit, usage_limit
from layerscan.cli.options import whole_number
from layerscan.cli.report_file import add_report_file_argument
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from layerscan.cli.budget import Budget, Excess
    from layerscan.cli.comparison import Comparison, OldReport
    from layerscan.cli.options import Arguments
    from layerscan.cli.report import Report

SORTS = ("usage", "size", "own", "name", "created", "growth")


class ReportView(NamedTuple):
    """What of a report people see."""

    sort: str = "usage"  # one of `SORTS`
    top: int | None = None  # rows of a table, None for all
    images: bool = True  # whether there is a table of images
    layers: bool = True  # and one of layers
    growth: "Comparison | None" = None  # since an earlier report
    exceeded: "Sequence[Excess] | None" = None  # budgets that are exceeded; None without any
    notes: Sequence[str] = ()  # lines at the end


def add_view_arguments(parser: "Arguments") -> None:
    """Declare what of the report is shown, and where."""
    add = parser.add_argument
    add("--sort", choices=SORTS, default="usage", help="the order of rows (default: usage)")
    add("--top", metavar="N", type=whole_number("number of rows", 0), help="of each, how many rows")
    add("--images", action="store_true", help="only the table of images")
    add("--layers", action="store_true", help="only the table of layers")
    add_report_file_argument(parser, "--report-file")


def add_budget_arguments(parser: "Arguments") -> None:
    """Declare comparisons and budgets."""
    add = parser.add_argument
    meaning = "say what has grown since then: FILE is a report of --format json"
    add("--compare", metavar="FILE", help=meaning)
    meaning = "exit with status 1 if an image takes more; all=SIZE is for all together"
    add("--max-usage", metavar="SIZE", type=usage_limit, action="append", default=[], help=meaning)
    meaning = "or has grown by more: 20MiB, 5%%, all=5%%"
    kind = growth_limit
    add("--max-growth", metavar="SIZE", type=kind, action="append", default=[], help=meaning)
    add("--budget", metavar="FILE", help="the same for images by name, as TOML")


class ReportRules(NamedTuple):
    """What a report is held against."""

    old: "OldReport | None"
    budgets: "list[Budget]"

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to hold it against."""
        return self.old is not None or bool(self.budgets)

    def apply(self, report: "Report") -> "tuple[Comparison | None, list[Excess] | None, list[str]]":
        """What has grown, which budgets are exceeded, and lines of what is odd."""
        from layerscan.cli.budget import exceeded, unmet
        from layerscan.cli.comparison import growth_since

        growth = None if self.old is None else growth_since(report, self.old)
        if not self.budgets:
            return growth, None, []
        found = list(exceeded(report, growth, self.budgets))
        return growth, found, list(unmet(report, self.budgets))


def report_rules(options: argparse.Namespace) -> ReportRules:
    """What the options say a report is held against; a LayerscanError if that cannot be read."""
    asked = options.compare, options.budget, options.max_usage, options.max_growth
    if options.sort == "growth" and options.compare is None:
        raise LayerscanError("--sort growth needs --compare")
    if not any(asked):
        return ReportRules(None, [])
    from layerscan.cli.budget import budgets_of
    from layerscan.cli.comparison import load_report

    budgets = budgets_of(options)
    return ReportRules(None if options.compare is None else load_report(options.compare), budgets)


def report_view(options: argparse.Namespace) -> ReportView:
    """What of the report is shown."""
    return ReportView(
        sort=options.sort,
        top=options.top,
        images=options.images or not options.layers,
        layers=options.layers or not options.images,
    )
