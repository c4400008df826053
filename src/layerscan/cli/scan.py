"""``layerscan scan``: image store → layers metadata, or a report for people."""

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layerscan.cli.app_options import add_app_arguments, images_of_apps, warn_of_tag
from layerscan.cli.html_option import add_html_argument, check_html, write_page
from layerscan.cli.options import (
    add_accounting_argument,
    add_report_arguments,
    add_threads_argument,
)
from layerscan.cli.output import check_outputs, complain, is_for_people, write_metadata
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.cli.report_file import (
    check_report_file,
    complain_not_written,
    may_write,
    report_to,
)
from layerscan.cli.report_options import (
    add_budget_arguments,
    add_view_arguments,
    report_rules,
    report_view,
)
from layerscan.cli.status import ExitStatus
from layerscan.cli.store_options import add_store_arguments, opened_store
from layerscan.cli.tables import counted, human
from layerscan.errors import LayerscanError, NoAppsError
from layerscan.stores.collector import uncollected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerscan.cli.report import Report
    from layerscan.cli.report_options import ReportRules
    from layerscan.scanning.lookup import Looked
    from layerscan.scanning.result import Scan
    from layerscan.scanning.selection import Chosen, Wanted
    from layerscan.stores.holdings import Holding

HELP = "what each layer of the images in a store costs (the default command)"
DESCRIPTION = """Read an image store and say for every layer how much content it holds (size)
and how much disk it takes (usage).

Without -o: a report on stdout. With -o FILE: the layers metadata of one
architecture as JSON, written whole or not at all."""
EPILOG = """examples:
  sudo layerscan scan
  sudo layerscan scan --image nginx:1.25 --format json
  sudo layerscan scan --apps-root apps --tag 1043 -o layers_meta.json
"""


_MOST_NAMED = 3  # images in one warning
_MOMENT = 0.5  # seconds that what is beside the images may take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    _add_store_arguments(parser)
    _add_image_arguments(parser)
    output = parser.add_argument_group("output")
    by_arch = "write the document of 'layerscan merge', a key for each architecture"
    add_report_arguments(output, by_arch)
    output.add_argument(
        "--allow-partial",
        action="store_true",
        help="write the metadata although something could not be read",
    )
    add_html_argument(output)
    add_view_arguments(parser.add_argument_group("the report"))
    add_budget_arguments(parser.add_argument_group("growth and budgets"))
    lookup = parser.add_argument_group("registries")
    lookup.add_argument(
        "--resolve-digests",
        action=argparse.BooleanOptionalAction,
        help="ask an image's registry for the digests of layers that the store does not know "
        "(default: of images of Apps)",
    )
    add_registry_arguments(lookup)


def _add_store_arguments(parser: argparse.ArgumentParser) -> None:
    store = parser.add_argument_group("the store")
    add_store_arguments(store)
    store.add_argument(
        "--platform",
        metavar="OS/ARCH",
        help="of a containerd store, only images for this platform: linux/arm64, linux/arm/v7, … "
        "(default: this machine's)",
    )
    add_accounting_argument(store)
    add_threads_argument(store)


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("the images (default: all that have a name)")
    add = images.add_argument
    image = "this image, by any form of reference or by its id; may be repeated"
    add("-i", "--image", metavar="REF", action="append", default=[], help=image)
    add_app_arguments(images)
    add("--all", action="store_true", help="also images without a name (dangling, intermediate)")
    add("--arch", metavar="ARCH", help="only those of this architecture: amd64, arm64, arm, …")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.progress import ScanProgress
    from layerscan.scanning.scanner import scan
    from layerscan.scanning.selection import Selection

    _check(options)
    rules = report_rules(options)
    wanted = _wanted(options)
    options.summary.begin("store")
    store = opened_store(options, exact=options.accounting == "exact", platform=options.platform)
    selection = Selection(
        wanted, architecture=options.arch, dangling=options.all, every_platform=options.by_arch
    )
    with ScanProgress(shown=is_for_people()) as progress, _look_up(options) as look_up:
        result = scan(
            store,
            selection,
            accounting=options.accounting,
            threads=options.threads,
            on_progress=progress.update if progress.shown else None,
            look_up=look_up,
            on_phase=options.summary.begin,
        )
    options.summary.begin("report")
    _tell(result, options)
    is_partial = bool(result.problems) or (_is_required(options) and bool(result.undigested))
    exceeds = _report(result, options, rules)
    _write(result, options, is_partial=is_partial)
    if is_partial:
        return ExitStatus.PARTIAL
    return ExitStatus.OVER_BUDGET if exceeds else ExitStatus.DONE


def _is_required(options: argparse.Namespace) -> bool:
    """Whether a document that lacks layers of the images is not what was asked for."""
    return options.out_file is not None and bool(options.image or options.apps_root is not None)


@contextmanager
def _look_up(
    options: argparse.Namespace,
) -> "Iterator[Callable[[Sequence[Chosen]], Looked] | None]":
    """What completes the digests of images, None if that is not asked for."""
    if not _resolves(options):
        yield None
        return
    from layerscan.registry import RegistryClient
    from layerscan.scanning.lookup import look_up

    registries = registry_options(options)
    with RegistryClient(registries) as client:
        yield lambda chosen: look_up(client, chosen, workers=registries.connections)


def _resolves(options: argparse.Namespace) -> bool:
    """Whether registries are asked: by default of the images of Apps, for their document."""
    if options.resolve_digests is None:
        return options.apps_root is not None and options.out_file is not None
    return bool(options.resolve_digests)


