"""The options about this machine's folders, which ``check`` and ``device`` have."""

import argparse

_STORE_ROOT = "/var/sota/reset-apps"


def add_client_store_argument(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Declare ``--client-store-root``."""
    parser.add_argument(
        "--client-store-root",
        metavar="DIR",
        help="the store root that the client was compiled with, if that is another: composectl "
        "rounds up to the blocks of the folder above it (default: that of --store-root)",
    )


def add_root_arguments(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Declare ``--store-root`` and ``--docker-root``."""
    parser.add_argument(
        "--store-root",
        metavar="DIR",
        help=f"where the client keeps blobs (default: {_STORE_ROOT})",
    )
    parser.add_argument(
        "--docker-root",
        metavar="DIR",
        help="the engine's data root (default: what Docker's daemon.json says, or /var/lib/docker)",
    )


def roots(options: argparse.Namespace) -> tuple[str, str]:
    """The store root and the engine's data root that the options say.

    Raises:
        LayerscanError: Docker's configuration cannot be read.
    """
    from layerscan.stores.places import docker_root

    store_root = options.store_root if options.store_root is not None else _STORE_ROOT
    engine_root = options.docker_root if options.docker_root is not None else docker_root()
    return store_root, engine_root
