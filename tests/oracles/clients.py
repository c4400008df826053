"""The clients' rules once more, written down straight from fit-check's words.

Nothing here comes from the package: a device, an App's blobs and a document of metadata are
plain dictionaries, and every rule is spelt out as it reads, in Python's own integers,
fractions and floats. What the policies answer is held against this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A decoded document, of which nothing is sure."""

UINT64 = 2**64
INT64 = 2**63
ABSENT = object()


@dataclass
class Disk:
    """By the names of statvfs(3)."""

    f_bsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int


@dataclass
class Node:
    """A blob of an App's tree."""

    digest: str
    size: int
    is_layer: bool
    reference: str = ""
    is_metadata: bool = False


@dataclass
class Machine:
    """A device: disks of the two roots and of the folder that gives blocks, and the store."""

    store: Disk
    docker: Disk
    block_size: int
    same_volume: bool
    there: dict[str, int | None] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

    def has(self, digest: str, size: int) -> bool:
        return digest in self.there and self.there[digest] in (None, size)


@dataclass
class Answer:
    fits: bool
    required: list[int]
    available: list[int]


# composectl.


class GoDecoder:
    """For each architecture the usages, and whether a value has a wrong type."""

    def __init__(self) -> None:
        self.wrong = False

    def metadata(self, document: Json) -> dict[str, dict[str, int]]:
        """`document` is JSON of which no object has a key twice."""
        found: dict[str, dict[str, int]] = {}
        for name, value in self.members(document):
            found[name] = {}
            for key, inner in self.members(value):
                if self.names(key, "fs_block_size"):
                    self.integer(inner)
                if self.names(key, "layers"):
                    layers = self.members(inner)
                    found[name] |= {digest: self.usage(layer) for digest, layer in layers}
        return found

    def usage(self, layer: Json) -> int:
        found = 0
        for key, number in self.members(layer):
            if self.names(key, "size", "usage", "archive_size"):
                read = self.integer(number)
                if self.names(key, "usage") and read is not None:
                    found = read
        return found

    def names(self, key: str, *fields: str) -> bool:
        return key.lower() in fields

    def integer(self, value: Json) -> int | None:
        if value is None:
            return None
        if type(value) is int and -INT64 <= value < INT64:
            return value
        self.wrong = True
        return None

    def members(self, value: Json) -> list[tuple[str, Json]]:
        if isinstance(value, dict):
            return list(value.items())
        self.wrong = self.wrong or value is not None
        return []


def round_up(size: int, block_size: int) -> int:
    rest = size % block_size
    return size + block_size - rest if size > 0 and rest > 0 else size


def missing_of(
    tree: list[Node], metadata: Json, architecture: str, machine: Machine
) -> dict[str, tuple[int, int]]:
    """Of each missing blob what it needs in the store, and what it needs to run."""
    decoder = GoDecoder()
    known = {} if metadata is ABSENT else decoder.metadata(metadata)
    missing: dict[str, tuple[int, int]] = {}
    for node in tree:
        if node.is_metadata and decoder.wrong:
            continue
        if machine.has(node.digest, node.size):
            continue
        part = 0
        if node.digest not in machine.there:
            part = machine.parts.get(node.reference, 0)
        store = round_up(max(node.size - part, 0), machine.block_size)
        if node.is_layer and architecture in known and node.digest in known[architecture]:
            runtime = known[architecture][node.digest]
        elif node.is_layer and architecture in known:
            runtime = 5 * node.size
        else:
            runtime = round_up(node.size, machine.block_size)
        missing[node.digest] = store, runtime
    return missing


def composectl_available(disk: Disk, watermark: int, reserved: int | None, taken: int = 0) -> int:
    free = max(disk.f_bfree * disk.f_bsize - taken, 0)
    if reserved is None:
        reserved = math.trunc((100 - watermark) / 100.0 * float(disk.f_bsize * disk.f_blocks))
    return max(free - reserved, 0)


def composectl(
    apps: list[tuple[list[Node], Json]],
    architecture: str,
    machine: Machine,
    watermark: int,
    reserved: int | None = None,
) -> Answer:
    missing: dict[str, tuple[int, int]] = {}
    for tree, metadata in apps:
        missing |= missing_of(tree, metadata, architecture, machine)
    required = sum(store + runtime for store, runtime in missing.values()) % UINT64
    available = composectl_available(machine.store, watermark, reserved)
    return Answer(not (missing and required > available), [required], [available])


