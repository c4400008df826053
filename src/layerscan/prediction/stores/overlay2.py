"""What Docker's overlay2 store keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.overlay2.footprint` lists; here is how
much of it is more than a block.
"""

from collections.abc import Sequence

from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.prediction.stores import model
from layerscan.prediction.stores.model import LayerFigures, Position
from layerscan.stores.overlay2.footprint import GROWTH, layer_paths
from layerscan.tar.tarsplit import TarSplit


class Overlay2Model(model.StoreModel):
    """The store of Docker's overlay2 driver."""

    name = "overlay2"
    tar_split = TarSplit.GZIP
    growth = GROWTH
    # maxLayerDepth in Docker's layer store; what is more is "max depth exceeded".
    most_layers = 125

    def _folder(self, position: Position, fs: FileSystem) -> int:
        taken = fs.folder() + fs.file(len(model.OVERLAY_LINK))
        if position.depth:
            taken += model.overlay_lower(position, fs) + fs.folder()
        # A layer that another stands on has the empty file `committed`.
        return taken if position.is_top else taken + fs.file(0)

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> list[int]:
        paths = layer_paths("", model.stand_in(position), model.OVERLAY_LINK, ())
        return model.overlay_kept(paths, layer, position, fs)

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> list[int]:
        # The config is all that it keeps.
        return [fs.file(documents[0])]


MODEL = Overlay2Model()
