"""The rules of composectl, as its ``check`` and ``pull`` have them.

Everything is counted on the volume of the store root, the engine's data
included. The part of a disk that is set aside is the product of two IEEE
doubles, cut to an integer: so it is here.

The client adds in integers of 64 bits, and compares the sum as one without a sign. So
a sum below nothing is a huge one, and one beyond 64 bits begins anew.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit import go_metadata
from layerscan.fit.contents import AppContents, Blob, BlobKind
from layerscan.fit.device import Device
from layerscan.fit.figures import ClientLayer, archive_sizes
from layerscan.fit.verdict import Limit, Missing, Others, Rule, Space, Verdict, Watermarks

NAME = "composectl"
WATERMARKS = Watermarks(default=95, lowest=20, highest=99)

_COMPRESSION = 5  # how many times its blob a layer is taken to need that the metadata leaves out

_MODULUS = 1 << 64

_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\..*"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip)?(\+.*)?",
    re.DOTALL,
)
"""The media types by which the client knows a layer."""

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
"""What layers of metadata alone are taken to be."""


class Lacking(NamedTuple):
    """A blob that the store root lacks."""

    blob: Blob
    to_fetch: int  # bytes of it
    store: int  # bytes of disk that the client takes these to need
    runtime: int  # bytes of disk that it takes the blob to need beside that
    estimated: bool  # whether `runtime` is a guess


def reserved_bytes(total: int, watermark: int) -> int:
    """Bytes of a disk of `total` bytes that are set aside."""
    return int(((100 - watermark) / 100.0) * float(total))


def aligned(size: int, block_size: int) -> int:
    """`size` rounded up to blocks, as the client does it: below nothing not at all."""
    return size if size <= 0 else -(-size // block_size) * block_size


def check(apps: Sequence[AppContents], device: Device, architecture: str, limit: Limit) -> Verdict:
    """What the client would answer, asked about all Apps at once; or about metadata.

    Raises LayerscanError where metadata alone cannot be used.
    """
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    # By digest, over all Apps: of a blob of several, the last one's figures count.
    lacking: dict[str, Lacking] = {}
    for app in apps:
        rules[app.name], found = lacking_of(app, device, architecture, notes)
        lacking |= found
    spaces = (space(lacking, device, limit),)
    missing, others = missing_of(lacking)
    return Verdict(NAME, architecture, limit, rules, spaces, (), missing, others, tuple(notes))


def missing_of(lacking: Mapping[str, Lacking]) -> tuple[tuple[Missing, ...], Others]:
    """What a verdict says of what is lacking: the layers, and the rest."""
    layers = [one for one in lacking.values() if one.blob.kind is BlobKind.LAYER]
    beside = [one for one in lacking.values() if one.blob.kind is not BlobKind.LAYER]
    missing = sorted(
        Missing(one.blob.digest, one.to_fetch, one.runtime, one.estimated) for one in layers
    )
    return tuple(missing), Others(len(beside), sum(one.to_fetch for one in beside))


def lacking_of(
    app: AppContents, device: Device, architecture: str, notes: list[str]
) -> tuple[Rule, dict[str, Lacking]]:
    """What the store root lacks of an App, by digest; and how its need was found."""
    if app.images is None:
        layers = _layers_alone(app, architecture, notes)
        return Rule.METADATA, _lacking(_blobs_alone(app, layers), layers, device)
    known, is_whole = _layers(app, architecture, notes)
    tree = (blob for blob in app.tree() if is_whole or blob.kind is not BlobKind.METADATA)
    found = _lacking(tree, known, device)
    if known is None:
        return Rule.ESTIMATE, found
    left_out = sum(one.estimated for one in found.values())
    if left_out:
        notes.append(f"{app.name}: its metadata leaves out {left_out} of its layers: estimated")
    return Rule.METADATA, found


def _layers_alone(
    app: AppContents, architecture: str, notes: list[str]
) -> Mapping[str, ClientLayer]:
    """The layers of metadata that the user gave; nothing else is known."""
    metadata = app.required_metadata()
    read = go_metadata.read_alone(metadata, architecture)
    layers = read.layers(architecture, metadata.source)
    if read.fault is not None:
        notes.append(f"{read.fault}; the client goes on with the rest")
    notes.append(f"{app.name}: metadata alone; the App's other blobs are not counted")
    return layers


def blobs_of(app: AppContents, architecture: str) -> list[Blob]:
    """The blobs that the client looks at; raises as `check`."""
    if app.images is None:
        return _blobs_alone(app, _layers_alone(app, architecture, []))
    return list(app.tree())


def _blobs_alone(app: AppContents, layers: Mapping[str, ClientLayer]) -> list[Blob]:
    return [
        Blob(digest, size, BlobKind.LAYER, _LAYER_TYPE)
        for digest, size in archive_sizes(layers, app.name).items()
    ]


def _layers(
    app: AppContents, architecture: str, notes: list[str]
) -> tuple[Mapping[str, ClientLayer] | None, bool]:
    """What an App's metadata says, None where that is nothing; and if it is without a fault."""
    without = "the client takes a layer to need no more than its blob"
    try:
        metadata = app.required_metadata()
    except DocumentError as error:
        notes.append(f"{error}; {without}")
        return None, False
    read = go_metadata.read(metadata.raw, metadata.source)
    found: Mapping[str, ClientLayer] | None = None
    told = read.fault
    try:
        found = read.layers(architecture, metadata.source)
    except DocumentError as error:
        notes.append(f"{error}; {without}")
        told = None if error is read.fault else told
    if told is not None:
        notes.append(f"{told}; the client goes on with the rest, and does not fetch the metadata")
    return found, read.fault is None


def _lacking(
    tree: Iterable[Blob], known: Mapping[str, ClientLayer] | None, device: Device
) -> dict[str, Lacking]:
    block_size = device.client_block_size
    found: dict[str, Lacking] = {}
    for blob in tree:
        if device.has_blob(blob.digest, blob.size):
            continue
        # A part that is longer than its blob is no part of it, but nothing is to be fetched.
        part = device.fetched(blob.digest, blob.reference)
        to_fetch = blob.size - min(part, max(blob.size, 0))
        is_layer = known is not None and _LAYER.fullmatch(blob.media_type) is not None
        layer = known.get(blob.digest) if known is not None and is_layer else None
        if layer is not None:
            runtime = layer.usage
        elif is_layer:
            runtime = _COMPRESSION * blob.size
        else:
            runtime = aligned(blob.size, block_size)
        # Without metadata, all figures of layers are guesses.
        estimated = layer is None and (is_layer or blob.kind is BlobKind.LAYER)
        store = aligned(to_fetch, block_size)
        found[blob.digest] = Lacking(blob, to_fetch, store, runtime, estimated)
    return found


def space(
    lacking: Mapping[str, Lacking],
    device: Device,
    limit: Limit,
    *,
    taken: int = 0,
    app: str | None = None,
) -> Space:
    """What `lacking` needs, and what is there of the disk.

    It is what `app` lacks, or all Apps if that is None. Others before have `taken` so many
    bytes of the free ones.
    """
    volume = device.store
    required = sum(one.store + one.runtime for one in lacking.values()) % _MODULUS
    free = max(volume.block_size * volume.free_blocks - taken, 0)
    reserved = limit.reserved
    if reserved is None:
        reserved = reserved_bytes(volume.total, limit.watermark)
    available = max(free - reserved, 0)
    need = (device.store_root, ("store", "docker"), required, required)
    return Space(*need, free, reserved, available, volume.total, app)
