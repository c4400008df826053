"""The Compose file: which services an App has, and what image each names."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from layerscan.apps.yamltree import (
    CORE_TAG,
    Mapping,
    Node,
    Scalar,
    Sequence,
    fault_at,
    is_null,
    read_tree,
)
from layerscan.errors import ComposeError

_RESET = "!reset"
_NO_STRINGS = tuple(CORE_TAG + name for name in ("bool", "int", "float", "timestamp"))
_SERVICE_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_INSTEAD_OF_IMAGE = {
    "extends": ": extends is not followed, name the image here",
    "build": ": name the image that its build gives",
}


class Service(NamedTuple):
    """What a service has an image for: the text of its name, not interpolated, and its line.

    `name` is the service's, and of a volume that is an image with a number: ``web volume 0``.
    """

    name: str
    image: str
    line: int


class ComposeFile(NamedTuple):
    """A Compose file."""

    root: Mapping
    entries: Mapping  # what it has under ``services``
    services: list[Service]  # the images of those that it does not reset, sorted by name
    include: int | None  # the line where it includes other files, None if it does not
    is_yaml_1_1: bool  # whether it says that it is YAML 1.1 (``%YAML``)


def read_services(text: str, source: str) -> list[Service]:
    """The services of the Compose file `text`, sorted by name; see `read_compose`."""
    return read_compose(text, source).services


def read_compose(text: str, source: str) -> ComposeFile:
    """Read a Compose file, which is called `source` in messages.

    YAML merge keys (``<<``) are followed; ``extends`` and ``include``, which
    take in other files, are not: an App is one file. What has a ``provider`` has no image.

    Raises:
        ComposeError: it is no YAML or no Compose file, or a service has no
            image. The message names the line and the service.
    """
    tree, is_yaml_1_1 = read_tree(text, source)
    if is_null(tree):
        raise ComposeError(f"{source}: is empty")
    root = _mapping(tree, "the file", source)
    include = root.get("include")
    includes = include.line if include and not is_absent(include) else None
    services = root.get("services")
    if not services or is_absent(services):
        raise ComposeError(f"{source}: has no services")
    entries = _mapping(services, "services", source)
    found = [
        image
        for key, service in entries.entries.values()
        if not is_reset(service)
        for image in _images(key, service, source)
    ]
    if not found:
        raise ComposeError(f"{source}: has no services")
    return ComposeFile(root, entries, found, includes, is_yaml_1_1)


def is_reset(node: Node) -> bool:
    """Whether Compose takes the entry away again (its tag ``!reset``)."""
    return node.tag == _RESET


def is_absent(node: Node) -> bool:
    """Whether an entry is as one that is not there."""
    return is_reset(node) or is_null(node)


def _mapping(node: Node, what: str, source: str) -> Mapping:
    if not isinstance(node, Mapping):
        raise fault_at(source, node.line, f"{what}: must be a mapping")
    return node


def image_volumes(service: Mapping) -> list[tuple[int, Mapping]]:
    """The volumes of a service that are images, with their places in its list."""
    volumes = service.get("volumes")
    return [
        (number, volume)
        for number, volume in enumerate(volumes.items if isinstance(volumes, Sequence) else ())
        if isinstance(volume, Mapping)
        and isinstance(kind := volume.get("type"), Scalar)
        and kind.text == "image"
    ]


def volume_name(service: str, number: int) -> str:
    """What to call the image that is a volume of a service."""
    return f"{service} volume {number}"


def is_volume(name: str) -> bool:
    """Whether an image of that name is a volume; no service has a blank in its name."""
    return " " in name


def _images(key: Scalar, service: Node, source: str) -> Iterator[Service]:
    """The images that a service has."""
    name = key.text
    if not _SERVICE_NAME.fullmatch(name):
        what = f"{name[:80]!r} is no service name (letters, digits, . _ -)"
        raise fault_at(source, key.line, what)
    what = f"service {name[:80]}"
    if is_null(service):
        raise fault_at(source, key.line, f"{what} has no image")
    mapping = _mapping(service, what, source)
    provider = mapping.get("provider")
    if not provider or is_absent(provider):
        yield _image(name, mapping, key.line, source)
    for number, volume in image_volumes(mapping):
        found = volume.get("source")
        if not (isinstance(found, Scalar) and _is_string(found)):
            what = f"{what}: a volume that is an image must have it as its source"
            raise fault_at(source, volume.line, what)
        yield Service(volume_name(name, number), found.text, found.line)


def _image(name: str, mapping: Mapping, line: int, source: str) -> Service:
    what = f"service {name[:80]}"
    image = mapping.get("image")
    if not image or is_absent(image):
        why = next((why for other, why in _INSTEAD_OF_IMAGE.items() if mapping.get(other)), "")
        raise fault_at(source, line, f"{what} has no image{why}")
    if not (isinstance(image, Scalar) and _is_string(image)):
        raise fault_at(source, image.line, f"{what}: image must be a string")
    return Service(name, image.text, image.line)


def _is_string(scalar: Scalar) -> bool:
    """Whether Compose reads a string here.

    PyYAML resolves by YAML 1.1, where ``yes`` is a boolean and ``1:30`` a number
    of base 60; to Compose both are strings.
    """
    from yaml import ScalarNode
    from yaml.resolver import Resolver

    tag = scalar.tag
    if tag is None and scalar.plain:
        # The stubs of PyYAML say nothing of it.
        tag = Resolver().resolve(  # type: ignore[no-untyped-call]
            ScalarNode, scalar.text, (True, False)
        )
    if tag not in _NO_STRINGS:
        return True
    return ":" in scalar.text or scalar.text.lower() in {"yes", "no", "on", "off", "y", "n"}
