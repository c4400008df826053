"""The image store of containers/storage: Podman's, Buildah's and CRI-O's.

Owns opening it, reading it again while an engine changes it, and whether a layer is
there still. What is in it is ``reading``'s matter.
"""

import os
from collections.abc import Sequence

from layerscan.errors import StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containers_storage.footprint import GROWTH
from layerscan.stores.containers_storage.holdings import read_holdings
from layerscan.stores.containers_storage.reading import StorageReading
from layerscan.stores.containers_storage.records import (
    DRIVER,
    IMAGES,
    LAYERS,
    StorageRecords,
    has_images,
    kept_layers,
    read_identity,
    read_records,
)
from layerscan.stores.engine_files import store_error
from layerscan.stores.holdings import Holdings
from layerscan.stores.model import Image, Layer
from layerscan.stores.places import real_folder
from layerscan.stores.readings import StoreBase
from layerscan.text import printable

_IMAGES_SUFFIX = "-images"


class ContainersStorageStore(StoreBase):
    """A folder of containers/storage (``graphroot``) with images of the overlay driver.

    The folders of `additional` stores only give it images; they may be symbolic links, too.
    """

    kind = "containers-storage"
    growth = GROWTH
    keeps_blobs = False

    def __init__(self, root: str, *, additional: Sequence[str] = (), exact: bool = False) -> None:
        super().__init__(real_folder(root), DRIVER)
        self._roots = (self.root, *map(os.path.realpath, additional))
        self._exact = exact
        self._stamps: dict[str, tuple[object, ...]] = {}
        self._take([])
        others = _check(self.root)
        hint = f"; it has images of the storage driver {others}, which cannot be read"
        note = f"{self.root}: the {self.kind} image store has no images"
        self.empty_note = note + (hint if others else "")

    def has_images(self) -> bool:
        """Whether it has any image on record; True where that cannot be read."""
        try:
            for path in self._roots:
                with Folder(path) as root:
                    if has_images(root):
                        return True
        except Fault:
            return True  # reading the images says what is wrong
        return False

    def images(self) -> list[Image]:
        """Every image that can be read whole, sorted by image id."""
        done = self._settled(lambda: StorageReading(self._roots, exact=self._exact))
        self._stamps = done.stamps
        self._take(done.records)
        return done.images

    def holdings(self) -> Holdings:
        """Who holds what of the store, by its lists as they are now."""
        with store_error(), Folder(self.root) as root:
            return read_holdings(root)

    def still_has(self, layer: Layer) -> bool:
        """Whether an image still keeps `layer`, and its folder is the one that `images` saw.

        A layer that is pulled again comes into a folder of the same name; record and
        folder then have other times.
        """
        folders, layer_id = os.path.split(layer.folder)
        try:
            self._look_again()
            with Folder(folders) as all_folders:
                entry = all_folders.look(f"{layer_id}/{layer.content}")
        except Fault:
            return False
        created = self._kept.get(layer_id)
        return created is not None and self._stamps.get(layer.folder) == (created, entry)

    def _look_again(self) -> None:
        """Read the lists anew if one of them has changed."""
        now = []
        for records in self._records:
            with Folder(records.root) as root:
                same = read_identity(root) == records.identity
                now.append(records if same else read_records(root))
        if now != self._records:
            self._take(now)

    def _take(self, records: list[StorageRecords]) -> None:
        self._records = records
        self._kept = kept_layers(records)


def _check(root: str) -> str:
    """Make sure that `root` is a store of the overlay driver; the names of its other drivers."""
    with store_error(), Folder(root) as top:
        names = top.names()
        others = ", ".join(
            printable(name.removesuffix(_IMAGES_SUFFIX))
            for name in names
            if name.endswith(_IMAGES_SUFFIX) and name != IMAGES
        )
        there = next((name for name in (IMAGES, LAYERS) if name in names), None)
        if there is not None:
            top.folder(there).close()
            return others
    if others:
        raise StoreError(
            f"{root}: its images are of the storage driver {others}; only overlay can be read"
        )
    raise StoreError(f"{root}: no image store here: looked for {IMAGES} in it")
