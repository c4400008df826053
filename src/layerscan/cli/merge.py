"""``layerscan merge``: documents of one architecture each → one document."""

import argparse

from layerscan.cli.options import add_out_file_argument
from layerscan.cli.output import check_out_file, write_data
from layerscan.cli.tables import counted
from layerscan.errors import LayerscanError

HELP = "put the layers metadata of several architectures together"
DESCRIPTION = "Put the layers metadata of several architectures together, one key each."
EPILOG = """an architecture may be given twice if its documents do not contradict each
other.

example:
  layerscan merge amd64=amd64.json arm64=arm64.json -o layers_meta.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "documents",
        metavar="ARCH=FILE",
        nargs="+",
        help="an architecture, and the file that 'layerscan scan -o FILE' wrote on it",
    )
    add_out_file_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan import layersmeta

    check_out_file(options.out_file)
    pairs = []
    options.summary.begin("read")
    for argument in options.documents:
        architecture, equals, path = argument.partition("=")
        if not (equals and path and layersmeta.is_architecture(architecture)):
            raise LayerscanError(f"{argument!r}: expected ARCH=FILE, such as arm64=arm64.json")
        pairs.append((architecture, layersmeta.load(path), path))
    options.summary.begin("merge")
    data = layersmeta.dumps_by_arch(layersmeta.merge(pairs))
    options.summary.begin("write")
    write_data(options.out_file, data)
    number = sum(len(meta.layers) for _, meta, _ in pairs)
    read = f"{counted(len(pairs), 'documents')} with {counted(number, 'layers')}"
    options.summary.tell_written(read, options.out_file, len(data))
    return 0
