"""What Docker's overlay2 store keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.overlay2.footprint` lists; here is how
much of it is more than a block.
"""

import os
from collections.abc import Iterable, Sequence
from typing import ClassVar

from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.prediction.stores.model import (
    OVERLAY_LINK,
    LayerFigures,
    Position,
    StoreModel,
    overlay_lower,
    stand_in,
)
from layerscan.stores.model import Growth
from layerscan.stores.overlay2.footprint import GROWTH, layer_paths
from layerscan.tar.tarsplit import TarSplit


class Overlay2Model(StoreModel):
    """The store of Docker's overlay2 driver."""

    name: ClassVar[str] = "overlay2"
    tar_split: ClassVar[TarSplit] = TarSplit.GZIP
    growth: ClassVar[Growth] = GROWTH
    # maxLayerDepth in Docker's layer store; what is more is "max depth exceeded".
    most_layers: ClassVar[int | None] = 125

    def _folder(self, position: Position, fs: FileSystem) -> int:
        taken = fs.folder() + fs.file(len(OVERLAY_LINK))
        if position.depth:
            taken += overlay_lower(position, fs) + fs.folder()
        # A layer that another stands on has the empty file `committed`.
        return taken if position.is_top else taken + fs.file(0)

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> Iterable[int]:
        larger = {
            "tar-split.json.gz": fs.file(layer.tar_split),
            "lower": overlay_lower(position, fs),
        }
        for path in layer_paths("", stand_in(position), OVERLAY_LINK, ()):
            yield larger.get(os.path.basename(path), 0)

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> Iterable[int]:
        # The config is all that it keeps.
        return [fs.file(documents[0])]


MODEL = Overlay2Model()
