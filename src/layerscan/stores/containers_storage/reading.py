"""One reading of a store of containers/storage, from its lists to images.

Owns how records, documents and layers become images: which of several layers
with the same content stands for all, which image a name means, and what is
lost with what could not be read. Reads every file at most once.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

from layerscan.digest import chain_ids
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci.platforms import preference, this_machine
from layerscan.reference import Reference
from layerscan.stores.containers_storage.documents import StoredDocuments, read_documents
from layerscan.stores.containers_storage.footprint import image_paths, layer_paths
from layerscan.stores.containers_storage.layers import LayerStores
from layerscan.stores.containers_storage.records import (
    IMAGES,
    IMAGES_FILE,
    ImageRecord,
    LayerRecord,
    StorageRecords,
    read_identity,
    read_records,
)
from layerscan.stores.model import Image, Layer
from layerscan.stores.readings import LayerPosition, Reading, full_name, image_label, some

_SHORT_ID = 12


class _RecordedImage(NamedTuple):
    """An image while its layers are looked up."""

    label: str
    record: ImageRecord
    documents: StoredDocuments
    folder: str  # absolute path of that of its documents
    stack: list[LayerRecord]  # its layers, bottom up, as `chains`
    chains: list[str]
    given: tuple[Reference, ...]  # the names on record
    by_digest: tuple[Reference, ...]  # the same repositories with the digests it was pulled by

    @property
    def names(self) -> tuple[Reference, ...]:
        """All names that lead to it."""
        return tuple(dict.fromkeys((*self.given, *self.by_digest)))

    def added_to(self, other: "_RecordedImage | None") -> "_RecordedImage":
        """One image of what two stores, or two records of one, have of it."""
        if other is None:
            return self
        given, by_digest = other.given + self.given, other.by_digest + self.by_digest
        return other._replace(given=given, by_digest=by_digest)


class StorageReading(Reading):
    """What one reading of the store found; it has seen images by the ids of their records.

    It is in the first of `roots`, those after it only give it images. `records` are the
    lists of each that could be read, `stamps` those of `LayerStores`.
    """

    def __init__(self, roots: Iterable[str], *, exact: bool) -> None:
        super().__init__()
        self.records: list[StorageRecords] = []
        self.stamps: dict[str, tuple[object, ...]] = {}
        self._exact = exact
        with ExitStack() as opened:
            stores: list[tuple[Folder, StorageRecords]] = []
            for number, root in enumerate(roots):
                try:
                    folder = opened.enter_context(Folder(root))
                    stores.append((folder, read_records(folder)))
                except Fault as fault:
                    if number == 0:
                        raise
                    self._note(fault, then="; no image of this additional store is known")
            self.records = [records for _, records in stores]
            self._read(stores)
            if any(read_identity(folder) != records.identity for folder, records in stores):
                self.settled = False

    def _read(self, stores: list[tuple[Folder, StorageRecords]]) -> None:
        with LayerStores(stores) as layer_stores:
            found: dict[str, _RecordedImage] = {}
            for folder, records in stores:
                for fault in records.faults:
                    self._note(fault)
                for one in self._read_images(folder, records, layer_stores):
                    image_id = one.documents.image_id
                    found[image_id] = one.added_to(found.get(image_id))
            layers = self._read_layers(found.values(), layer_stores)
            owners = _owners(found)
            for image_id in sorted(found):
                self._add_image(found[image_id], layers, owners)
            self._note_incomplete(layer_stores)
            self.stamps = layer_stores.stamps

    def _read_images(
        self, root: Folder, records: StorageRecords, layer_stores: LayerStores
    ) -> list[_RecordedImage]:
        if not records.images:
            return []
        found = []
        names_taken: dict[Reference, str] = {}
        with root.folder(IMAGES) as images:
            for record in records.images:
                names = self._names(record, images.where(IMAGES_FILE), names_taken)
                label = image_label(names, record.record_id[:_SHORT_ID])
                self.seen.setdefault(record.record_id, label)
                try:
                    documents = read_documents(images, record)
                    if documents is None:
                        # A list of images has no layers, and its images have records.
                        del self.seen[record.record_id]
                        continue
                    stack = layer_stores.stack(record, documents.config.diff_ids)
                except Fault as fault:
                    self._note(fault, label)
                    continue
                for useless in documents.faults:
                    self._note(useless, then=f"; {label} has no name by that digest")
                by_digest = [
                    Reference(name.registry, name.path, None, digest)
                    for name in names
                    for digest in documents.digests
                ]
                found.append(
                    _RecordedImage(
                        label=label,
                        record=record,
                        documents=documents,
                        folder=images.where(record.record_id),
                        stack=stack,
                        chains=list(chain_ids(documents.config.diff_ids)),
                        given=tuple(names),
                        by_digest=tuple(by_digest),
                    )
                )
        return found

    def _names(
        self, record: ImageRecord, where: str, taken: dict[Reference, str]
    ) -> list[Reference]:
        names = []
        for text in record.names:
            try:
                name = full_name(text)
            except ReferenceSyntaxError as error:
                self._note(Fault(where, str(error)))
                continue
            if name.digest is not None:
                # It says it all, whatever tag is beside it.
                name = Reference(name.registry, name.path, None, name.digest)
            owner = taken.setdefault(name, record.record_id)
            if owner == record.record_id:
                names.append(name)
            else:
                what = f"{name.familiar} names two images, {owner} and {record.record_id}"
                self._note(Fault(where, what))
        return names

    def _add_image(
        self, one: _RecordedImage, layers: dict[str, Layer | Fault], owners: dict[Reference, str]
    ) -> None:
        whole = self._whole([layers[chain] for chain in one.chains], one.label)
        if whole is None:
            return
        documents = one.documents
        names = sorted(name for name in one.names if owners[name] == documents.image_id)
        self.images.append(
            Image(
                image_id=documents.image_id,
                names=tuple(names),
                layers=whole,
                digests=_digests(one, names),
                exact_paths=image_paths(one.folder, one.record) if self._exact else (),
                created=documents.config.created,
                steps=documents.config.steps,
                **documents.config.platform._asdict(),
            )
        )

    def _read_layers(
        self, found: Iterable[_RecordedImage], layer_stores: LayerStores
    ) -> dict[str, Layer | Fault]:
        """The layer of each chain_id, or why it cannot be read.

        The store may have the same content on the same layers more than once,
        for other user ids or pulled in another way. One stands for all.
        """
        positions: dict[str, LayerPosition] = {}
        candidates: dict[str, dict[str, LayerRecord]] = defaultdict(dict)
        for one in found:
            parent = None
            diff_ids = one.documents.config.diff_ids
            for chain, diff_id, record in zip(one.chains, diff_ids, one.stack, strict=True):
                positions[chain] = parent, diff_id
                candidates[chain][record.layer_id] = record
                parent = chain
        layers: dict[str, Layer | Fault] = {}
        for chain, position in positions.items():
            records = sorted(candidates[chain].values(), key=layer_stores.preference)
            layers[chain] = self._read_layer(records, layer_stores, chain, position)
            if len(records) > 1:
                self.notes.append(
                    f"layer {chain}: the store has it {len(records)} times, it counts once: "
                    f"{some(record.layer_id[:_SHORT_ID] for record in records)}"
                )
        return layers

    def _read_layer(
        self,
        records: list[LayerRecord],
        layer_stores: LayerStores,
        chain: str,
        position: LayerPosition,
    ) -> Layer | Fault:
        """The layer of the first of `records` that can be read, else why the first cannot."""
        faults: list[Fault] = []
        for record in records:
            try:
                layer = layer_stores.read(record, chain, *position)
                if self._exact:
                    link = layer_stores.link(record)
                    layer = layer._replace(exact_paths=layer_paths(layer, link))
            except Fault as fault:
                faults.append(fault)
            else:
                return layer
        return faults[0]

    def _note_incomplete(self, layer_stores: LayerStores) -> None:
        incomplete = [
            layer.layer_id[:_SHORT_ID]
            for layer in layer_stores.layers.values()
            if isinstance(layer, LayerRecord) and layer.incomplete
        ]
        if incomplete:
            count = "a layer" if len(incomplete) == 1 else f"{len(incomplete)} layers"
            self.notes.append(
                f"{self.records[0].root}: {count} left out, being pulled or removed, or left over "
                f"from a pull that was interrupted: {some(incomplete)}"
            )


def _owners(found: dict[str, _RecordedImage]) -> dict[Reference, str]:
    """Which image each name means.

    Names are given to one image; but the digest of an index leads to an image for each
    platform, of which this machine's is meant, and additional stores have names of their own.
    """
    machine = this_machine()
    ranks = {
        image_id: preference(one.documents.config.platform, machine)
        for image_id, one in found.items()
    }
    owners: dict[Reference, str] = {}
    for image_id, one in found.items():
        rank = ranks[image_id]
        for name in one.names:
            best = ranks[owners.setdefault(name, image_id)]
            if name.digest is not None and rank is not None and (best is None or rank < best):
                owners[name] = image_id
    return owners


def _digests(one: _RecordedImage, names: Iterable[Reference]) -> dict[str, tuple[str | None, ...]]:
    """The digest of each layer in each repository that `names` are of.

    The store does not record what repository a manifest is from, unless the
    image has the name of its digest there. Else the manifest counts that the
    image was made from last, and after all manifests what is on record of the
    layer itself.
    """
    found: dict[str, tuple[str | None, ...]] = {}
    documents = one.documents
    for repository in dict.fromkeys(name.repository for name in names) or ("",):
        own = [
            name.digest
            for name in one.given
            if name.repository == repository and name.digest in documents.manifests
        ]
        preferred = own[-1] if own else None
        digests: list[str | None] = []
        for index, record in enumerate(one.stack):
            known = documents.layer_digests(index, preferred)
            if record.digest is not None and record.digest != documents.config.diff_ids[index]:
                known.append(record.digest)
            digests.append(known[0] if known else None)
        found[repository] = tuple(digests)
    return found
