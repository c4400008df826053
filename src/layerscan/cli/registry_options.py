"""The options about registries, which every command that asks one has."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerscan.registry.options import RegistryOptions

_MOST_CONNECTIONS = 64


def add_registry_arguments(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
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
    """What the arguments of `add_registry_arguments` say.

    Raises:
        LayerscanError: a host is none.
    """
    from layerscan.registry.options import RegistryOptions, registry_host

    insecure = frozenset(registry_host(text) for text in options.insecure_registry)
    if options.connections is None:
        return RegistryOptions(insecure)
    return RegistryOptions(insecure, options.connections)


def _connections(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MOST_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST_CONNECTIONS}")
    return int(text[:9])
