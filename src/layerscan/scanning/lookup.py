"""Digests that a store does not know, looked up in the registries of its images.

Owns which images are looked up, and when a registry's image is taken for the
one in the store: only if its config has the same diff_ids, layer by layer. It
walks nothing and prints nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from layerscan import oci
from layerscan.errors import LayerscanError
from layerscan.oci import Descriptor, Platform
from layerscan.oci.images import IndexedImage, list_images
from layerscan.oci.matchers import LINUX, Matcher
from layerscan.oci.platforms import fits
from layerscan.oci.readers import BlobReader, Reader
from layerscan.parallel import in_parallel
from layerscan.reference import Reference
from layerscan.registry import RegistryClient, Repository
from layerscan.scanning.selection import Chosen
from layerscan.stores.model import Image

# How many are tried of the names that an image has in one repository, and of the entries
# of an index that may be the image.
_MOST_NAMES = 4
_MOST_CANDIDATES = 8


class Looked(NamedTuple):
    """The outcome of a look-up."""

    chosen: tuple[Chosen, ...]  # with the digests that were found
    warnings: tuple[str, ...]  # why others were not


def look_up(client: RegistryClient, chosen: Sequence[Chosen], *, workers: int = 8) -> Looked:
    """Look up the digests that are unknown of images, in the repositories that count.

    What cannot be looked up is a warning. A digest that the store knows stays.
    """
    wanted = [
        (number, repository)
        for number, one in enumerate(chosen)
        for repository in one.repositories
        if repository and None in _known(one.image, repository)
    ]
    found = in_parallel(
        [partial(_find, client, chosen[number], repository) for number, repository in wanted],
        workers=workers,
    )
    looked = list(chosen)
    warnings: list[str] = []
    for (number, repository), outcome in zip(wanted, found, strict=True):
        if isinstance(outcome, str):
            warnings.append(outcome)
            continue
        image = looked[number].image
        known = zip(_known(image, repository), outcome, strict=True)
        digests = {**image.digests, repository: tuple(old or new for old, new in known)}
        looked[number] = looked[number]._replace(image=image._replace(digests=digests))
    return Looked(tuple(looked), tuple(warnings))


def _known(image: Image, repository: str) -> tuple[str | None, ...]:
    """The digest of each layer, None where the store does not know it."""
    known = image.digests.get(repository, ())
    return (*known, *(None,) * (len(image.layers) - len(known)))


def _find(client: RegistryClient, one: Chosen, repository: str, _: object) -> tuple[str, ...] | str:
    """The digests of an image's layers in one repository, or why there are none."""
    # A name by digest cannot have moved to another image.
    names = sorted(
        (name for name in one.image.names if name.repository == repository),
        key=lambda name: (name.digest is None, name),
    )
    failure = None
    for name in names[:_MOST_NAMES]:
        try:
            digests = _digests(client.repository(name), name, one.image)
        except LayerscanError as error:
            failure = (
                f"image {one.label}: its layers' digests cannot be looked up in {repository}: "
                f"{error}"
            )
            continue
        if digests is not None:
            return digests
    return failure or (
        f"image {one.label}: what {repository} has under its name is another image (rebuilt or "
        "retagged since?); its layers' digests are not taken"
    )


def _digests(repository: Repository, name: Reference, image: Image) -> tuple[str, ...] | None:
    """The digests of the image's layers under `name`, None if that is another image."""
    fetched = repository.manifest(name.digest or name.tag or "")
    source = f"{repository.name}@{fetched.digest}"
    document = oci.loads(fetched.raw, source, media_type=fetched.media_type)
    top = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
    reader = BlobReader(repository, source)
    # An index may say another platform than the config does, by which a store knows it.
    for likely in (True, False):
        matcher = _ForImage(image, likely=likely)
        listing = list_images(top, reader, matcher, document=document, configs=None)
        for one in listing.images[:_MOST_CANDIDATES]:
            if _is_same(reader, one, image):
                return tuple(layer.digest for layer in one.manifest.layers)
    return None


class _ForImage(Matcher):
    """Images for the platform of one that is in a store, or for the other platforms."""

    def __init__(self, image: Image, *, likely: bool) -> None:
        self._platform = Platform(image.architecture, image.os or LINUX, image.variant)
        self._likely = likely

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` may be it."""
        is_likely = not self._platform.architecture or fits(platform, self._platform)
        return is_likely is self._likely


def _is_same(reader: Reader, found: IndexedImage, image: Image) -> bool:
    """Whether an image is the one in the store: by its config, or by what that says."""
    if len(found.manifest.layers) != len(image.layers):
        return False
    if found.manifest.config.digest == image.image_id:
        return True
    # A conversion between Docker's format and OCI's changes a config, not its layers.
    config = found.config or reader.config(found.manifest.config)
    return config.diff_ids == tuple(layer.diff_id for layer in image.layers)
