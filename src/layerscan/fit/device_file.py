"""The device file: a device described, so that it can be asked about elsewhere.

Alone knows its JSON; the schema is ``schemas/device.schema.json``. Keys that
it does not know, it passes over.
"""

import json
import os
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc, layersmeta
from layerscan.errors import LayerscanError
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.jsondoc import Place
from layerscan.prediction.filesystems.names import PARAMETERS, FileSystemShape, check_parameters
from layerscan.text import quoted

MAX_DEVICE = 64 * 1024 * 1024  # bytes of the longest device file that is read

_MOST_VOLUMES = 100
_MOST_INSTALLED = 1_000
_MOST_FEATURES = 100


class Described(NamedTuple):
    """A device file."""

    device: Device  # the device, but for the Apps that are installed on it
    installed: tuple[str, ...]  # paths of the metadata of these


def load(path: str) -> Described:
    """Read the device file `path`; DocumentError where it cannot be read, or is malformed."""
    device, installed = loads(jsondoc.read_file(path, MAX_DEVICE), path)
    folder = os.path.dirname(path)
    return Described(device, tuple(os.path.join(folder, name) for name in installed))


def loads(raw: bytes, source: str) -> Described:
    """Read a device file; paths are as they stand there. DocumentError where it is malformed."""
    place = Place(source)
    document = jsondoc.mapping(jsondoc.decode(raw, source), place)
    volumes = _volumes(document, place)

    def volume(key: str, default: str | None = None) -> str:
        name = jsondoc.text(document, key, place, default)
        if name not in volumes:
            raise place.key(key).fault(f"there is no {quoted(name)} in volumes")
        return name

    store_root, docker_root = volume("store_root"), volume("docker_root")
    notes = []
    if "blobs" not in document and "installed" not in document:
        notes.append(f"{source}: has neither blobs nor installed: taken as a device without Apps")
    device = Device(
        source=source,
        architecture=_architecture(document, place),
        volumes=volumes,
        store_root=store_root,
        docker_root=docker_root,
        store_parent=volume("store_root_parent", store_root),
        docker_parent=volume("docker_root_parent", docker_root),
        client_store_root=volume("client_store_root") if "client_store_root" in document else None,
        layers_root=volume("layers_root") if "layers_root" in document else None,
        blobs=dict.fromkeys(_digests(document, "blobs", place)),
        partial=_partial(document, place),
        engine=_engine(document, place),
        notes=tuple(notes),
    )
    return Described(device, _installed(document, place))


def dumps(device: Device) -> bytes:
    """Write the device file of `device`: UTF-8 JSON, keys sorted, ended by a newline."""
    stores, engines, engine = device.store_parent, device.docker_parent, device.engine
    document: dict[str, object] = {
        "architecture": device.architecture,
        "volumes": {name: _plain(volume) for name, volume in device.volumes.items()},
        "store_root": device.store_root,
        "docker_root": device.docker_root,
        "store_root_parent": None if stores == device.store_root else stores,
        "docker_root_parent": None if engines == device.docker_root else engines,
        "client_store_root": device.client_store_root,
        "layers_root": device.layers_root,
        "blobs": sorted(device.blobs),
        "partial": dict(device.partial) or None,
    }
    if engine is not None:
        sets = ("chain_ids", "digests", "image_ids")
        document["engine"] = {
            "store": engine.kind,
            "keeps_blobs": engine.keeps_blobs,
            **{name: sorted(getattr(engine, name)) for name in sets},
        }
    said = {key: value for key, value in document.items() if value is not None}
    return json.dumps(said, indent=2, sort_keys=True).encode() + b"\n"


def _plain(volume: Volume) -> dict[str, object]:
    figures = volume._asdict()
    shape = volume.file_system
    if shape is not None:
        features = {"features": list(shape.features)} if shape.features else {}
        figures["file_system"] = {"kind": shape.kind, **shape.parameters, **features}
    if not volume.withheld_blocks:
        del figures["withheld_blocks"]
    if volume.unit == volume.block_size:
        del figures["fragment_size"]
    return {name: figure for name, figure in figures.items() if figure is not None}


