"""What containerd keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.containerd.footprint` lists.
"""

from collections.abc import Sequence

from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.prediction.stores.model import LayerFigures, Position, StoreModel, stand_in
from layerscan.stores.containerd.footprint import GROWTH, layer_paths
from layerscan.tar.tarsplit import TarSplit

_ARCHIVE = "/archive"


class ContainerdModel(StoreModel):
    """The store of containerd with its overlayfs snapshotter."""

    name = "containerd"
    tar_split = TarSplit.NONE
    growth = GROWTH

    def _folder(self, position: Position, fs: FileSystem) -> int:  # noqa: ARG002 - all alike
        # Itself and `work`, which is empty.
        return 2 * fs.folder()

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> list[int]:
        paths = layer_paths(stand_in(position), [_ARCHIVE])
        return [fs.file(layer.archive_size) if p == _ARCHIVE else fs.folder() for p in paths]

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> list[int]:
        return [fs.file(size) for size in documents]


MODEL = ContainerdModel()
