"""Which of a store's images a scan is about.

Owns the ways to name images: references, image ids, architectures, and the
default. It reads no store; it chooses among the images that a store gave.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from layerscan import reference
from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.reference import Reference
from layerscan.stores.model import Image

_IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})", re.ASCII)


class Wanted(NamedTuple):
    """An image that is asked for.

    Attributes:
        text: how, for messages.
        reference: as a reference, or None where `text` can only be an id.
        required: it is an error if the store does not hold it.
    """

    text: str
    reference: Reference | None
    required: bool = True


class Selection(NamedTuple):
    """What a scan is about.

    Attributes:
        wanted: the images asked for; None for all that have a name.
        architecture: only images of this one, as their configs say it.
        dangling: with `wanted` None, also images without a name.
    """

    wanted: tuple[Wanted, ...] | None = None
    architecture: str | None = None
    dangling: bool = False


class Chosen(NamedTuple):
    """An image that a scan is about.

    Attributes:
        image: the image.
        repositories: those whose digests count; ``""`` stands for an image
            that has no name.
    """

    image: Image
    repositories: tuple[str, ...]

    @property
    def label(self) -> str:
        """What to call the image: its first name, or its short id."""
        return label(self.image)


class Choice(NamedTuple):
    """The outcome of a selection.

    Attributes:
        chosen: the images, each once, by their labels.
        absent: those that were asked for and are not there.
    """

    chosen: tuple[Chosen, ...]
    absent: tuple[Wanted, ...]


def label(image: Image) -> str:
    """What to call `image`: its first name as people type it, or its short id.

    A name by tag says more than one by digest, so it comes first.
    """
    names = sorted(image.names, key=lambda name: (name.tag is None, name))
    return names[0].familiar if names else image.image_id.removeprefix("sha256:")[:12]


def want(text: str) -> Wanted:
    """Read `text` as an image reference of any form, or an image id.

    Raises:
        ReferenceSyntaxError: it is neither.
    """
    try:
        return Wanted(text, reference.parse(text))
    except ReferenceSyntaxError:
        if _IMAGE_ID.fullmatch(text):
            return Wanted(text, None)
        raise


def choose(images: Sequence[Image], selection: Selection) -> Choice:
    """The images of a store that `selection` is about.

    Args:
        images: all images of the store.
        selection: what is asked for.

    Raises:
        LayerscanError: an image id names several images, or no image has the
            architecture asked for while others are there.
    """
    repositories: dict[str, set[str]] = {}
    absent: list[Wanted] = []
    by_id = {image.image_id: image for image in images}
    if selection.wanted is None:
        for image in images:
            if image.names or selection.dangling:
                repositories[image.image_id] = _all_repositories(image)
    else:
        by_name = {name: image for image in images for name in image.names}
        for wanted in selection.wanted:
            found = _find(wanted, by_name, by_id)
            if found is None:
                absent.append(wanted)
            else:
                repositories.setdefault(found[0].image_id, set()).update(found[1])
    chosen = [
        Chosen(by_id[image_id], tuple(sorted(names))) for image_id, names in repositories.items()
    ]
    chosen.sort(key=lambda choice: (choice.label, choice.image.image_id))
    return Choice(tuple(_of_architecture(chosen, selection.architecture)), tuple(absent))


def architectures(chosen: Iterable[Chosen]) -> list[str]:
    """The architectures of the images, sorted."""
    return sorted({choice.image.architecture for choice in chosen})


def same_repository(wanted: Wanted, images: Iterable[Image]) -> list[str]:
    """Names that the store has in the repository of `wanted`, as people type them."""
    if wanted.reference is None:
        return []
    repository = wanted.reference.repository
    return sorted(
        name.familiar for image in images for name in image.names if name.repository == repository
    )


def _all_repositories(image: Image) -> set[str]:
    return {name.repository for name in image.names} or {""}


def _find(
    wanted: Wanted, by_name: dict[Reference, Image], by_id: dict[str, Image]
) -> tuple[Image, set[str]] | None:
    """The image meant, and the repositories whose digests count: a name before an id."""
    if wanted.reference is not None:
        name = wanted.reference
        # A digest says it all; Docker does not compare the tag beside it.
        if name.digest is not None:
            name = Reference(name.registry, name.path, None, name.digest)
        if name in by_name:
            return by_name[name], {name.repository}
    match = _IMAGE_ID.fullmatch(wanted.text)
    if match is None:
        return None
    found = [image_id for image_id in by_id if image_id.startswith(f"sha256:{match[1]}")]
    if len(found) > 1:
        raise LayerscanError(
            f"image id {wanted.text} is the beginning of {len(found)} images: give more of it"
        )
    return (by_id[found[0]], _all_repositories(by_id[found[0]])) if found else None


def _of_architecture(chosen: list[Chosen], architecture: str | None) -> list[Chosen]:
    if architecture is None:
        return chosen
    matching = [choice for choice in chosen if choice.image.architecture == architecture]
    if chosen and not matching:
        there = ", ".join(architectures(chosen))
        raise LayerscanError(f"no image has architecture {architecture}; there are: {there}")
    return matching
