"""The layers of containers/storage: what is on record of each, and its folder.

Owns how an image's layers follow from its top layer, and that record, folder and the
image's config belong together; else it is a `Fault`. Which images there are, ``reading`` says.
"""

import stat
from collections.abc import Sequence
from contextlib import ExitStack

from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containers_storage.records import (
    DRIVER,
    LAYERS,
    ImageRecord,
    LayerRecord,
    StorageRecords,
)
from layerscan.stores.engine_files import require_tar_split
from layerscan.stores.model import Layer
from layerscan.text import shown

CONTENT = "diff"

_ELSEWHERE = {
    "composefs-data": "is kept as composefs: what it holds is not in its folder as files",
    "additionallayer": "is in an additional layer store, not in its folder",
}
"""What is in the folders of layers whose content is not where others' is."""


class LayerStores(ExitStack):
    """The layers of a store and of those that it is given as additional ones.

    `stores` are the folder of each and its records; of several layers with one id, that of
    the first counts. `layers` are the records by id; in place of damaged ones, the reason.
    `stamps` show by a layer's folder that the layer was made anew.
    """

    def __init__(self, stores: Sequence[tuple[Folder, StorageRecords]]) -> None:
        super().__init__()
        self.layers: dict[str, LayerRecord | Fault] = {}
        self.stamps: dict[str, tuple[object, ...]] = {}
        self._homes: dict[str, int] = {}
        self._folders: dict[int, tuple[Folder, Folder]] = {}
        self._stores = stores
        for home, (_, records) in enumerate(stores):
            for layer_id, layer in records.layers.items():
                if layer_id not in self.layers:
                    self.layers[layer_id] = layer
                    self._homes[layer_id] = home

    def stack(self, image: ImageRecord, diff_ids: Sequence[str]) -> list[LayerRecord]:
        """The layers of an image, bottom up, as its config has them.

        The image's own top layer leads to them. Only where that cannot be
        used, a copy of it for other user ids does, which holds the same.
        """
        faults: list[Fault] = []
        for top in image.tops:
            try:
                return self._stack(top, diff_ids)
            except Fault as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        if diff_ids:
            raise self._fault("", f"image {image.record_id} names no top layer")
        return []

    def _stack(self, top: str, diff_ids: Sequence[str]) -> list[LayerRecord]:
        found: list[LayerRecord] = []
        layer_id: str | None = top
        # So a layer that stands on itself comes to an end, too.
        while layer_id is not None and len(found) <= len(diff_ids):
            layer = self._complete(layer_id)
            found.append(layer)
            layer_id = layer.parent
        if len(found) != len(diff_ids):
            count = "more" if len(found) > len(diff_ids) else str(len(found))
            what = f"stands on {count} layers, itself among them, but its image has {len(diff_ids)}"
            raise self._fault(top, f"layer {top} {what}")
        found.reverse()
        for layer, diff_id in zip(found, diff_ids, strict=True):
            # Of a layer that was put together from parts, only the config knows it.
            is_known = layer.diff_id is not None or not layer.partial
            if is_known and layer.diff_id != diff_id:
                what = f"has diff_id {layer.diff_id}, its image's config {diff_id}"
                raise self._fault(layer.layer_id, f"layer {layer.layer_id} {what}")
        return found

    def _complete(self, layer_id: str) -> LayerRecord:
        layer = self.layers.get(layer_id)
        if layer is None:
            raise self._fault(layer_id, f"there is no layer {layer_id}", gone=True)
        if isinstance(layer, Fault):
            raise layer
        if layer.incomplete:
            raise self._fault(layer_id, f"layer {layer_id} is incomplete", gone=True)
        return layer

    def preference(self, layer: LayerRecord) -> tuple[object, ...]:
        """Sorts layers with the same content: the first stands for all of them."""
        return layer.mapped, self._homes[layer.layer_id], layer.layer_id

    def read(self, record: LayerRecord, chain_id: str, parent: str | None, diff_id: str) -> Layer:
        """The layer of `record`, its folder checked."""
        folders, metadata = self._open(self._homes[record.layer_id])
        layer_id = record.layer_id
        folders.require(layer_id, stat.S_IFDIR)
        for name, why in _ELSEWHERE.items():
            if folders.look(f"{layer_id}/{name}") is not None:
                raise Fault(folders.where(layer_id), why)
        folders.require(f"{layer_id}/{CONTENT}", stat.S_IFDIR)
        tar_split = f"{layer_id}.tar-split.gz"
        # Without the whole tar, there may be none.
        has_tar_split = not record.partial or metadata.look(tar_split) is not None
        if has_tar_split:
            require_tar_split(metadata, tar_split)
        folder = folders.where(layer_id)
        self.stamps[folder] = record.created, folders.look(f"{layer_id}/{CONTENT}")
        return Layer(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            folder=folder,
            content=CONTENT,
            metadata_files=(metadata.where(tar_split),) if has_tar_split else (),
            recorded_tar=record.tar_size,
        )

    def link(self, record: LayerRecord) -> str:
        """The file ``link`` of a layer's folder: its name in ``overlay/l``."""
        folders, _ = self._open(self._homes[record.layer_id])
        with folders.folder(record.layer_id) as folder:
            link = folder.read("link", 4096).decode("ascii", "replace").strip()
            if not (link.isascii() and link.isalnum()):
                raise Fault(folder.where("link"), f"holds no link name but {shown(link)}")
        return link

    def _open(self, home: int) -> tuple[Folder, Folder]:
        """The folders that the layers of one store, and their metadata, are in."""
        if home not in self._folders:
            root = self._stores[home][0]
            with ExitStack() as opened:
                folders = opened.enter_context(root.folder(DRIVER))
                self._folders[home] = folders, opened.enter_context(root.folder(LAYERS))
                self.push(opened.pop_all())
        return self._folders[home]

    def _fault(self, layer_id: str, what: str, *, gone: bool = False) -> Fault:
        """What is wrong with a layer of a store; one that no store has is missing in the first."""
        root = self._stores[self._homes.get(layer_id, 0)][1].root
        return Fault(f"{root}/{LAYERS}", what, gone=gone)
