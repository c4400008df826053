"""What containers/storage keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.containers_storage.footprint` lists;
here is how much of it is more than a block.
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
from layerscan.stores.containers_storage.footprint import GROWTH, layer_paths
from layerscan.stores.model import Growth
from layerscan.tar.tarsplit import TarSplit

_TAR_SPLIT = "/tar-split.gz"


class ContainersStorageModel(StoreModel):
    """The store of Podman, Buildah and CRI-O, with its overlay driver."""

    name: ClassVar[str] = "containers-storage"
    tar_split: ClassVar[TarSplit] = TarSplit.PGZIP
    growth: ClassVar[Growth] = GROWTH

    def _folder(self, position: Position, fs: FileSystem) -> int:
        # Itself, `merged` and `work`; and `lower`, or at the bottom the folder `empty`.
        beneath = overlay_lower(position, fs) if position.depth else fs.folder()
        return 3 * fs.folder() + fs.file(len(OVERLAY_LINK)) + beneath

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> Iterable[int]:
        larger = {
            os.path.basename(_TAR_SPLIT): fs.file(layer.tar_split),
            "lower": overlay_lower(position, fs),
        }
        for path in layer_paths(stand_in(position, _TAR_SPLIT), OVERLAY_LINK):
            yield larger.get(os.path.basename(path), 0)

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> Iterable[int]:
        """A folder with all documents, the manifest twice, and a list of no signatures."""
        config, manifest, *indexes = documents
        files = (config, manifest, manifest, *indexes, 0)
        return [fs.folder(), *map(fs.file, files)]


MODEL = ContainersStorageModel()
