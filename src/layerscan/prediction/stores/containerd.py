"""What containerd keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.containerd.footprint` lists.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.prediction.stores.model import LayerFigures, Position, StoreModel, stand_in
from layerscan.stores.containerd.footprint import GROWTH, layer_paths
from layerscan.stores.model import Growth
from layerscan.tar.tarsplit import TarSplit

_ARCHIVE = "/archive"


class ContainerdModel(StoreModel):
    """The store of containerd with its overlayfs snapshotter."""

    name: ClassVar[str] = "containerd"
    tar_split: ClassVar[TarSplit] = TarSplit.NONE
    growth: ClassVar[Growth] = GROWTH

    def _folder(self, position: Position, fs: FileSystem) -> int:  # noqa: ARG002 - all alike
        # Itself and `work`, which is empty.
        return 2 * fs.folder()

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> Iterable[int]:
        for path in layer_paths(stand_in(position), [_ARCHIVE]):
            yield fs.file(layer.archive_size) if path == _ARCHIVE else fs.folder()

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> Iterable[int]:
        return map(fs.file, documents)


MODEL = ContainerdModel()