def _volumes(document: dict[str, object], place: Place) -> dict[str, Volume]:
    at = place.key("volumes")
    found = jsondoc.mapping(jsondoc.member(document, "volumes", place), at)
    if len(found) > _MOST_VOLUMES:
        raise at.fault(f"has more than {_MOST_VOLUMES} entries")
    return {
        name: _volume(jsondoc.mapping(value, at.key(name)), at.key(name))
        for name, value in found.items()
    }


def _volume(document: dict[str, object], place: Place) -> Volume:
    def known(key: str) -> int | None:
        return jsondoc.integer(document, key, place) if key in document else None

    volume = Volume(
        jsondoc.integer(document, "block_size", place),
        jsondoc.integer(document, "blocks", place),
        jsondoc.integer(document, "free_blocks", place),
        jsondoc.integer(document, "available_blocks", place),
        known("withheld_blocks") or 0,
        known("fragment_size"),
        known("inodes"),
        known("free_inodes"),
        _file_system(document, place.key("file_system")) if "file_system" in document else None,
    )
    if (volume.inodes is None) != (volume.free_inodes is None):
        lacking = "inodes" if volume.inodes is None else "free_inodes"
        raise place.fault(f'key "{lacking}" is missing: inodes and free_inodes go together')
    for key in ("block_size", "fragment_size"):
        if getattr(volume, key) == 0:
            raise place.key(key).fault("must be positive")
    for key, limit in (
        ("free_blocks", "blocks"),
        ("available_blocks", "free_blocks"),
        ("withheld_blocks", "free_blocks"),
        ("free_inodes", "inodes"),
    ):
        if (getattr(volume, key) or 0) > (getattr(volume, limit) or 0):
            raise place.key(key).fault(f"must be at most {limit}, {getattr(volume, limit)}")
    return volume


def _file_system(volume: dict[str, object], place: Place) -> FileSystemShape:
    document = jsondoc.mapping(volume["file_system"], place)
    kind = jsondoc.text(document, "kind", place)
    parameters: dict[str, int | str] = {}
    for key in sorted({key for known in PARAMETERS.values() for key in known} & document.keys()):
        read = jsondoc.text if key == "profile" else jsondoc.integer
        parameters[key] = read(document, key, place)
    features = jsondoc.strings(document, "features", place, longest=_MOST_FEATURES)
    if kind in PARAMETERS:
        try:
            check_parameters(kind, parameters)
        except LayerscanError as error:
            raise place.fault(str(error)) from None
    known = {key: parameters[key] for key in PARAMETERS.get(kind, ()) if key in parameters}
    return FileSystemShape(kind, known, features)


def _architecture(document: dict[str, object], place: Place) -> str | None:
    if "architecture" not in document:
        return None
    architecture = jsondoc.text(document, "architecture", place)
    if not layersmeta.is_architecture(architecture):
        raise place.key("architecture").fault(f"{quoted(architecture)} is no architecture name")
    return architecture


def _digests(document: dict[str, object], key: str, place: Place) -> tuple[str, ...]:
    no, fits = digests.NO_DIGEST, digests.is_digest
    return jsondoc.strings(document, key, place, what=no, fits=fits)


def _installed(document: dict[str, object], place: Place) -> tuple[str, ...]:
    what, most = "must be the path of a file", _MOST_INSTALLED
    return jsondoc.strings(document, "installed", place, longest=most, what=what, fits=bool)


def _partial(document: dict[str, object], place: Place) -> dict[str, int]:
    at = place.key("partial")
    found = jsondoc.mapping(document.get("partial", {}), at)
    for name in found:
        if not digests.is_digest(name.rpartition("@")[2]):
            raise at.key(name).fault(digests.NO_DIGEST)
    return {name: jsondoc.integer(found, name, at) for name in found}


def _engine(document: dict[str, object], place: Place) -> EngineLayers | None:
    if "engine" not in document:
        return None
    at = place.key("engine")
    engine = jsondoc.mapping(document["engine"], at)
    keeps_blobs = jsondoc.member(engine, "keeps_blobs", at)
    if not isinstance(keeps_blobs, bool):
        raise at.key("keeps_blobs").fault("must be true or false")
    sets = (frozenset(_digests(engine, k, at)) for k in ("chain_ids", "digests", "image_ids"))
    return EngineLayers(jsondoc.text(engine, "store", at), keeps_blobs, *sets)
