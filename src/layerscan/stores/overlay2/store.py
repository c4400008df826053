"""The image store of Docker's overlay2 graph driver.

Owns the order in which its parts are read, what is lost with a part that
cannot be used, and reading again what an engine at work has changed. The
formats are those of ``imagedb``, ``layerdb`` and ``distribution``; how files are
opened is ``safefs``'s matter.
"""

import os
import stat
from collections.abc import Iterable

from layerscan.errors import StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.stores.model import Image, Layer
from layerscan.stores.overlay2.footprint import GROWTH
from layerscan.stores.overlay2.layerdb import read_cache_id
from layerscan.stores.overlay2.reading import Overlay2Reading
from layerscan.stores.places import real_folder
from layerscan.stores.readings import PAUSES, StoreBase, read_until_settled
from layerscan.text import printable

_DRIVER = "overlay2"
_CONFIGS = ("image", _DRIVER, "imagedb", "content", "sha256")
_CONTAINERD_HINT = (
    "; it has a folder containerd, where Docker 29 and later keep images: "
    "--store containerd reads those"
)


class Overlay2Store(StoreBase):
    """A Docker data root with images of the overlay2 graph driver.

    Only opening is checked on construction; every call of `images` reads the
    store anew. Nothing stays open between calls.

    Args:
        root: the data root; it may be a symbolic link, inside it none is followed.
        exact: also find the `exact_paths` of layers and images; about twice
            the system calls.

    Raises:
        StoreError: there is no such store, or it cannot be opened; the
            message says why.
    """

    kind = _DRIVER
    growth = GROWTH
    keeps_blobs = False

    def __init__(self, root: str, *, exact: bool = False) -> None:
        super().__init__(real_folder(root))
        self._exact = exact
        self._has_containerd = _check(self._root)

    @property
    def empty_note(self) -> str:
        """One line for the user if `images` found none and met no problem."""
        hint = _CONTAINERD_HINT if self._has_containerd else ""
        return f"{self._root}: the {_DRIVER} image store has no images{hint}"

    def has_images(self) -> bool:
        """Whether it has any image; True where that cannot be read."""
        try:
            with Folder(self._root) as root, root.folder(*_CONFIGS) as configs:
                return bool(configs.names())
        except Fault as fault:
            return not fault.gone  # reading the images says what is wrong

    def images(self) -> list[Image]:
        """Every image that can be read whole, sorted by image id.

        While Docker is at work, files vanish under the reader. Then the store
        is read again, up to three times; what still does not fit is a problem.

        Raises:
            StoreError: the store itself is gone or cannot be opened any more.
        """
        first, done = read_until_settled(self._read, PAUSES)
        self._keep(first, done)
        return done.images

    def still_has(self, layer: Layer) -> bool:
        """Whether the store has `layer` on record as `images` gave it.

        To be asked after its folder was read: Docker takes a layer off its
        records before it deletes the first file of it. False where the record
        cannot be read any more.
        """
        # By its path, six system calls: the answer is all that comes of it.
        chain = layer.chain_id.removeprefix("sha256:")
        try:
            with Folder(f"{self._root}/image/{_DRIVER}/layerdb/sha256/{chain}") as files:
                return read_cache_id(files) == os.path.basename(layer.folder)
        except Fault:
            return False

    def _read(self) -> Overlay2Reading:
        try:
            with Folder(self._root) as root, root.folder("image", _DRIVER) as image_root:
                return Overlay2Reading(root, image_root, exact=self._exact)
        except Fault as fault:
            raise StoreError(str(fault)) from fault


def _check(root: str) -> bool:
    """Make sure that `root` holds an overlay2 store.

    Returns:
        Whether there is a folder of containerd in it, too.
    """
    try:
        with Folder(root) as top:
            containerd = top.look("containerd")
            has_containerd = containerd is not None and containerd.kind == stat.S_IFDIR
            try:
                top.folder("image", _DRIVER).close()
            except Fault as fault:
                if not fault.gone:
                    raise
                hint = _CONTAINERD_HINT if has_containerd else ""
                raise StoreError(_absent(top) + hint) from None
            return has_containerd
    except Fault as fault:
        raise StoreError(str(fault)) from fault


def _absent(top: Folder) -> str:
    """Why a folder without ``image/overlay2`` is no store that can be read."""
    drivers = _drivers(top)
    if not drivers:
        return f"{top.path}: no image store here: looked for image/{_DRIVER} in it"
    names = ", ".join(drivers)
    return f"{top.path}: its images are of the graph driver {names}; only {_DRIVER} can be read"


def _drivers(top: Folder) -> Iterable[str]:
    """Names of the graph drivers that have images under `top`, for a message."""
    try:
        with top.folder("image") as image:
            found = [(name, image.look(name)) for name in image.names()]
    except Fault as fault:
        if fault.gone:
            return []
        raise
    plain = [name for name, entry in found if entry is not None and entry.kind == stat.S_IFDIR]
    return [printable(name) for name in plain]
