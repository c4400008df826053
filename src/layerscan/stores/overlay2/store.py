"""The image store of Docker's overlay2 graph driver.

Owns opening it, reading it again while an engine changes it, and whether a layer is
there still. What is in it is ``reading``'s matter.
"""

import os
import stat

from layerscan.errors import StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.stores.engine_files import store_error
from layerscan.stores.holdings import Holdings
from layerscan.stores.model import Image, Layer
from layerscan.stores.overlay2.footprint import GROWTH
from layerscan.stores.overlay2.holdings import read_holdings
from layerscan.stores.overlay2.layerdb import read_cache_id
from layerscan.stores.overlay2.reading import Overlay2Reading
from layerscan.stores.places import real_folder, unused_of_docker
from layerscan.stores.readings import StoreBase
from layerscan.text import printable

_DRIVER = "overlay2"
_CONFIGS = ("image", _DRIVER, "imagedb", "content", "sha256")
_CONTAINERD_HINT = (
    "; it has a folder containerd, where Docker 29 and later keep images: "
    "--store containerd reads those"
)


class Overlay2Store(StoreBase):
    """A Docker data root with images of the overlay2 graph driver."""

    kind = _DRIVER
    growth = GROWTH
    keeps_blobs = False

    def __init__(self, root: str, *, exact: bool = False) -> None:
        super().__init__(real_folder(root), _DRIVER)
        self._exact = exact
        hint = _check(self.root)
        self.empty_note = f"{self.root}: the {_DRIVER} image store has no images{hint}"

    def has_images(self) -> bool:
        """Whether it has any image; True where that cannot be read."""
        try:
            with Folder(self.root) as root, root.folder(*_CONFIGS) as configs:
                return bool(configs.names())
        except Fault as fault:
            return not fault.gone  # reading the images says what is wrong

    def images(self) -> list[Image]:
        """Every image that can be read whole, sorted by image id."""
        return self._settled(self._read).images

    def holdings(self) -> Holdings:
        """Who holds what of the data root, by its records as they are now."""
        images = self.images()
        with store_error(), Folder(self.root) as root:
            return read_holdings(root, images, self.problems, unused_of_docker(self.root)[1])

    def still_has(self, layer: Layer) -> bool:
        """Whether the store has `layer` on record as `images` gave it."""
        # By its path, six system calls: the answer is all that comes of it.
        chain = layer.chain_id.removeprefix("sha256:")
        try:
            with Folder(f"{self.root}/image/{_DRIVER}/layerdb/sha256/{chain}") as files:
                return read_cache_id(files) == os.path.basename(layer.folder)
        except Fault:
            return False

    def _read(self) -> Overlay2Reading:
        with Folder(self.root) as root, root.folder("image", _DRIVER) as image_root:
            return Overlay2Reading(root, image_root, exact=self._exact)


def _check(root: str) -> str:
    """Make sure that `root` holds an overlay2 store; where images may be if it has none."""
    with store_error(), Folder(root) as top:
        containerd = top.look("containerd")
        has_containerd = containerd is not None and containerd.kind == stat.S_IFDIR
        images = top.folder_if_there("image", _DRIVER)
        if images is None:
            raise StoreError(_absent(top) + (_CONTAINERD_HINT if has_containerd else ""))
        images.close()
        with top.folder("image") as image:
            others = ", ".join(
                printable(name) for name in sorted(image.folders()) if name != _DRIVER
            )
        hint = f"; it has images of the graph driver {others}, which cannot be read"
        return (hint if others else "") + (_CONTAINERD_HINT if has_containerd else "")


def _absent(top: Folder) -> str:
    """Why a folder without ``image/overlay2`` is no store that can be read."""
    image = top.folder_if_there("image")
    names = ""
    if image is not None:
        with image:
            names = ", ".join(map(printable, sorted(image.folders())))
    if not names:
        return f"{top.path}: no image store here: looked for image/{_DRIVER} in it"
    return f"{top.path}: its images are of the graph driver {names}; only {_DRIVER} can be read"
