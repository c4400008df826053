"""Digests that a store does not know, looked up in the registries of its images.

Owns which images are looked up, and when a registry's image is taken for the
one in the store: only if its config has the same diff_ids, layer by layer. It
walks nothing and prints nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from layerscan import oci
from layerscan.errors import LayerscanError
from layerscan.oci import Descriptor, Index, Manifest, Platform
from layerscan.platforms import fits
from layerscan.reference import Reference
from layerscan.registry import RegistryClient, Repository
from layerscan.selection import Chosen
from layerscan.stores.model import Image

_MOST_NAMES = 4
"""Of the names that an image has in one repository, how many are tried."""

_MOST_CANDIDATES = 8
"""Of the entries of an index that may be the image, how many are tried."""


class Looked(NamedTuple):
    """The outcome of a look-up.

    Attributes:
        chosen: the images, with the digests that were found.
        warnings: why others were not.
    """

    chosen: tuple[Chosen, ...]
    warnings: tuple[str, ...]


class _Found(NamedTuple):
    """The digests of an image's layers in one repository, or why there are none."""

    digests: tuple[str, ...] = ()
    warning: str | None = None


def look_up(client: RegistryClient, chosen: Sequence[Chosen], *, workers: int = 8) -> Looked:
    """Look up the digests that are unknown of images, in the repositories that count.

    What cannot be looked up is a warning. A digest that the store knows stays.

    Args:
        client: the registries.
        chosen: the images.
        workers: how many images are looked up at a time.
    """
    wanted = [
        (number, repository)
        for number, one in enumerate(chosen)
        for repository in one.repositories
        if repository and _is_lacking(one.image, repository)
    ]
    pool = ThreadPoolExecutor(workers, thread_name_prefix="lookup")
    try:
        found = list(pool.map(lambda pair: _find(client, chosen[pair[0]], pair[1]), wanted))
    finally:
        # An interrupt does not wait for it.
        pool.shutdown(wait=False, cancel_futures=True)
    looked = list(chosen)
    for (number, repository), outcome in zip(wanted, found, strict=True):
        image = _completed(looked[number].image, repository, outcome.digests)
        looked[number] = looked[number]._replace(image=image)
    return Looked(tuple(looked), tuple(one.warning for one in found if one.warning is not None))


def _is_lacking(image: Image, repository: str) -> bool:
    known = image.digests.get(repository, ())
    return len(known) < len(image.layers) or None in known


def _completed(image: Image, repository: str, found: tuple[str, ...]) -> Image:
    if not found:
        return image
    known = image.digests.get(repository, ())
    padded = (*known, *(None,) * (len(found) - len(known)))
    digests = tuple(old or new for old, new in zip(padded, found, strict=True))
    return image._replace(digests={**image.digests, repository: digests})


def _find(client: RegistryClient, one: Chosen, repository: str) -> _Found:
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
            return _Found(digests)
    return _Found(
        warning=failure
        or f"image {one.label}: what {repository} has under its name is another image (rebuilt or "
        "retagged since?); its layers' digests are not taken"
    )


def _digests(repository: Repository, name: Reference, image: Image) -> tuple[str, ...] | None:
    """The digests of the image's layers under `name`, None if that is another image."""
    fetched = repository.manifest(name.digest or name.tag or "")
    source = f"{repository.name}@{fetched.digest}"
    document = oci.loads(fetched.raw, source, media_type=fetched.media_type)
    manifests = [document] if isinstance(document, Manifest) else []
    if isinstance(document, Index):
        for entry in _candidates(document, image):
            raw = repository.fetch(entry, limit=oci.MAX_MANIFEST)
            at = f"{repository.name}@{entry.digest}"
            manifest = oci.loads(raw, at, media_type=entry.media_type)
            assert isinstance(manifest, Manifest)  # noqa: S101 - its type is that of one
            manifests.append(manifest)
    for manifest in manifests:
        if _is_same(repository, manifest, image):
            return tuple(layer.digest for layer in manifest.layers)
    return None


def _candidates(index: Index, image: Image) -> list[Descriptor]:
    """The entries of an index that may be the image."""
    platform = Platform(image.architecture, image.os or "linux", image.variant)
    return [
        entry
        for entry in index.manifests
        if entry.media_type in oci.MANIFEST_TYPES
        and not entry.is_attestation
        and (entry.platform is None or fits(entry.platform, platform))
    ][:_MOST_CANDIDATES]


def _is_same(repository: Repository, manifest: Manifest, image: Image) -> bool:
    """Whether a manifest is that of the image: by its config, or by what that says."""
    if len(manifest.layers) != len(image.layers):
        return False
    config = manifest.config
    if config.digest == image.image_id:
        return True
    # A conversion between Docker's format and OCI's changes a config, not its layers.
    raw = repository.fetch(config, limit=oci.MAX_CONFIG)
    diff_ids = oci.loads_config(raw, f"{repository.name}@{config.digest}").diff_ids
    return diff_ids == tuple(layer.diff_id for layer in image.layers)
