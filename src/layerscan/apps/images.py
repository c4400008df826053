"""The images of Compose Apps: each service's, as a reference."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from layerscan import reference
from layerscan.apps.compose import read_compose
from layerscan.apps.discovery import App, discover
from layerscan.apps.environment import load_environment
from layerscan.apps.files import read_text
from layerscan.apps.interpolation import interpolate
from layerscan.errors import ComposeError, ReferenceSyntaxError
from layerscan.reference import Reference
from layerscan.text import printable

# The registry whose images are tagged by the CI run that built them.
FACTORY_REGISTRY = "hub.foundries.io"
LONGEST_COMPOSE_FILE = 1024 * 1024  # bytes of the longest Compose file that is read


class ServiceImage(NamedTuple):
    """The image that a service names."""

    image: str  # its name with the variables put in
    where: str  # file, line and service, for messages about it
    unset: tuple[str, ...]  # variables that are set nowhere and gave empty text in `image`


class AppImage(NamedTuple):
    """An image that a scan of Apps asks for; `unset` as in `ServiceImage`."""

    app: str
    service: str
    reference: Reference
    unset: tuple[str, ...] = ()


class AppImages(NamedTuple):
    """The images of Apps, and what the user should know of them, a line each."""

    images: list[AppImage]
    notes: list[str]


class AppServices(NamedTuple):
    """What an App has images for: by service, or volume of one, the image.

    Attributes:
        text: the Compose file's.
        includes: the file and line where it includes other files; empty if it does not.
    """

    text: str
    images: dict[str, ServiceImage]
    includes: str


def service_images(app: App, environment: Mapping[str, str]) -> AppServices:
    """The images of the services of `app`, sorted.

    `environment` is the process's, which wins over the ``.env`` beside the Compose file.

    Raises:
        ComposeError: a file cannot be read or is malformed, or a service has
            no image. The message names file, line and service.
    """
    root, source = os.path.dirname(app.folder), printable(app.compose_file)
    text = read_text(app.compose_file, root=root, longest=LONGEST_COMPOSE_FILE)
    file = read_compose(text, source)
    variables = load_environment(os.path.join(app.folder, ".env"), root=root, process=environment)
    images: dict[str, ServiceImage] = {}
    for service in file.services:
        where = f"{source}:{service.line}: service {service.name}"
        try:
            result = interpolate(service.image, variables.values)
        except ComposeError as error:
            raise ComposeError(f"{where}: image {error}") from None
        unset = {*result.unset, *variables.unset_behind(result.variables)}
        images[service.name] = ServiceImage(result.text, where, tuple(sorted(unset)))
    return AppServices(text, images, f"{source}:{file.include}" if file.include else "")


def app_images(
    apps_root: str,
    *,
    tag: str | None,
    factory_registry: str = FACTORY_REGISTRY,
    environment: Mapping[str, str],
) -> AppImages:
    """The images of all Apps below `apps_root`, sorted by App and service.

    The tag that CI gave to the factory's images, those of `factory_registry`, replaces
    theirs, or is added, unless a digest pins them. None leaves them alone.

    Raises:
        ComposeError: see `discover` and `service_images`, or an image's name is
            no image reference.
        ReferenceSyntaxError: `tag` is no tag.
    """
    found = AppImages([], [])
    for app in discover(apps_root):
        services = service_images(app, environment)
        found.images.extend(
            AppImage(app.name, service, retagged(image, tag, factory_registry), image.unset)
            for service, image in services.images.items()
        )
        if services.includes:
            found.notes.append(f"{services.includes}: what it includes is passed over")
    return found


def retagged(
    image: ServiceImage, tag: str | None, factory_registry: str, *, default_tag: bool = True
) -> Reference:
    """The reference of a service's image, with `tag` if it is one of the factory's.

    With `default_tag` a name with neither tag nor digest gets the tag ``latest``.

    Raises:
        ComposeError: its name is no image reference.
        ReferenceSyntaxError: `tag` is no tag.
    """
    try:
        found = reference.parse(image.image, default_tag=default_tag)
    except ReferenceSyntaxError as error:
        hint = f" (set nowhere: {', '.join(image.unset)[:200]})" if image.unset else ""
        raise ComposeError(f"{image.where}: {error}{hint}") from None
    if tag is None or found.digest is not None or found.registry != factory_registry:
        return found
    return found.with_tag(tag)
