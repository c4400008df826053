"""From the images of an index to images whose layers can be read.

Owns what makes an image one that can be unpacked from a source. `layerscan.oci.images`
knows which images an index stands for, and each source where the documents lie.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from layerscan import layersmeta
from layerscan.errors import LayerscanError, SourceError
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.oci.blobs import Blobs
from layerscan.oci.image_manifests import layer_type
from layerscan.oci.images import (
    IndexedImage,
    Listing,
    TooManyError,
    Why,
    list_images,
    told_platform,
)
from layerscan.oci.matchers import LINUX, ForLinux
from layerscan.oci.platforms import platform_text
from layerscan.oci.readers import BlobReader
from layerscan.parallel import in_parallel
from layerscan.sources.model import SourceImage, SourceLayer
from layerscan.text import printable, quoted

_WORKERS = 8


class SourceBlobs(Blobs, Protocol):
    """Whoever holds the documents and layers of a source."""

    def has(self, descriptor: Descriptor) -> bool:
        """Whether it is there."""


def find_images(
    blobs: SourceBlobs,
    top: Descriptor,
    document: Manifest | Index,
    architectures: Collection[str] | None,
    *,
    source: str,
    label: Callable[[IndexedImage], str] | None = None,
) -> tuple[tuple[SourceImage, ...], tuple[str, ...]]:
    """The images that a manifest or an index stands for, and what the user should know of them.

    Each is there once, in the indexes' order.

    Args:
        blobs: has what it refers to.
        top: its descriptor.
        document: it.
        architectures: only images of one of these; None for all.
        source: what to call it all in messages.
        label: for a source with a list of its own, which `top` is then, and which need
            not have all that an index refers to: what to call an image of the list.

    Raises LayerscanError also where there is no such image.
    """
    matcher = ForLinux(architectures)
    try:
        listing = list_images(
            top,
            BlobReader(blobs, source),
            matcher,
            document=document,
            configs=True,
            workers=_WORKERS,
        )
    except TooManyError as error:
        raise SourceError(f"{source}: {error.what}") from None
    images: dict[tuple[str, Platform], SourceImage] = {}
    left_out: list[str] = []
    for one in listing.images:
        name = _name(label(one) if label else source, one)
        missing = [layer for layer in one.manifest.layers if label and not _is_there(layer, blobs)]
        if missing and len(listing.images) > 1:
            # As where only some of an index's platforms were pulled.
            left_out.append(f"{name}: left out, its layer {missing[0].digest} is not there")
            continue
        assert one.config is not None  # noqa: S101 - configs were asked for
        image = _image(name, one, one.config, blobs, own_list=label is not None)
        images.setdefault((one.descriptor.digest, one.platform), image)
    if not images:
        raise nothing(source, matcher, listing)
    return tuple(images.values()), (*listing.notes(source), *left_out)


def images_with_configs(
    listed: Iterable[IndexedImage], blobs: SourceBlobs, *, source: str
) -> tuple[SourceImage, ...]:
    """Images that were listed already, without their configs, which are read here."""
    reader = BlobReader(blobs, source)

    def read(one: IndexedImage, _: object) -> SourceImage:
        config = one.config or reader.config(one.manifest.config)
        return _image(_name(source, one), one, config, blobs, own_list=False)

    return tuple(in_parallel([partial(read, one) for one in listed], workers=_WORKERS))


def nothing(source: str, matcher: ForLinux, listing: Listing) -> LayerscanError:
    """The error that no image was found."""
    others = [one for one in listing.passed_over if one.why is Why.PLATFORM]
    absent = [one for one in listing.passed_over if one.why is Why.ABSENT]
    no_images = [one for one in listing.passed_over if one.why is Why.NO_IMAGE]
    if absent and not others and len(absent) == 1:
        return SourceError(absent[0].what)
    if no_images and not others and not absent:
        one = no_images[0]
        suffix = f": {platform_text(one.platform)}" if one.platform else ""
        hint = "; --apps-root takes the images of Apps" if "a Compose App" in one.what else ""
        return SourceError(f"{source}{suffix}: {one.what}{hint}")
    if others and all(one.platform and one.platform.os not in ("", LINUX) for one in others):
        return SourceError(f"{source}: {others[0].what}, and only Linux is known here")
    wanted = " or ".join(sorted(map(printable, matcher.architectures or ("Linux",))))
    return SourceError(f"{source}: has no image for {wanted}; it has: {listing.has}")


def source_image(
    name: str,
    documents: tuple[int, ...],
    image_id: str,
    config: Config,
    layers: Sequence[Descriptor],
    *,
    platform: Platform,
) -> SourceImage:
    """An image of its parts; SourceError where they do not fit together."""
    architecture = platform.architecture
    if architecture and not layersmeta.is_architecture(architecture):
        raise SourceError(f"{name}: {quoted(architecture)} is not an architecture name")
    if len(layers) != len(config.diff_ids):
        raise SourceError(
            f"{name}: its config has {len(config.diff_ids)} diff_ids for {len(layers)} layers"
        )
    made = tuple(
        SourceLayer(layer.digest, diff_id, layer.size, layer.media_type, layer.annotations)
        for layer, diff_id in zip(layers, config.diff_ids, strict=True)
    )
    return SourceImage(name, platform, image_id, documents, made)


def _name(label: str, image: IndexedImage) -> str:
    told = told_platform(image.descriptor)
    return f"{label}: {platform_text(told)}" if told else label


def _image(
    name: str, image: IndexedImage, config: Config, blobs: SourceBlobs, *, own_list: bool
) -> SourceImage:
    manifest = image.manifest
    indexes = image.indexes[1:] if own_list else image.indexes
    documents = (manifest.config, image.descriptor, *reversed(indexes))
    made = source_image(
        name,
        tuple(document.size for document in documents),
        manifest.config.digest,
        config,
        manifest.layers,
        platform=image.platform,
    )
    for layer in manifest.layers:
        _check_layer(layer, name, blobs)
    return made


def _is_there(layer: Descriptor, blobs: SourceBlobs) -> bool:
    """Whether a layer is there; what is kept elsewhere by rule is another matter."""
    kind = layer_type(layer.media_type)
    return (kind is not None and kind.is_elsewhere) or blobs.has(layer)


def _check_layer(layer: Descriptor, name: str, blobs: SourceBlobs) -> None:
    """Refuse a layer that nobody could unpack from here."""
    kind = layer_type(layer.media_type)
    where = f"{name}: layer {layer.digest}"
    if kind is None:
        raise SourceError(f"{where}: is of type {quoted(layer.media_type)}, no tar of files")
    if kind.is_encrypted:
        raise SourceError(f"{where}: is encrypted, and cannot be read without its key")
    if kind.is_elsewhere and not blobs.has(layer):
        what = "is a foreign one, which is kept elsewhere and cannot be read from here"
        raise SourceError(f"{where}: {what}")
