"""``layerscan inspect``: what a registry holds under a reference."""

import argparse

from layerscan.cli.options import add_format_argument
from layerscan.cli.output import write_data
from layerscan.cli.registry_options import add_registry_arguments, registry_options
from layerscan.errors import LayerscanError

HELP = "what a registry holds: an App's documents, an image's layers"
DESCRIPTION = """Look at an App or an image in a registry, without downloading its layers.

It shows the architectures, files and images of an App and what each layer
costs, or the layers of an image and their archive sizes, for each platform."""
EPILOG = """examples:
  layerscan inspect registry.example/fleet/shop:1043
  layerscan inspect nginx:1.25 --platform linux/arm64 --format json
  layerscan inspect registry.example/fleet/shop:1043 --raw > manifest.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("reference", metavar="REF", help="an App or an image, by any form of reference")
    add("--arch", metavar="ARCH", help="only this architecture: amd64, arm64, …")
    platform = "only this platform of an image: os/architecture[/variant]"
    add("--platform", metavar="PLATFORM", help=platform)
    output = parser.add_mutually_exclusive_group()
    add_format_argument(output, "table", "the report on stdout")
    output.add_argument(
        "--raw", action="store_true", help="print the manifest or index, byte for byte"
    )
    add_registry_arguments(parser.add_argument_group("registries"))


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.cli.inspect_report import print_report
    from layerscan.publishing.inspection import Filter, fetch, inspect
    from layerscan.reference import parse
    from layerscan.registry import RegistryClient

    reference = parse(options.reference)
    wanted = Filter(options.arch, options.platform)
    if options.raw and wanted.text:
        raise LayerscanError("--raw prints what REF itself is: give it without --arch, --platform")
    options.summary.begin("read")
    with RegistryClient(registry_options(options)) as client:
        if options.raw:
            write_data("-", fetch(client, reference).raw)
            return 0
        result = inspect(client, reference, wanted)
    options.summary.begin("report")
    print_report(result, options.format)
    return 0
