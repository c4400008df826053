"""What containers/storage keeps around a layer and of an image, as arithmetic.

What the exact rule counts, `layerscan.stores.containers_storage.footprint` lists;
here is how much of it is more than a block.
"""

from collections.abc import Sequence

from layerscan.prediction.filesystems.filesystem import FileCosts, FileSystem
from layerscan.prediction.stores import model
from layerscan.prediction.stores.model import LayerFigures, Position
from layerscan.stores.containers_storage.footprint import GROWTH, layer_paths
from layerscan.tar.tarsplit import TarSplit

_TAR_SPLIT = "/tar-split.gz"


class ContainersStorageModel(model.StoreModel):
    """The store of Podman, Buildah and CRI-O, with its overlay driver."""

    name = "containers-storage"
    tar_split = TarSplit.PGZIP
    growth = GROWTH

    def _folder(self, position: Position, fs: FileSystem) -> int:
        # Itself, `merged` and `work`; and `lower`, or at the bottom the folder `empty`.
        beneath = model.overlay_lower(position, fs) if position.depth else fs.folder()
        return 3 * fs.folder() + fs.file(len(model.OVERLAY_LINK)) + beneath

    def _kept(self, layer: LayerFigures, position: Position, fs: FileSystem) -> list[int]:
        paths = layer_paths(model.stand_in(position, _TAR_SPLIT), model.OVERLAY_LINK)
        return model.overlay_kept(paths, layer, position, fs)

    def _documents(self, documents: Sequence[int], fs: FileCosts) -> list[int]:
        # A folder with all documents, the manifest twice, and a list of no signatures.
        config, manifest, *indexes = documents
        return [fs.folder(), *map(fs.file, (config, manifest, manifest, *indexes, 0))]


MODEL = ContainersStorageModel()
