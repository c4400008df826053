"""What lies around the content of layers in each kind of image store, as arithmetic.

Owns what counts of layers that no store has yet; the rules are those of
`layerscan.stores.accounting`, and say right after a pull the same. What a store keeps of a
layer and of an image is in the module of its kind. What all layers of a store share
grows by what the ``stores`` have measured.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import ClassVar, NamedTuple

from layerscan.errors import LayerscanError
from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.stores import KINDS
from layerscan.stores.accounting import (
    Accounting,
    docker_layer_usage,
    exact_image_usage,
    exact_layer_inodes,
    exact_layer_usage,
    whole_blocks,
)
from layerscan.stores.model import Growth, Layer
from layerscan.tar.tarsplit import TarSplit

OVERLAY_LINK = "A" * 26
"""Like the name that a layer of an overlay store has in the folder ``l``."""

_CHAIN_ID = f"sha256:{'0' * 64}"


class LayerFigures(NamedTuple):
    """What is known of one layer's content, wherever it is unpacked.

    Attributes:
        size: bytes of content, by Docker's rule.
        content: bytes by ``st_blocks`` of all its inodes, see `FileSystem.tree`.
        overhead: bytes that these take beside, see `FileSystem.overhead`.
        files: how many inodes are no directory.
        archive_size: bytes of its blob.
        tar_split: bytes of the file that restores its tar; 0 where the store
            keeps none.
        inodes: how many there are, the root's included.
    """

    size: int
    content: int
    overhead: int
    files: int
    archive_size: int
    tar_split: int
    inodes: int


class Position(NamedTuple):
    """Where in an image a layer is.

    Attributes:
        depth: how many layers are beneath it.
        is_top: whether none is above it.
    """

    depth: int
    is_top: bool


class StoreModel(ABC):
    """An image store right after a pull.

    Attributes:
        name: as ``--store`` has it.
        tar_split: how it keeps the file that restores a layer's tar.
        growth: of what its layers and images share, for the exact rule.
        most_layers: as many as an image may have; None for no such bound.
    """

    name: ClassVar[str]
    tar_split: ClassVar[TarSplit]
    growth: ClassVar[Growth]
    most_layers: ClassVar[int | None] = None

    def layer_usage(
        self, layer: LayerFigures, position: Position, fs: FileSystem, accounting: Accounting
    ) -> int:
        """Bytes of disk that a layer takes.

        Args:
            layer: the layer.
            position: where in the image it is.
            fs: the file system that the figures of `layer` are of.
            accounting: by which rule.
        """
        if accounting is Accounting.DOCKER:
            return docker_layer_usage(layer.content + self._folder(position, fs), layer.tar_split)
        content = layer.content + layer.overhead
        return exact_layer_usage(
            content + round(content * fs.margin),
            self._kept(layer, position, fs),
            block_size=fs.unit,
            growth=self.growth,
        )

    def layer_inodes(self, layer: LayerFigures, position: Position, fs: FileSystem) -> int:
        """How many inodes a layer makes the engine create.

        Args:
            layer: the layer.
            position: where in the image it is.
            fs: the file system that the figures of `layer` are of.
        """
        beside = len([*self._kept(layer, position, fs)])
        return exact_layer_inodes(
            layer.inodes, beside, is_upper=position.depth > 0, growth=self.growth
        )

    def image_usage(self, documents: Sequence[int], fs: FileSystem, accounting: Accounting) -> int:
        """Bytes of disk that an image takes beside its layers; 0 by the docker rule.

        Args:
            documents: bytes of its config, its manifest and the indexes that led to
                it, in this order, so far as there are any.
            fs: the file system.
            accounting: by which rule.
        """
        if accounting is Accounting.DOCKER:
            return 0
        kept = self._kept_of_image(documents, fs)
        return exact_image_usage(kept, block_size=fs.unit, growth=self.growth)

    def document_usage(self, documents: Sequence[int], fs: FileCosts) -> int:
        """Bytes of disk of what the store keeps of an image itself, beside its layers.

        Without what files grow by that all images share, see `growth`.

        Args:
            documents: as for `image_usage`.
            fs: the file system.
        """
        return whole_blocks(self._kept_of_image(documents, fs), fs.unit)

    def document_inodes(self, documents: Sequence[int], fs: FileCosts) -> int:
        """How many inodes an image makes the engine create beside its layers.

        Without those that only the first image of a store makes, see `growth`.

        Args:
            documents: as for `image_usage`.
            fs: the file system.
        """
        return len([*self._kept_of_image(documents, fs)]) + self.growth.image_inodes

    def _kept_of_image(self, documents: Sequence[int], fs: FileCosts) -> Iterable[int]:
        # Archives may be without manifests, but each pull has one.
        return self._documents(documents if len(documents) > 1 else (*documents, 0), fs)

    @abstractmethod
    def _folder(self, position: Position, fs: FileSystem) -> int:
        """Bytes by ``st_blocks`` of a layer's folder and what is in it beside the content."""

    @abstractmethod
    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> Iterable[int]:
        """The same of each file and folder that there is because of a layer, by itself."""

    @abstractmethod
    def _documents(self, documents: Sequence[int], fs: FileCosts) -> Iterable[int]:
        """The same of each file and folder that there is because of an image.

        Of `documents` there are two at the least.
        """


def store_model(name: str) -> StoreModel:
    """The model of a kind of store.

    Raises:
        LayerscanError: there is none of that name.
    """
    if name not in KINDS:
        raise LayerscanError(f"no store {name!r}: there are {', '.join(KINDS)}")
    # Each stands on this module, and is in one of its package's name.
    module = import_module(f"layerscan.prediction.stores.{name.replace('-', '_')}")
    model: StoreModel = module.MODEL
    return model


def stand_in(position: Position, *metadata_files: str) -> Layer:
    """A layer for what names the files that a store keeps of one; it has no content.

    Args:
        position: where in the image it is.
        metadata_files: see `Layer`.
    """
    parent = _CHAIN_ID if position.depth else None
    return Layer(_CHAIN_ID, _CHAIN_ID, parent, "/layer", "content", metadata_files)


def overlay_lower(position: Position, fs: FileSystem) -> int:
    """Bytes by ``st_blocks`` of the file ``lower``, a list of the layers beneath.

    Each is listed by its link, with a colon between two.
    """
    listed = len("l/") + len(OVERLAY_LINK) + len(":")
    return fs.file(listed * position.depth - 1) if position.depth else 0
