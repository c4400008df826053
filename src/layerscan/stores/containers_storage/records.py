"""The records of containers/storage: its lists of layers and of images.

Owns the formats of ``layers.json``, ``volatile-layers.json`` and
``images.json``, the names of the files that an image's documents are in, and
the checks of each (``layers.go``, ``images.go`` of containers/storage). What
the records mean together is ``reading``'s matter.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.files.safefs import Fault, Folder, FolderEntry, or_fault
from layerscan.stores.engine_files import parse_json
from layerscan.text import shown

DRIVER = "overlay"
IMAGES = f"{DRIVER}-images"
LAYERS = f"{DRIVER}-layers"

IMAGES_FILE = "images.json"
LAYERS_FILES = ("layers.json", "volatile-layers.json")
"""In the second are layers that need not outlive the machine's next start."""

_LONGEST = 64 << 20
"""Bytes of a list. A record has about one kilobyte, an image's up to three."""

_LARGEST_SIZE = (1 << 63) - 1
_PLAIN_NAME = re.compile(r"[.0-9a-z]+", re.ASCII)
_LONGEST_STAMP = 64


class LayerRecord(NamedTuple):
    """A layer as the store has it on record.

    Attributes:
        layer_id: 64 hex digits, the name of its folder.
        parent: id of the layer beneath, None at the bottom.
        diff_id: digest of its uncompressed tar, None where it is not on record:
            of containers, and of layers that were not pulled as a whole.
        digest: digest of what it was made from as that came: the compressed
            archive, or the uncompressed tar.
        tar_size: length in bytes of the uncompressed tar, None if not known.
        incomplete: it is being made or removed, or that was interrupted.
        partial: it was put together from the parts that were missing here
            (``toc-digest``), so of its tar nothing need be known.
        mapped: it is a copy for other user ids (``uidmap``, ``gidmap``).
        created: when, as it is written there: a layer that was made anew differs.
    """

    layer_id: str
    parent: str | None
    diff_id: str | None
    digest: str | None
    tar_size: int | None
    incomplete: bool
    partial: bool
    mapped: bool
    created: str


class ImageRecord(NamedTuple):
    """An image as the store has it on record.

    Attributes:
        record_id: 64 hex digits, the name of the folder of its documents.
        names: as they are written there.
        tops: ids of its top layer: the image's own, then copies for other user
            ids. Empty for an image without layers, and for a list of images.
        documents: names of its documents.
        digests: of the documents, where they are on record, by name.
    """

    record_id: str
    names: tuple[str, ...]
    tops: tuple[str, ...]
    documents: tuple[str, ...]
    digests: dict[str, str]


class StorageRecords(NamedTuple):
    """What the lists of one store say.

    Attributes:
        root: absolute path of the store's folder.
        identity: differs if one of the lists was changed meanwhile.
        images: in the order of the list.
        layers: by id; in place of one whose record is damaged, the reason.
        faults: what is wrong with records that no id can be given to.
    """

    root: str
    identity: tuple[FolderEntry | None, ...]
    images: tuple[ImageRecord, ...]
    layers: dict[str, LayerRecord | Fault]
    faults: tuple[Fault, ...]


def read_identity(root: Folder) -> tuple[FolderEntry | None, ...]:
    """What the lists are at the moment, so that a change of one shows.

    Raises:
        Fault: one cannot be looked at.
    """
    entries: list[FolderEntry | None] = []
    for name, files in ((IMAGES, (IMAGES_FILE,)), (LAYERS, LAYERS_FILES)):
        folder = root.folder_if_there(name)
        if folder is not None:
            with folder:
                entries += [folder.look(file) for file in files]
    return tuple(entries)


def read_records(root: Folder) -> StorageRecords:
    """Read the lists of the store in the folder `root`.

    The images come first: the layers of one are on record before it is, and
    go after it.

    Raises:
        Fault: a list cannot be used at all.
    """
    identity = read_identity(root)
    faults: list[Fault] = []
    images: list[ImageRecord] = []
    layers: dict[str, LayerRecord | Fault] = {}
    for value, where in _list(root, IMAGES, IMAGES_FILE):
        try:
            images.append(_image(value, where))
        except Fault as fault:
            faults.append(fault)
    for file in LAYERS_FILES:
        for value, where in _list(root, LAYERS, file):
            _add_layer(value, where, layers, faults)
    return StorageRecords(root.path, identity, tuple(images), layers, tuple(faults))


