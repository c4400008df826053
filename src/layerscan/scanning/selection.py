"""Which of a store's images a scan is about.

Owns the ways to name images: references, image ids, architectures, and the
default. It reads no store; it chooses among the images that a store gave.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from layerscan import reference
from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.reference import Reference, hint_at_names
from layerscan.stores.model import Image, Layer

_IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})", re.ASCII)

_PATTERN = frozenset("*?[")

_NAMES_TOLD = 5  # of those that come near one that is not there


class Wanted(NamedTuple):
    """An image that is asked for."""

    text: str  # how, for messages
    reference: Reference | None  # None where `text` can only be an id, or is a pattern
    required: bool = True  # it is an error if the store does not hold it
    is_pattern: bool = False  # whether all images with a name like `text` are meant


class Selection(NamedTuple):
    """What a scan is about."""

    wanted: tuple[Wanted, ...] | None = None  # None for all that have a name
    architecture: str | None = None  # only images of this one, and those that do not say theirs
    dangling: bool = False  # with `wanted` None, also images without a name
    # Where a name stands for images of several platforms: all, not only this machine's.
    every_platform: bool = False


class Chosen(NamedTuple):
    """An image that a scan is about."""

    image: Image
    repositories: tuple[str, ...]  # whose digests count; "" for an image that has no name

    @property
    def label(self) -> str:
        """What to call the image: its first name as people type it, or its short id."""
        image = self.image
        if image.names:
            # A name by tag says more than one by digest, so it comes first.
            return min(image.names, key=lambda name: (name.tag is None, name)).familiar
        return next(iter(image.other_names), image.image_id.removeprefix("sha256:")[:12])

    def digests(self) -> Iterator[tuple[Layer, str]]:
        """The layers by their digests that count: one layer may have several, or none."""
        for repository in self.repositories:
            known = self.image.digests.get(repository, ())
            for layer, digest in zip(self.image.layers, known, strict=False):
                if digest is not None:
                    yield layer, digest


class Choice(NamedTuple):
    """The outcome of a selection."""

    chosen: tuple[Chosen, ...]  # each image once, by their labels
    absent: tuple[Wanted, ...]  # what is not there


def want(text: str) -> Wanted:
    """Read `text` as a reference of any form, an image id, or a pattern as in a shell.

    What is none of these is a ReferenceSyntaxError.
    """
    try:
        return Wanted(text, reference.parse(text))
    except ReferenceSyntaxError:
        # No reference has one of these signs, but for the brackets of an address.
        is_pattern = not _PATTERN.isdisjoint(text)
        if is_pattern or _IMAGE_ID.fullmatch(text):
            return Wanted(text, None, is_pattern=is_pattern)
        raise


def choose(images: Sequence[Image], selection: Selection) -> Choice:
    """Those of all images of a store that `selection` is about.

    Raises LayerscanError where an image id names several images, or no image has the
    architecture asked for while others are there.
    """
    # By their places: of one config there may be two images, whose archives differ.
    repositories: dict[int, set[str]] = {}
    absent: list[Wanted] = []
    if selection.wanted is None:
        for place, image in enumerate(images):
            meant = _meant(image, selection)
            if meant or (selection.dangling and not image.has_name):
                repositories[place] = _repositories(meant)
    else:
        index = _ImagesByName(images, selection)
        for wanted in selection.wanted:
            found = index.find(wanted)
            if not found:
                absent.append(wanted)
            for place, names in found.items():
                repositories.setdefault(place, set()).update(names)
    chosen = [Chosen(images[place], tuple(sorted(names))) for place, names in repositories.items()]
    chosen.sort(key=lambda choice: (choice.label, choice.image.image_id, choice.repositories))
    return Choice(tuple(_of_architecture(chosen, selection.architecture)), tuple(absent))


def architectures(chosen: Iterable[Chosen]) -> list[str]:
    """The architectures of the images, sorted."""
    return sorted({choice.image.architecture for choice in chosen})


def absence(wanted: Wanted, images: Sequence[Image]) -> str:
    """That a store with these `images` lacks `wanted`, and what comes near it."""
    repository = wanted.reference and wanted.reference.repository
    there = sorted(
        name.familiar for image in images for name in image.names if name.repository == repository
    )
    hint = f"; of that repository it holds {', '.join(there[:_NAMES_TOLD])}" if there else ""
    if wanted.required and not there and not wanted.is_pattern:
        names = (name.familiar for image in images for name in image.names)
        hint = hint_at_names(wanted.text, names)
    return f"image {wanted.text} is not in the store{hint}"


def _meant(image: Image, selection: Selection) -> list[Reference | str]:
    """Those of an image's names that mean it."""
    names: list[Reference | str] = [*image.names, *image.other_names]
    if selection.every_platform or selection.architecture is not None:
        return names
    return [name for name in names if name not in image.foreign_names]


def _repositories(names: Iterable[Reference | str]) -> set[str]:
    """The repositories of an image's names; ``""`` for what is in none."""
    return {name.repository if isinstance(name, Reference) else "" for name in names} or {""}


class _ImagesByName:
    """The images of a store by all that one may be asked for by."""

    def __init__(self, images: Sequence[Image], selection: Selection) -> None:
        self._meant = [_meant(image, selection) for image in images]
        self._by_name: dict[Reference | str, list[int]] = {}
        self._by_id: dict[str, list[int]] = {}
        for place, image in enumerate(images):
            self._by_id.setdefault(image.image_id, []).append(place)
            for name in self._meant[place]:
                self._by_name.setdefault(name, []).append(place)

    def find(self, wanted: Wanted) -> dict[int, set[str]]:
        """The images meant, by their places, and the repositories whose digests count."""
        if wanted.is_pattern:
            return self._like(wanted.text)
        # A name goes before an id.
        if wanted.reference is not None:
            name = wanted.reference
            # A digest says it all; Docker does not compare the tag beside it.
            if name.digest is not None:
                name = Reference(name.registry, name.path, None, name.digest)
            if name in self._by_name:
                return {place: {name.repository} for place in self._by_name[name]}
        if wanted.text in self._by_name:
            return {place: {""} for place in self._by_name[wanted.text]}
        match = _IMAGE_ID.fullmatch(wanted.text)
        if match is None:
            return {}
        found = [image_id for image_id in self._by_id if image_id.startswith(f"sha256:{match[1]}")]
        if len(found) > 1:
            raise LayerscanError(
                f"image id {wanted.text} is the beginning of {len(found)} images: give more of it"
            )
        places = self._by_id[found[0]] if found else []
        return {place: _repositories(self._meant[place]) for place in places}

    def _like(self, pattern: str) -> dict[int, set[str]]:
        """The images with a name, in full or as people type it, that `pattern` matches."""
        places: dict[int, list[Reference | str]] = {}
        for name, found in self._by_name.items():
            if reference.is_like(str(name), pattern):
                for place in found:
                    places.setdefault(place, []).append(name)
        return {place: _repositories(names) for place, names in places.items()}


def _of_architecture(chosen: list[Chosen], architecture: str | None) -> list[Chosen]:
    if architecture is None:
        return chosen
    # One that does not say what it is for is taken to be what is asked for.
    matching = [
        choice._replace(image=choice.image._replace(architecture=architecture))
        for choice in chosen
        if choice.image.architecture in (architecture, "")
    ]
    if chosen and not matching:
        there = ", ".join(architectures(chosen))
        raise LayerscanError(f"no image has architecture {architecture}; there are: {there}")
    return matching
