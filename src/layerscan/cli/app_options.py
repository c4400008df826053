"""The options about the images of Compose Apps, for ``scan``, ``predict`` and ``publish``."""

import argparse
import os
from typing import TYPE_CHECKING

from layerscan.cli.output import complain

if TYPE_CHECKING:
    from layerscan.apps.images import AppImage
    from layerscan.cli.options import Arguments


FACTORY = "hub.foundries.io"


def add_app_arguments(parser: "Arguments") -> None:
    """Declare ``--apps-root``, ``--tag`` and ``--factory-registry``."""
    parser.add_argument("-a", "--apps-root", metavar="DIR", help="those of the Compose Apps in DIR")
    add_factory_arguments(parser)


def add_factory_arguments(parser: "Arguments") -> None:
    """Declare ``--tag`` and ``--factory-registry``."""
    tag = "the tag that CI gave to the factory's images"
    parser.add_argument("-t", "--tag", metavar="TAG", help=tag)
    parser.add_argument(
        "--factory-registry",
        metavar="HOST",
        default=FACTORY,
        help="the registry of the factory's images (default: %(default)s)",
    )


def warn_of_tag(options: argparse.Namespace) -> None:
    """Warn of options that are for nothing."""
    if options.apps_root is not None:
        return
    is_other = options.factory_registry != FACTORY
    for name, given in (("tag", options.tag is not None), ("factory-registry", is_other)):
        if given:
            what = "is for the images of Apps: without --apps-root it does nothing"
            complain("warning", f"--{name} {what}")


def images_of_apps(options: argparse.Namespace) -> "list[AppImage]":
    """The images that ``--apps-root`` asks for; warns of variables that are not set."""
    if options.apps_root is None:
        return []
    from layerscan.apps.images import app_images

    images, notes = app_images(
        options.apps_root,
        tag=options.tag,
        factory_registry=options.factory_registry,
        environment=os.environ,
    )
    for note in notes:
        complain("warning", note)
    for image in images:
        if image.unset:
            where = f"App {image.app}, service {image.service}: the image's name"
            names = ", ".join(image.unset)
            complain("warning", f"{where} uses variables that are not set: {names}")
    return images
