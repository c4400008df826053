"""What lies around the content of layers in each kind of image store, as arithmetic.

Owns what counts of layers that no store has yet; the rules are those of
`layerscan.stores.accounting`, and say right after a pull the same. What a store keeps of a
layer and of an image is in the module of its kind. What all layers of a store share
grows by what the ``stores`` have measured.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

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

# Like the name that a layer of an overlay store has in the folder "l".
OVERLAY_LINK = "A" * 26

_CHAIN_ID = f"sha256:{'0' * 64}"


class LayerFigures(NamedTuple):
    """What is known of one layer's content, wherever it is unpacked."""

    size: int  # bytes of content, by Docker's rule
    content: int  # bytes by st_blocks of all its inodes, see `FileSystem.tree`
    overhead: int  # bytes that these take beside, see `FileSystem.overhead`
    files: int  # inodes that are no directory
    archive_size: int  # bytes of its blob
    tar_split: int  # bytes of the file that restores its tar; 0 where the store keeps none
    inodes: int  # all of them, the root's included


class Position(NamedTuple):
    """Where in an image a layer is."""

    depth: int  # layers that are beneath it
    is_top: bool


class StoreModel(ABC):
    """An image store right after a pull.

    The `documents` of an image are the lengths in bytes of its config, its manifest and the
    indexes that led to it, in this order, so far as there are any.
    """

    name: str  # as --store has it
    tar_split: TarSplit  # how it keeps the file that restores a layer's tar
    growth: Growth  # of what its layers and images share, for the exact rule
    most_layers: int | None = None  # that an image may have; None for no such bound

    def layer_usage(
        self, layer: LayerFigures, position: Position, fs: FileSystem, accounting: Accounting
    ) -> int:
        """Bytes of disk that a layer takes, whose figures are of the file system `fs`."""
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
        """How many inodes a layer makes the engine create."""
        beside = len(self._kept(layer, position, fs))
        return exact_layer_inodes(
            layer.inodes, beside, is_upper=position.depth > 0, growth=self.growth
        )

    def image_usage(self, documents: Sequence[int], fs: FileSystem, accounting: Accounting) -> int:
        """Bytes of disk that an image takes beside its layers; 0 by the docker rule."""
        if accounting is Accounting.DOCKER:
            return 0
        kept = self._kept_of_image(documents, fs)
        return exact_image_usage(kept, block_size=fs.unit, growth=self.growth)

    def document_usage(self, documents: Sequence[int], fs: FileCosts) -> int:
        """The same by the exact rule, but without what files grow by that all images share."""
        return whole_blocks(self._kept_of_image(documents, fs), fs.unit)

    def document_inodes(self, documents: Sequence[int], fs: FileCosts) -> int:
        """How many inodes it makes the engine create so, but for the first image of a store."""
        return len(self._kept_of_image(documents, fs)) + self.growth.image_inodes

    def _kept_of_image(self, documents: Sequence[int], fs: FileCosts) -> list[int]:
        # Archives may be without manifests, but each pull has one.
        return self._documents(documents if len(documents) > 1 else (*documents, 0), fs)

    @abstractmethod
    def _folder(self, position: Position, fs: FileSystem) -> int:
        """Bytes by ``st_blocks`` of a layer's folder and what is in it beside the content."""

    @abstractmethod
    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> list[int]:
        """The same of each file and folder that there is because of a layer, by itself."""

    @abstractmethod
    def _documents(self, documents: Sequence[int], fs: FileCosts) -> list[int]:
        """The same of each that there is because of an image of two documents or more."""


def store_model(name: str) -> StoreModel:
    """The model of a kind of store; a LayerscanError if there is none of that name."""
    if name not in KINDS:
        raise LayerscanError(f"no store {name!r}: there are {', '.join(KINDS)}")
    # Each stands on this module, and is in one of its package's name.
    module = import_module(f"layerscan.prediction.stores.{name.replace('-', '_')}")
    model: StoreModel = module.MODEL
    return model


def stand_in(position: Position, *metadata_files: str) -> Layer:
    """A layer for what names the files that a store keeps of one; it has no content."""
    parent = _CHAIN_ID if position.depth else None
    return Layer(_CHAIN_ID, _CHAIN_ID, parent, "/layer", "content", metadata_files)


def overlay_lower(position: Position, fs: FileSystem) -> int:
    """Bytes by ``st_blocks`` of the file ``lower``, a list of the layers beneath.

    Each is listed by its link, with a colon between two.
    """
    listed = len("l/") + len(OVERLAY_LINK) + len(":")
    return fs.file(listed * position.depth - 1) if position.depth else 0


def overlay_kept(
    paths: Sequence[str], layer: LayerFigures, position: Position, fs: FileSystem
) -> list[int]:
    """Bytes by ``st_blocks`` of `paths`, which an overlay store keeps of a layer.

    Two of them may need more than the one block that each counts at the least.
    """
    tar_split, lower = fs.file(layer.tar_split), overlay_lower(position, fs)
    larger = {"tar-split.json.gz": tar_split, "tar-split.gz": tar_split, "lower": lower}
    return [larger.get(os.path.basename(path), 0) for path in paths]