def kept_layers(stores: Sequence[StorageRecords]) -> dict[str, str]:
    """The layers that an image of `stores` keeps, with the time on record of each being made."""
    layers: dict[str, LayerRecord] = {}
    for records in stores:
        for layer_id, layer in records.layers.items():
            if isinstance(layer, LayerRecord):
                layers.setdefault(layer_id, layer)
    kept: dict[str, str] = {}
    tops = (top for records in stores for image in records.images for top in image.tops)
    for top in tops:
        found = layers.get(top)
        while found and not found.incomplete and found.layer_id not in kept:
            kept[found.layer_id] = found.created
            found = layers.get(found.parent) if found.parent else None
    return kept


def has_images(root: Folder) -> bool:
    """Whether the store in the folder `root` has any image on record.

    Raises:
        Fault: that cannot be read.
    """
    return next(_list(root, IMAGES, IMAGES_FILE), None) is not None


def document_file(name: str) -> str:
    """The name of the file that an image's document `name` is in.

    The rule is ``makeBigDataBaseName``'s in containers/storage.
    """
    if _PLAIN_NAME.fullmatch(name):
        return name
    return "=" + base64.b64encode(name.encode()).decode()


def _list(root: Folder, name: str, file: str) -> Iterator[tuple[object, str]]:
    """The entries of a list, and where each is, to be said in messages."""
    folder = root.folder_if_there(name)
    if folder is None:
        return
    with folder:
        raw = folder.read_if_there(file, _LONGEST)
        where = folder.where(file)
    # An empty file is a list without entries; Go writes null for one never made.
    entries = (parse_json(raw, where) if raw else None) or []
    if not isinstance(entries, list):
        raise Fault(where, "is no JSON list")
    for index, entry in enumerate(entries):
        yield entry, f"{where}[{index}]"


def _add_layer(
    value: object, where: str, layers: dict[str, LayerRecord | Fault], faults: list[Fault]
) -> None:
    try:
        document = _record(value, where)
        layer_id = _id(document, "id", where)
    except Fault as fault:
        faults.append(fault)
        return
    if layer_id in layers:
        layers[layer_id] = Fault(where, f"there are two layers with the id {layer_id}")
    else:
        layers[layer_id] = or_fault(_layer, document, layer_id, where)


def _layer(document: dict[str, object], layer_id: str, where: str) -> LayerRecord:
    flags = document.get("flags") or {}
    if not isinstance(flags, dict):
        raise Fault(where, f"the flags of layer {layer_id} are {shown(flags)}")
    created = document.get("created", "")
    if not isinstance(created, str) or len(created) > _LONGEST_STAMP:
        raise Fault(where, f"created of layer {layer_id} is {shown(created)}")
    return LayerRecord(
        layer_id=layer_id,
        parent=_id(document, "parent", where) if document.get("parent") else None,
        diff_id=_digest(document, "diff-digest", where),
        digest=_digest(document, "compressed-diff-digest", where),
        tar_size=_size(document, "diff-size", where),
        incomplete=flags.get("incomplete") is True,
        partial=_digest(document, "toc-digest", where) is not None,
        mapped=bool(document.get("uidmap") or document.get("gidmap")),
        created=created,
    )


def _image(value: object, where: str) -> ImageRecord:
    document = _record(value, where)
    record_id = _id(document, "id", where)
    tops = [_id(document, "layer", where)] if document.get("layer") else []
    for top in _texts(document, "mapped-layers", where):
        if not digests.is_hex(top):
            raise Fault(where, f"mapped-layers holds no layer id but {shown(top)}")
        tops.append(top)
    known = document.get("big-data-digests") or {}
    if not isinstance(known, dict):
        raise Fault(where, f"big-data-digests is {shown(known)}")
    return ImageRecord(
        record_id=record_id,
        names=_texts(document, "names", where),
        tops=tuple(dict.fromkeys(tops)),
        documents=_texts(document, "big-data-names", where),
        digests={name: digest for name, digest in known.items() if digests.is_digest(digest)},
    )


def _record(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Fault(where, "is no JSON object")
    return value


def _id(document: dict[str, object], key: str, where: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not digests.is_hex(value):
        raise Fault(where, f"{key} is no id of 64 hex digits but {shown(value)}")
    return value


def _digest(document: dict[str, object], key: str, where: str) -> str | None:
    value = document.get(key) or None
    if value is not None and not (isinstance(value, str) and digests.is_digest(value)):
        raise Fault(where, f"{key} is no digest but {shown(value)}")
    return value


def _size(document: dict[str, object], key: str, where: str) -> int | None:
    value = document.get(key)
    # -1 stands for a length that is not known.
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_SIZE:
        raise Fault(where, f"{key} is no size in bytes but {shown(value)}")
    return value


def _texts(document: dict[str, object], key: str, where: str) -> tuple[str, ...]:
    values = document.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Fault(where, f"{key} is no list of text: {shown(values)}")
    return tuple(values)
