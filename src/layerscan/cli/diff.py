"""``layerscan diff``: what an update adds, removes, and needs at its peak."""

import argparse
from typing import TYPE_CHECKING

from layerscan.cli.markdown import MarkdownTable, markdown_text, summary
from layerscan.cli.options import add_format_argument
from layerscan.cli.output import complain, print_json
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.cli.report_file import add_report_file_argument, check_report_file, report_to
from layerscan.cli.tables import Table, human, print_tables, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerscan.fit.difference import Difference, Measured
    from layerscan.layersmeta import LayerMeta
    from layerscan.registry import RegistryClient

HELP = "what an update adds, removes, and needs at its peak"
DESCRIPTION = """Compare two versions of an App: which layers are kept, added and removed, what
is to be downloaded, and what the layers take of the disk when both versions
are there and when the old one is removed."""
EPILOG = """OLD and NEW are Apps, as 'layerscan check' takes them, or files of layers
metadata.

examples:
  layerscan diff registry.example/shop:1042 registry.example/shop:1043
  layerscan diff old.json new.json --arch arm64
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("old", metavar="OLD", help="the App that is installed, or its metadata")
    add("new", metavar="NEW", help="the App that is to come, or its metadata")
    add("--arch", metavar="ARCH", help="only this architecture (default: all that both have)")
    add_registry_arguments(parser)
    add_format_argument(parser, "text", markdown=True)
    add_report_file_argument(parser, "-o", "--out-file")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.fit.difference import common_architectures, compare
    from layerscan.registry import RegistryClient

    check_report_file(options.report_file)
    options.summary.begin("read")
    with RegistryClient(registry_options(options)) as client:
        old, new = (_measured(name, client) for name in (options.old, options.new))
    options.summary.begin("report")
    found = [compare(old, new, name) for name in common_architectures(old, new, options.arch)]
    with report_to(options.report_file):
        if options.format == "json":
            print_json([_plain(one) for one in found])
        elif options.format == "markdown":
            print(_markdown(found), end="")
        else:
            _print_text(found)
    for one in found:
        if _download(one) is None:
            unknown = "the download is not known: the metadata lacks archive_size"
            complain("warning", f"{one.architecture}: {unknown}")
    return 0


def _measured(name: str, client: "RegistryClient") -> "Measured":
    from layerscan.fit.difference import of_app, of_metadata
    from layerscan.fit.sources import find_app, is_metadata
    from layerscan.jsondoc import read_file
    from layerscan.layersmeta import MAX_DOCUMENT

    if is_metadata(name):
        return of_metadata(read_file(name, MAX_DOCUMENT), name)
    found = find_app(name, client)
    return of_app(found.app, found.documents)


def _download(one: "Difference") -> int | None:
    return one.sums(one.added).archive_size


def _plain(one: "Difference") -> dict[str, object]:
    return {
        "architecture": one.architecture,
        "kept": _layers(one, one.kept),
        "added": _layers(one, one.added),
        "removed": _layers(one, one.removed),
        "download": _download(one),
        "peak": one.peak._asdict(),
        "after": one.after._asdict(),
    }


def _layers(one: "Difference", layers: "Mapping[str, LayerMeta]") -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for digest, meta in layers.items():
        figures = {"archive_size": meta.archive_size, "usage": meta.usage}
        found.append({"digest": digest, **figures, "inodes": one.inodes.get(digest)})
    return found


def _print_text(found: "Sequence[Difference]") -> None:
    for one in found:
        parts = {"kept": one.kept, "added": one.added, "removed": one.removed}
        # Documents of the docker rule have none, nor do those of before.
        figures_of = ["ARCHIVE SIZE", "USAGE", *(["INODES"] if one.inodes else [])]
        layers = Table(figures_of, ["LAYER", one.architecture.upper()])
        totals = Table(["LAYERS", *figures_of], [one.architecture.upper()])
        for name, part in parts.items():
            for digest, figures in sorted(part.items(), key=lambda item: -item[1].usage):
                inodes = _counted(one, one.inodes.get(digest))
                size = _known(figures.archive_size)
                layers.add(size, human(figures.usage), *inodes, short(digest), name)
        lines = {name: one.sums(part) for name, part in parts.items()}
        lines |= {"both are there": one.peak, "the old one is removed": one.after}
        for name, total in lines.items():
            size = _known(total.archive_size)
            inodes = _counted(one, total.inodes)
            totals.add(str(total.layers), size, human(total.usage), *inodes, name)
        print_tables(layers, totals)
        print(f"{one.architecture}: download {_known(_download(one))}")


def _markdown(found: "Sequence[Difference]") -> str:
    """What is downloaded and needed, and the layers that differ, for a pull request."""
    answer, listings = [], []
    for one in found:
        figures = (
            f"download {_known(_download(one))}",
            f"at its peak {human(one.peak.usage)} of disk",
            f"after it {human(one.after.usage)}",
        )
        answer.append(f"**{markdown_text(one.architecture)}**: {', '.join(figures)}")
        rows = [
            (name, _known(meta.archive_size), human(meta.usage), digest)
            for name, part in (("added", one.added), ("removed", one.removed))
            for digest, meta in sorted(part.items(), key=lambda item: -item[1].usage)
        ]
        heads = (one.architecture, "Archive size", "Usage", "Layer")
        listings.append(MarkdownTable("layers", heads, rows, len(rows)))
    return summary(answer, listings)


def _counted(one: "Difference", inodes: int | None) -> list[str]:
    """The cell of a number of inodes; none where no layer's are known."""
    if not one.inodes:
        return []
    return ["unknown" if inodes is None else f"{inodes:,}"]


def _known(count: int | None) -> str:
    return "unknown" if count is None else human(count)
