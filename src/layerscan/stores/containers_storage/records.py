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
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.files.safefs import Fault, Folder, FolderEntry
from layerscan.jsondoc import Place
from layerscan.stores.engine_files import fault_of, parse_json

DRIVER = "overlay"
IMAGES = f"{DRIVER}-images"
LAYERS = f"{DRIVER}-layers"

IMAGES_FILE = "images.json"
LAYERS_FILES = ("layers.json", "volatile-layers.json")
"""In the second are layers that need not outlive the machine's next start."""

_LONGEST = 64 << 20
"""Bytes of a list. A record has about one kilobyte, an image's up to three."""

_PLAIN_NAME = re.compile(r"[.0-9a-z]+", re.ASCII)
_LONGEST_STAMP = 64
_NO_ID = "is no id of 64 hex digits"


class LayerRecord(NamedTuple):
    """A layer as the store has it on record. Its id, 64 hex digits, is the name of its folder."""

    layer_id: str
    parent: str | None  # id of the layer beneath, None at the bottom
    diff_id: str | None  # none of containers, and of layers that were not pulled as a whole
    digest: str | None  # of what it was made from: the compressed archive, or the uncompressed tar
    tar_size: int | None  # length in bytes of the uncompressed tar, None if not known
    incomplete: bool  # it is being made or removed, or that was interrupted
    partial: bool
    """It was put together from the parts that were missing here: of its tar nothing is known."""
    mapped: bool  # it is a copy for other user ids
    created: str  # when, as it is written there: a layer that was made anew differs


class ImageRecord(NamedTuple):
    """An image as the store has it on record."""

    record_id: str  # 64 hex digits, the name of the folder of its documents
    names: tuple[str, ...]
    tops: tuple[str, ...]
    """Ids of its top layer: the image's own, then copies for other user ids. Empty for an
    image without layers, and for a list of images."""
    documents: tuple[str, ...]  # their names
    digests: dict[str, str]  # of the documents, where they are on record, by name
    created: str = ""  # when, as it is written there


class StorageRecords(NamedTuple):
    """What the lists of the store in the folder `root` say."""

    root: str
    identity: tuple[FolderEntry | None, ...]  # differs if one of the lists was changed meanwhile
    images: tuple[ImageRecord, ...]
    layers: dict[str, LayerRecord | Fault]
    """By id; in place of one whose record is damaged, the reason."""
    faults: tuple[Fault, ...]  # what is wrong with records that no id can be given to


def read_identity(root: Folder) -> tuple[FolderEntry | None, ...]:
    """What the lists are at the moment, so that a change of one shows."""
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
    go after it. A list that cannot be used at all is a `Fault`.
    """
    identity = read_identity(root)
    faults: list[Fault] = []
    images: list[ImageRecord] = []
    layers: dict[str, LayerRecord | Fault] = {}
    for value, place in read_list(root, IMAGES, IMAGES_FILE):
        try:
            images.append(_image(value, place))
        except DocumentError as error:
            faults.append(fault_of(error, place.source))
    for file in LAYERS_FILES:
        for value, place in read_list(root, LAYERS, file):
            _add_layer(value, place, layers, faults)
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
    """Whether the store in the folder `root` has any image on record."""
    return next(read_list(root, IMAGES, IMAGES_FILE), None) is not None


def document_file(name: str) -> str:
    """The file of an image's document `name`: ``makeBigDataBaseName`` of containers/storage."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return "=" + base64.b64encode(name.encode()).decode()


def read_list(root: Folder, name: str, file: str) -> Iterator[tuple[object, Place]]:
    """The entries of a list, and where each is, to be said in messages."""
    folder = root.folder_if_there(name)
    if folder is None:
        return
    with folder:
        raw = folder.read_if_there(file, _LONGEST)
        where = folder.where(file)
    # An empty file is a list without entries; Go writes null for one never made.
    entries = (parse_json(raw, where, as_go=True) if raw else None) or []
    if not isinstance(entries, list):
        raise Fault(where, "is no JSON list")
    for index, entry in enumerate(entries):
        yield entry, Place(f"{where}[{index}]")


def _add_layer(
    value: object, place: Place, layers: dict[str, LayerRecord | Fault], faults: list[Fault]
) -> None:
    layer_id = None
    try:
        document = jsondoc.mapping(value, place)
        layer_id = _id(document, "id", place)
        if layer_id in layers:
            raise place.fault(f"there are two layers with the id {layer_id}")
        layers[layer_id] = _layer(document, layer_id, place)
    except DocumentError as error:
        fault = fault_of(error, place.source)
        if layer_id is None:
            faults.append(fault)
        else:
            layers[layer_id] = fault


def _layer(document: dict[str, object], layer_id: str, place: Place) -> LayerRecord:
    flags: dict[str, object] = {}
    if "flags" in document:
        flags = jsondoc.mapping(document["flags"], place.key("flags"))
    created = jsondoc.text(document, "created", place, "")
    if len(created) > _LONGEST_STAMP:
        raise place.key("created").fault("is too long")
    return LayerRecord(
        layer_id=layer_id,
        parent=_id(document, "parent", place) if "parent" in document else None,
        diff_id=_digest(document, "diff-digest", place),
        digest=_digest(document, "compressed-diff-digest", place),
        tar_size=_size(document, "diff-size", place),
        incomplete=flags.get("incomplete") is True,
        partial=_digest(document, "toc-digest", place) is not None,
        mapped=bool(document.get("uidmap") or document.get("gidmap")),
        created=created,
    )


def _image(value: object, place: Place) -> ImageRecord:
    document = jsondoc.mapping(value, place)
    tops = [_id(document, "layer", place)] if "layer" in document else []
    tops += jsondoc.strings(document, "mapped-layers", place)
    if not all(map(digests.is_hex, tops)):
        raise place.key("mapped-layers").fault(_NO_ID)
    known = jsondoc.mapping(document.get("big-data-digests", {}), place.key("big-data-digests"))
    return ImageRecord(
        record_id=_id(document, "id", place),
        names=jsondoc.strings(document, "names", place),
        tops=tuple(dict.fromkeys(tops)),
        documents=jsondoc.strings(document, "big-data-names", place),
        digests={name: digest for name, digest in known.items() if digests.is_digest(digest)},
        created=jsondoc.text(document, "created", place, ""),
    )


def _id(document: dict[str, object], key: str, place: Place) -> str:
    value = jsondoc.text(document, key, place)
    if not digests.is_hex(value):
        raise place.key(key).fault(_NO_ID)
    return value


def _digest(document: dict[str, object], key: str, place: Place) -> str | None:
    return jsondoc.digest(document, key, place) if key in document else None


def _size(document: dict[str, object], key: str, place: Place) -> int | None:
    # -1 stands for a length that is not known.
    return None if document.get(key, -1) == -1 else jsondoc.integer(document, key, place)
