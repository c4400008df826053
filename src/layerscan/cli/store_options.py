"""The options that say which image store is meant."""

import argparse
import os
from typing import TYPE_CHECKING

from layerscan.errors import StoreError

if TYPE_CHECKING:
    from layerscan.cli.options import Arguments
    from layerscan.stores.model import Store


def add_store_arguments(parser: "Arguments") -> None:
    """Declare ``--store``, ``--data-root`` and ``--namespace``."""
    from layerscan.stores import AUTO, KINDS

    parser.add_argument(
        "-s",
        "--store",
        choices=[AUTO, *KINDS],
        default=AUTO,
        help="its kind (default: auto, the one that has images)",
    )
    parser.add_argument(
        "-d",
        "--data-root",
        "--docker-data-root",
        metavar="PATH",
        help="its folder (default: where its engine keeps it)",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help="of a containerd store, the namespace (default: Docker's, else the first with images)",
    )


def opened_store(
    options: argparse.Namespace, *, exact: bool = False, platform: str | None = None
) -> "Store":
    """The store that the options name."""
    from layerscan.stores import open_store

    try:
        return open_store(
            options.store,
            options.data_root,
            exact=exact,
            namespace=options.namespace,
            platform=platform,
        )
    except StoreError as error:
        if not options.data_root or "\0" in options.data_root or os.path.exists(options.data_root):
            raise
        from layerscan.cli.meant import hint_at_folder

        raise StoreError(f"{error}{hint_at_folder(options.data_root)}") from None
