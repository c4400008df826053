"""The options about this machine's folders, which ``check`` and ``device`` have."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerscan.cli.options import Arguments
    from layerscan.fit.device import Device

_STORE_ROOT = "/var/sota/reset-apps"


def add_root_arguments(parser: "Arguments") -> None:
    """Declare ``--store-root``, ``--docker-root`` and ``--client-store-root``."""
    parser.add_argument(
        "--store-root", metavar="DIR", help=f"where the client keeps blobs (default: {_STORE_ROOT})"
    )
    parser.add_argument(
        "--docker-root",
        metavar="DIR",
        help="the engine's data root (default: what Docker's daemon.json says, or /var/lib/docker)",
    )
    parser.add_argument(
        "--client-store-root",
        metavar="DIR",
        help="the store root that the client was compiled with, if that is another: composectl "
        "rounds up to the blocks of the folder above it (default: that of --store-root)",
    )


def device_here(options: argparse.Namespace, *, is_exact: bool) -> "Device":
    """This machine, with the folders that the options say; see `layerscan.fit.live`."""
    from layerscan.fit import live

    compiled_with = options.client_store_root
    return live.this_device(*roots(options), client_store_root=compiled_with, is_exact=is_exact)


def roots(options: argparse.Namespace) -> tuple[str, str]:
    """The store root and the engine's data root; LayerscanError where Docker's is unreadable."""
    from layerscan.stores.places import docker_root

    store_root = options.store_root if options.store_root is not None else _STORE_ROOT
    engine_root = options.docker_root if options.docker_root is not None else docker_root()
    return store_root, engine_root