def _check(options: argparse.Namespace) -> None:
    check_outputs(options.out_file, None if options.report_file else options.format)
    check_report_file(options.report_file)
    is_shown = options.out_file is None or options.format is not None
    report = (options.report_file or "-") if is_shown else None
    check_html(options.html, options.out_file, report)
    warn_of_tag(options)
    if options.insecure_registry and not _resolves(options):
        complain("warning", "--insecure-registry does nothing without --resolve-digests")
    if options.all and (options.image or options.apps_root is not None):
        raise LayerscanError("--all is about every image: give it without --image and --apps-root")


def _wanted(options: argparse.Namespace) -> "tuple[Wanted, ...] | None":
    """The images asked for, None for all; warns of variables that are not set."""
    from layerscan.scanning.selection import Wanted, want

    wanted = [want(text) for text in options.image]
    if options.apps_root is None and not wanted:
        return None
    try:
        images = images_of_apps(options)
    except NoAppsError as error:
        # As for the script: the document is empty, and a CI run goes on.
        complain("warning", str(error))
        images = []
    for image in images:
        text = f"{image.reference.familiar} (App {image.app}, service {image.service})"
        wanted.append(Wanted(text, image.reference, required=False))
    return tuple(wanted)


def _tell(result: "Scan", options: argparse.Namespace) -> None:
    architectures = result.architectures
    if len(architectures) > 1 and options.arch is None and not options.by_arch:
        several = f"the images are of several architectures: {', '.join(architectures)}"
        complain("warning", f"{several}; choose one with --arch, or tell them apart with --by-arch")
    complain("warning", *result.warnings)
    _tell_undigested(result, options)
    complain("error", *map(str, result.problems))
    if not result.chosen and not result.problems:
        asked = options.image or options.apps_root or options.arch
        if asked:
            note = f"{result.store.root}: the store holds no image asked for"
        elif result.images_in_store:
            note = f"{result.store.root}: no image has a name; --all is about the others too"
        else:
            note = result.store.empty_note
        complain("warning", note)


def _tell_undigested(result: "Scan", options: argparse.Namespace) -> None:
    """What the document lacks: an error where it was asked for, else a warning."""
    if options.out_file is None or not result.undigested:
        return
    if _is_required(options):
        complain("error", *map(str, result.undigested))
    elif options.verbose or len(result.undigested) == 1:
        complain("warning", *map(str, result.undigested))
    else:
        labels = [one.label for one in result.undigested]
        more = len(labels) - _MOST_NAMED
        named = ", ".join(labels[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        complain(
            "warning",
            f"{len(labels)} images have layers without a digest (never pushed, or pulled when they "
            f"were here already?), left out of the document: {named}; -v says which layers",
        )


@uncollected()
def _report(result: "Scan", options: argparse.Namespace, rules: "ReportRules") -> bool:
    """Report the scan, if that is asked for; whether it exceeds a budget."""
    is_shown = options.out_file is None or options.format is not None
    if not is_shown and not rules.is_asked and options.html is None:
        return False
    from layerscan.cli.report import of_scan
    from layerscan.cli.report_tables import print_report

    found = result.store.holdings()
    holdings = found.holdings
    report = of_scan(result, holdings, found.doubts)
    complain("warning", *report.doubts)
    growth, exceeded, odd = rules.apply(report)
    if is_shown:
        view = report_view(options)._replace(growth=growth, exceeded=exceeded)
        if options.format in (None, "table", "markdown"):
            view = view._replace(notes=_beside(result, holdings))
        if may_write(options.report_file, result.problems, options):
            with report_to(options.report_file):
                print_report(report, options.format, view)
    _write_page(report, result, holdings, options)
    complain("warning", *odd)
    complain("error", *map(str, exceeded or ()))
    return bool(exceeded)


def _write_page(
    report: "Report", result: "Scan", holdings: "Iterable[Holding]", options: argparse.Namespace
) -> None:
    if options.html is None:
        return
    if not may_write(options.html, result.problems, options):
        return
    from layerscan.cli.page.of_scan import page_of_scan

    write_page(options.html, page_of_scan(report, result, holdings))


def _beside(result: "Scan", holdings: "Iterable[Holding]") -> list[str]:
    """The line on what the store has beside these images."""
    from layerscan.ledger.beside import taken_beside

    images = {one.image.image_id for one in result.chosen}
    folders = {cost.layer.folder for cost in result.costs.values()}
    taken = taken_beside(holdings, image_ids=images, folders=folders, seconds=_MOMENT)
    if taken == (0, True):
        return []
    more = "more" if taken is None else human(taken.usage)
    if taken is not None and not taken.is_whole:
        more = f"at least {more}"
    return [f"+ {more} not in these images: 'layerscan df'"]


def _write(result: "Scan", options: argparse.Namespace, *, is_partial: bool) -> None:
    if options.out_file is None:
        return
    if is_partial and not options.allow_partial:
        why = "something could not be read" if result.problems else "it would lack layers"
        complain_not_written(options.out_file, why)
        return
    options.summary.begin("write")
    length = write_metadata(options.out_file, result, by_arch=options.by_arch)
    options.summary.tell_written(_told(result), options.out_file, length)


def _told(result: "Scan") -> str:
    """What was read, for the summary."""
    walked = (cost.walked.child for cost in result.costs.values())
    numbers = {
        "images": len(result.chosen),
        "layers": len(result.costs),
        "files": sum(one.files + one.symlinks + one.others for one in walked if one is not None),
    }
    counts = ", ".join(counted(number, things) for things, number in numbers.items())
    return f"{counts} of the {result.store.kind} store {result.store.root}"
