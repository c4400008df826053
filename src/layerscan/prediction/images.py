"""A prediction: what the layers of images would cost, from where the images already are.

Owns what images are made of the figures of layers, each of which is read once
however many images have it. What fails ends it: a prediction is whole or it is
none. It prints nothing; what there is to say is in the result.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from layerscan.digest import chain_ids
from layerscan.errors import SourceError
from layerscan.layersmeta import LayerMeta, LayersMeta, check_architectures, of_images
from layerscan.parallel import Task, in_parallel
from layerscan.prediction.cache import PredictionCache
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.prediction.layers import (
    MAX_LAYER,
    LayerReader,
    ReadOptions,
    ReadProgress,
    WantedLayer,
)
from layerscan.prediction.stores.model import LayerFigures, Position, StoreModel, store_model
from layerscan.sources.model import Source, SourceImage
from layerscan.stores.accounting import Accounting
from layerscan.text import printable

_MOST_LISTINGS = 8  # sources that are asked for their images at a time


class PredictionTarget(NamedTuple):
    """What layers are predicted for."""

    fs: FileSystem
    store: StoreModel
    accounting: Accounting  # the rule of `usage`
    notes: tuple[str, ...] = ()  # what is not known of it, a line each


class FoundImage(NamedTuple):
    """An image, and the source that has it."""

    source: Source
    image: SourceImage


class GatheredImages(NamedTuple):
    """The images of several sources."""

    images: tuple[FoundImage, ...]  # in the order of the sources
    notes: tuple[str, ...]  # what the user should know of them, a line each


class PredictedLayer(NamedTuple):
    """What one layer costs as a part of an image."""

    chain_id: str  # identity of the layer on top of its parents
    diff_id: str  # digest of its uncompressed tar
    digest: str  # of its blob
    archive_size: int  # bytes of its blob
    size: int  # bytes of content
    usage: int  # bytes of disk
    files: int  # everything in it that is no directory, each inode once
    inodes: int  # how many it makes the engine create


class PredictedImage(NamedTuple):
    """What one image costs."""

    image: SourceImage
    names: tuple[str, ...]  # several if several sources have it
    layers: tuple[PredictedLayer, ...]  # bottom up
    usage: int  # bytes of disk that it takes beside its layers


class Prediction(NamedTuple):
    """The result of a prediction."""

    model: PredictionTarget  # what it is for
    images: tuple[PredictedImage, ...]  # each once, by their names
    notes: tuple[str, ...]  # what the reader should know; the figures are right

    @property
    def architectures(self) -> list[str]:
        """The architectures of the images, sorted."""
        return sorted({one.image.platform.architecture for one in self.images})

    def document(self) -> LayersMeta:
        """The layers metadata of all images, as of one architecture."""
        return self._document(self.images)

    def documents(self) -> dict[str, LayersMeta]:
        """The layers metadata by architecture, as `layerscan.merge` gives it.

        Raises LayerscanError where an image's architecture can be no key of the document.
        """
        check_architectures((one.names[0], one.image.platform.architecture) for one in self.images)
        return {
            architecture: self._document(
                one for one in self.images if one.image.platform.architecture == architecture
            )
            for architecture in self.architectures
        }

    def _document(self, images: Iterable[PredictedImage]) -> LayersMeta:
        stacks = (
            [
                (one.digest, LayerMeta(one.size, one.usage, one.archive_size), one.inodes)
                for one in image.layers
            ]
            for image in images
        )
        return of_images(stacks, self.model.fs.block_size, self.model.fs.name)


def predict(
    sources: Sequence[Source],
    *,
    architectures: Collection[str] | None = None,
    fs: FileSystem | str = "ext4",
    store: StoreModel | str = "overlay2",
    accounting: Accounting | str = Accounting.DOCKER,
    cache: PredictionCache | None = None,
    workers: int | None = None,
    limit: int = MAX_LAYER,
    with_toc: bool = True,
    on_progress: Callable[[ReadProgress], object] | None = None,
) -> Prediction:
    """Predict what the layers of all images of `sources` cost.

    Args:
        sources: where the images are.
        architectures: only images of one of these; None for all.
        fs: the file system, or its name; see `layerscan.prediction.filesystems.file_system`.
        store: the image store, see `layerscan.prediction.stores.model.store_model`.
        accounting: the rule of `usage`, ``docker`` or ``exact``.
        cache: figures that are known; see `ReadOptions`, as for the rest.
        workers: how many layers are read at a time.
        limit: the most bytes that a layer's tar may have.
        with_toc: whether the table of contents of a registry's layer is enough.
        on_progress: called with how far the reading has come.

    Raises:
        LayerscanError: an image or a layer cannot be had, or is damaged; or there
            is no such file system or store.
        ValueError: there is no such accounting.
    """
    model = PredictionTarget(
        file_system(fs) if isinstance(fs, str) else fs,
        store_model(store) if isinstance(store, str) else store,
        Accounting(accounting),
    )
    reading = ReadOptions(cache, workers, limit, with_toc, on_progress)
    return predict_images(gather_images(sources, architectures), model, reading)


def gather_images(
    sources: Sequence[Source], architectures: Collection[str] | None = None
) -> GatheredImages:
    """The images of `sources`: only those of one of these architectures, None for all.

    Raises LayerscanError where a source cannot be read, or has no such image.
    """

    def listing(source: Source) -> Task[Sequence[SourceImage]]:
        return lambda _: source.images(architectures)

    listed = in_parallel([listing(source) for source in sources], workers=_MOST_LISTINGS)
    images: list[FoundImage] = []
    notes: list[str] = []
    for source, found in zip(sources, listed, strict=True):
        images += (FoundImage(source, image) for image in found)
        lacking = set(architectures or ()) - {image.platform.architecture for image in found}
        name = printable(source.name)
        notes += (f"{name}: has no image for {architecture}" for architecture in sorted(lacking))
    # What a source notes, it knows when its images are listed.
    notes += (note for source in sources for note in source.notes)
    return GatheredImages(tuple(images), tuple(notes))


def predict_images(
    gathered: GatheredImages, model: PredictionTarget, reading: ReadOptions
) -> Prediction:
    """Predict what the layers of images cost; a LayerscanError if one cannot be had."""
    found, most_layers = gathered.images, model.store.most_layers
    figures, faults = LayerReader(model.fs, model.store, reading).figures(_wanted(found))
    images = _merged(_image(one.image, figures, model) for one in found)
    too_many = (
        f"image {one.image.name}: has {len(one.image.layers)} layers: Docker takes at most "
        f"{most_layers}; have it built with fewer"
        for one in found
        if most_layers is not None and len(one.image.layers) > most_layers
    )
    notes = (*model.notes, *gathered.notes, *too_many, *faults)
    return Prediction(model, tuple(images), tuple(dict.fromkeys(notes)))


def _wanted(found: Iterable[FoundImage]) -> list[WantedLayer]:
    """The layers of images, each digest once; a SourceError if two images contradict."""
    wanted: dict[str, WantedLayer] = {}
    for one in found:
        for layer in one.image.layers:
            now = WantedLayer(layer, one.source, f"image {one.image.name}")
            known = wanted.setdefault(layer.digest, now)
            before = known.layer
            if (before.diff_id, before.archive_size) != (layer.diff_id, layer.archive_size):
                raise SourceError(
                    f"{now.name}: has the diff_id {layer.diff_id} and {layer.archive_size} bytes "
                    f"there, {before.diff_id} and {before.archive_size} bytes in {known.owner}"
                )
    return list(wanted.values())


def _image(
    image: SourceImage, figures: Mapping[str, LayerFigures], model: PredictionTarget
) -> PredictedImage:
    layers: list[PredictedLayer] = []
    chains = chain_ids(layer.diff_id for layer in image.layers)
    for depth, (layer, chain_id) in enumerate(zip(image.layers, chains, strict=True)):
        found = figures[layer.digest]
        position = Position(depth, is_top=depth == len(image.layers) - 1)
        layers.append(
            PredictedLayer(
                chain_id,
                layer.diff_id,
                layer.digest,
                layer.archive_size,
                found.size,
                model.store.layer_usage(found, position, model.fs, model.accounting),
                found.files,
                model.store.layer_inodes(found, position, model.fs),
            )
        )
    beside = model.store.image_usage(image.documents, model.fs, model.accounting)
    return PredictedImage(image, (_name(image),), tuple(layers), beside)


def _name(image: SourceImage) -> str:
    """What an image is called without its platform, which an index gives it."""
    name, _, last = image.name.rpartition(": ")
    platform = f"{image.platform.os or 'linux'}/{image.platform.architecture}/"
    return name if name and f"{last}/".startswith(platform) else image.name


def _merged(images: Iterable[PredictedImage]) -> list[PredictedImage]:
    """Each image once, sorted by its names; those of several sources have all names."""
    merged: dict[object, PredictedImage] = {}
    for one in images:
        # The same config may be over blobs that were compressed in another way.
        key = (one.image.image_id, tuple(layer.digest for layer in one.layers))
        known = merged.get(key, one)
        names = tuple(sorted({*known.names, *one.names}))
        merged[key] = one._replace(names=names, usage=max(known.usage, one.usage))
    return sorted(merged.values(), key=lambda one: (one.names, one.image.platform))