def aktualizr_lite(
    apps: list[tuple[list[Node], Json]],
    architecture: str,
    machine: Machine,
    watermark: int,
    reserved: int | None = None,
) -> Answer:
    answer = Answer(fits=True, required=[], available=[])
    there = dict(machine.there)
    taken = 0
    for tree, metadata in apps:
        now = Machine(
            machine.store,
            machine.docker,
            machine.block_size,
            machine.same_volume,
            there,
            machine.parts,
        )
        missing = missing_of(tree, metadata, architecture, now)
        required = sum(store + runtime for store, runtime in missing.values()) % UINT64
        available = composectl_available(machine.store, watermark, reserved, taken)
        answer.required.append(required)
        answer.available.append(available)
        if missing and required > available:
            answer.fits = False
            break
        taken += sum(store for store, _ in missing.values())
        sizes = {node.digest: node.size for node in tree}
        there = {**there, **{digest: sizes[digest] for digest in missing}}
    return answer


# The engine before.


class EngineError(Exception):
    """The engine fails."""


class UnusableError(Exception):
    """The engine gives the metadata up."""


def is_int64(value: Json) -> bool:
    if type(value) is float:
        return -INT64 <= value < INT64 and value == math.floor(value)
    return type(value) is int and -INT64 <= value < INT64


def as_int64(value: Json) -> int:
    if value is None or value is ABSENT:
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float) and -INT64 <= value < INT64:
        return int(value)
    raise UnusableError


def skopeo_precise(metadata: Json, architecture: str, machine: Machine) -> tuple[int, int]:
    if not isinstance(metadata, dict) or architecture not in metadata:
        raise UnusableError
    one = metadata[architecture]
    if one is not None and not isinstance(one, dict):
        raise UnusableError
    layers = (one or {}).get("layers")
    if isinstance(layers, list) and layers:
        raise UnusableError
    store = docker = 0
    for digest, layer in layers.items() if isinstance(layers, dict) else ():
        if not digest.startswith("sha256:") or len(digest) != 71:
            raise UnusableError
        if digest in machine.there:
            continue
        if not isinstance(layer, dict) or not is_int64(layer.get("usage", ABSENT)):
            raise UnusableError
        as_int64(layer.get("size"))
        store += as_int64(layer.get("archive_size")) % UINT64
        docker += int(layer["usage"]) % UINT64
        if store >= UINT64 or docker >= UINT64:
            raise UnusableError
    return store, docker


def skopeo_estimate(layers: list[dict[str, Json]], machine: Machine) -> tuple[int, int]:
    store = 0
    for layer in layers:
        if layer["digest"] in machine.there:
            continue
        size = layer["size"]
        if not is_int64(size) or size < 0:
            raise EngineError
        store += int(size)
    if 5 * store >= UINT64:
        raise EngineError
    return store, 5 * store


def skopeo_available(disk: Disk, watermark: int, reserved: int | None, *, root: bool) -> int:
    if reserved is not None:
        return max(disk.f_bsize * disk.f_bfree - reserved, 0)
    free = disk.f_bsize * (disk.f_bfree if root else disk.f_bavail)
    reserved = disk.f_bsize * math.ceil(disk.f_blocks * ((100 - watermark) / 100.0))
    return max(free - reserved, 0)


def skopeo(  # noqa: PLR0917 - what the rule is about
    archive: int,
    metadata: Json,
    manifest: list[dict[str, Json]] | None,
    architecture: str,
    machine: Machine,
    watermark: int,
    *,
    root: bool,
    reserved: int | None = None,
) -> bool:
    """Whether the engine says that an App fits."""
    at_store = skopeo_available(machine.store, watermark, reserved, root=root)
    at_docker = skopeo_available(machine.docker, watermark, reserved, root=root)
    if 3 * archive > at_store:
        return False
    try:
        store, docker = skopeo_precise(metadata, architecture, machine)
    except UnusableError:
        if manifest is None:
            return True
        store, docker = skopeo_estimate(manifest, machine)
    if store > at_store or docker > at_docker:
        return False
    return not (machine.same_volume and store + docker > at_store)
