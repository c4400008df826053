"""Which images an index stands for. Whoever asks, it is answered here.

Owns what of an index is an image, what platform an image is for, and what is passed
over and why. The rules are those of the clients and engines:

- The entry of the index says the platform; the config counts only where it does not.
- Attestations, signatures, SBOMs and other artifacts are passed over, wherever they
  stand; an image is a manifest with a config and layers that are tars.
- Indexes within an index are followed. What an index refers to and is not there is
  passed over: of an index that was pulled for one platform, the others are missing.

Which of the images are wanted is a `Matcher`. Where documents lie, a `Reader` knows.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple, TypeVar

from layerscan import oci
from layerscan.errors import AbsentError, DocumentError
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.oci.image_manifests import artifact, what_else
from layerscan.oci.matchers import LINUX, Matcher
from layerscan.oci.platforms import platform_text
from layerscan.oci.readers import Reader, UnreadableError
from layerscan.parallel import in_parallel
from layerscan.text import printable, quoted

T = TypeVar("T")
DEEPEST = 8  # indexes within each other that are followed


_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)")


class IndexedImage(NamedTuple):
    """An image that an index stands for, or a manifest by itself."""

    descriptor: Descriptor  # of its manifest
    manifest: Manifest
    platform: Platform  # the architecture is empty where nothing says it
    indexes: tuple[Descriptor, ...] = ()  # that lead to it, the outermost first
    config: Config | None = None  # None where it was not read
    note: str = ""  # what the user should know of it


class Why(StrEnum):
    """Why something of an index is passed over."""

    ATTESTATION = "attestation"
    NO_IMAGE = "no image"
    PLATFORM = "not wanted"
    ABSENT = "not there"
    UNREADABLE = "unreadable"


class PassedOver(NamedTuple):
    """Something of an index that is not among its images."""

    descriptor: Descriptor
    why: Why
    what: str  # the reason, to be read after its name
    platform: Platform | None = None  # None where nothing says it
    error: Exception | None = None  # what is wrong with it


class Listing(NamedTuple):
    """What an index or a manifest stands for: images once for each platform, and the rest."""

    images: tuple[IndexedImage, ...]
    passed_over: tuple[PassedOver, ...]

    @property
    def platforms(self) -> list[str]:
        """What images there are for, wanted or not, sorted."""
        return sorted({platform_text(one) for one in self._platforms()})

    @property
    def architectures(self) -> set[str]:
        """The architectures of the images for Linux, wanted or not."""
        return {one.architecture for one in self._platforms() if one and one.os in ("", LINUX)}

    def _platforms(self) -> list[Platform | None]:
        unwanted = (one.platform for one in self.passed_over if one.why is Why.PLATFORM)
        return [*(one.platform for one in self.images), *unwanted]

    @property
    def has(self) -> str:
        """What there is and what is missing, for messages."""
        missing = f"; not there: {self._absent}" if self._absent else ""
        return f"{', '.join(self.platforms) or 'none'}{missing}"

    @property
    def _absent(self) -> str:
        absent = {platform_text(one.platform) for one in self.passed_over if one.why is Why.ABSENT}
        return ", ".join(sorted(absent))

    def notes(self, name: str) -> list[str]:
        """What the user should know of it; `name` is what to call it."""
        there = ", ".join(self.platforms)
        missing = f"{name}: left out, since it is not there: {self._absent}; there is {there}"
        return [
            *([missing] if self._absent else ()),
            *(
                f"{name}: {platform_text(one.platform)}: {one.what}: passed over"
                for one in self.passed_over
                if one.why in (Why.NO_IMAGE, Why.ATTESTATION)
                if one.platform and one.platform.os in ("", LINUX)
            ),
            *(f"{name}: {one.note}" for one in self.images if one.note),
        ]


class TooManyError(DocumentError):
    """An index that refers to more than is looked at; `what` is to be read after its name."""

    def __init__(self, top: Descriptor, what: str) -> None:
        super().__init__(f"{top.digest}: {what}")
        self.what = what


class _Candidate(NamedTuple):
    """A manifest or index that may stand for images."""

    descriptor: Descriptor
    document: Manifest | Index | None = None  # if it was read already
    platform: Platform | None = None
    indexes: tuple[Descriptor, ...] = ()
    taken: bool = False  # whether it counts whatever kind of manifest it is

    def passed_over(
        self, what: str, why: Why = Why.NO_IMAGE, error: Exception | None = None
    ) -> PassedOver:
        return PassedOver(self.descriptor, why, what, self.platform, error)


def list_images(
    top: Descriptor,
    reader: Reader,
    matcher: Matcher,
    *,
    document: Manifest | Index | None = None,
    configs: bool | None = False,
    workers: int = 1,
) -> Listing:
    """The images that a manifest or an index, `top`, stands for.

    Args:
        top: its descriptor.
        reader: reads what it refers to.
        matcher: which images are wanted.
        document: what `top` refers to, if it was read already.
        configs: whether the config of each image is read; None for not even that of an
            image for which the index names no platform: it is taken as it is.
        workers: how many documents are read at a time.
    """
    lister = _Lister(reader, matcher, configs=configs)
    taken = document is not None and matcher.takes_top(document)
    lister.add(_Candidate(top, document, taken=taken))
    return lister.listing(workers)


class _Lister:
    def __init__(self, reader: Reader, matcher: Matcher, *, configs: bool | None) -> None:
        self._reader = reader
        self._matcher = matcher
        self._configs = configs
        # In the order in which they stand: what is to be read yet, and what need not be.
        self._found: list[_Candidate | PassedOver] = []
        self._seen: set[tuple[str, Platform | None]] = set()
        # Digests of the manifests of images that are taken for what is asked for.
        self._assumed: set[str] = set()
        self._images = 0
        self._indexes = 0

    def listing(self, workers: int) -> Listing:
        entries = [one for one in self._found if isinstance(one, _Candidate)]
        read = iter(in_parallel([partial(self._task, entry) for entry in entries], workers=workers))
        found = [next(read) if isinstance(one, _Candidate) else one for one in self._found]
        images = [one for one in found if isinstance(one, IndexedImage)]
        passed_over = [one for one in found if isinstance(one, PassedOver)]
        told = [one for one in images if one.descriptor.digest not in self._assumed]
        if told and len(told) < len(images):
            # An image that says what it is for goes before one that does not.
            passed_over += [
                PassedOver(one.descriptor, Why.PLATFORM, "does not say what it is for")
                for one in images
                if one.descriptor.digest in self._assumed
            ]
            images = told
        return Listing(tuple(images), tuple(passed_over))

    def add(self, entry: _Candidate) -> None:
        """Take what is in a manifest or index."""
        key, media_type = (entry.descriptor.digest, entry.platform), entry.descriptor.media_type
        if key in self._seen:
            return
        self._seen.add(key)
        if media_type in oci.MANIFEST_TYPES:
            self._images += 1
            self._bound(entry)
            self._found.append(entry)
        elif media_type in oci.INDEX_TYPES:
            self._indexes += 1
            self._bound(entry)
            self._add_index(entry)
        else:
            what = f"is of type {quoted(media_type)}, no image"
            if _SCHEMA_1.fullmatch(media_type):
                what = (
                    "is of Docker's schema 1, which does not tell its layers' diff_ids; "
                    "push it again with a newer engine"
                )
            self._found.append(entry.passed_over(what))

    def _bound(self, entry: _Candidate) -> None:
        if self._images > oci.MOST_IMAGES:
            what = f"has more than {oci.MOST_IMAGES} images; choose one, or those for a platform"
        elif self._indexes > oci.MOST_IMAGES or len(entry.indexes) > DEEPEST:
            what = (
                f"has more than {DEEPEST} indexes within each other, "
                f"or more than {oci.MOST_IMAGES} in all"
            )
        else:
            return
        raise TooManyError((*entry.indexes, entry.descriptor)[0], what)

    def _add_index(self, above: _Candidate) -> None:
        index = above.document or _or_passed_over(
            lambda: self._reader.document(above.descriptor), above
        )
        if isinstance(index, PassedOver):
            self._found.append(index)
            return
        assert isinstance(index, Index)  # noqa: S101 - its type was looked at
        if index.layers:
            what = "is a layers manifest of a Compose App, no image"
            self._found.append(above.passed_over(what))
            return
        indexes = (*above.indexes, above.descriptor)
        for descriptor in index.manifests:
            platform = told_platform(descriptor) or above.platform
            entry = _Candidate(descriptor, None, platform, indexes)
            taken = self._matcher.takes_entry(descriptor, index)
            if taken:
                self.add(entry._replace(taken=True))
            elif taken is not None:
                self._found.append(unwanted(descriptor, platform or Platform("")))
            elif descriptor.is_attestation:
                self._found.append(entry.passed_over("is an attestation", Why.ATTESTATION))
            elif descriptor.artifact_type:
                self._found.append(entry.passed_over(artifact(descriptor.artifact_type)))
            elif platform is not None and not self._matcher.takes(platform):
                self._found.append(unwanted(descriptor, platform))
            else:
                self.add(entry)

    def _task(self, entry: _Candidate, _: object) -> IndexedImage | PassedOver:
        if entry.taken:
            return self._read(entry)
        return _or_passed_over(lambda: self._read(entry), entry)

    def _read(self, entry: _Candidate) -> IndexedImage | PassedOver:
        descriptor, platform = entry.descriptor, entry.platform
        manifest = entry.document or self._reader.document(descriptor)
        assert isinstance(manifest, Manifest)  # noqa: S101 - its type was looked at
        what = None if entry.taken else what_else(manifest)
        if what is not None:
            return entry.passed_over(what)
        config = None
        if self._configs or (platform is None and self._configs is not None):
            config = self._reader.config(manifest.config)
        if platform is None and config is not None:
            platform = told_by_config(config, self._matcher)
            if not self._matcher.takes(platform):
                return unwanted(descriptor, platform)
            if self._matcher.assumed and not config.platform.architecture:
                self._assumed.add(descriptor.digest)
        note = _difference(entry.platform, config)
        return IndexedImage(
            descriptor, manifest, platform or Platform(""), entry.indexes, config, note
        )


def told_platform(entry: Descriptor) -> Platform | None:
    """The platform that an entry of an index says it is for, None where it does not."""
    platform = entry.platform
    return platform if platform is not None and platform.architecture else None


def told_by_config(config: Config, matcher: Matcher) -> Platform:
    """The platform of an image which only its config says, or what it is taken to be for."""
    if config.platform.architecture:
        return config.platform
    return config.platform._replace(architecture=matcher.assumed)


def _difference(platform: Platform | None, config: Config | None) -> str:
    """That the index and the config name different platforms."""
    if platform is None or config is None or not config.platform.architecture:
        return ""
    says = config.platform
    if (platform.architecture, platform.os or LINUX) == (says.architecture, says.os or LINUX):
        return ""
    return (
        f"the index says {platform_text(platform)}, the image's config "
        f"{platform_text(says)}: the index counts"
    )


def unwanted(descriptor: Descriptor, platform: Platform) -> PassedOver:
    """What is passed over since it is for another platform."""
    return PassedOver(descriptor, Why.PLATFORM, f"is for {platform_text(platform)}", platform)


def _or_passed_over(read: Callable[[], T], entry: _Candidate) -> T | PassedOver:
    """What `read` gives; or that it is not there, or cannot be used where others may be.

    What was asked for itself must be there.
    """
    try:
        return read()
    except AbsentError as error:
        if not entry.indexes:
            raise
        return entry.passed_over(printable(str(error)), Why.ABSENT, error)
    except UnreadableError as error:
        return entry.passed_over(str(error), Why.UNREADABLE, error.error)
