"""The options about registries, which every command that asks one has."""

import argparse
from typing import TYPE_CHECKING

from layerscan.cli.options import whole_number

if TYPE_CHECKING:
    from layerscan.cli.options import Arguments
    from layerscan.registry.options import RegistryOptions

_connections = whole_number("number from 1 to 64", most=64)


def add_registry_arguments(parser: "Arguments") -> None:
    """Declare ``--insecure-registry`` and ``--connections``."""
    parser.add_argument(
        "--insecure-registry",
        metavar="HOST",
        action="append",
        default=[],
        help="take this registry without a trusted certificate, or as plain HTTP; may be repeated",
    )
    parser.add_argument(
        "--connections",
        metavar="N",
        type=_connections,
        help="most connections to registries at a time (default: 8)",
    )


def registry_options(options: argparse.Namespace) -> "RegistryOptions":
    """What the arguments of `add_registry_arguments` say; LayerscanError where a host is none."""
    from layerscan.registry.options import RegistryOptions, registry_host

    insecure = frozenset(registry_host(text) for text in options.insecure_registry)
    if options.connections is None:
        return RegistryOptions(insecure)
    return RegistryOptions(insecure, options.connections)
