"""The rules of aktualizr-lite, as its own check before a download has them.

The client looks at one App after another and sets nothing aside for those
before it. Asked about several, this adds up what all of them need, each layer
once: what fits here, fits there, in whatever order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device, Volume
from layerscan.fit.verdict import Bundle, Missing, Rule, Space, Verdict, Watermarks

NAME = "aktualizr-lite"
WATERMARKS = Watermarks(default=80, lowest=20, highest=95)

_UNPACKED = 3
"""How many times its archive an App's files are taken to need."""

_COMPRESSION = 5
"""How many times its blob a layer is taken to need where nothing is known of it."""


class Room(NamedTuple):
    """What a volume has, in bytes, as the client sees it."""

    free: int
    reserved: int
    available: int


def room(volume: Volume, watermark: int, *, is_root: bool) -> Room:
    """What may be used of a volume.

    Args:
        volume: the volume.
        watermark: percent of it that may be used in all.
        is_root: whether the client runs as root and may use the blocks that
            are reserved for it.
    """
    free_blocks = volume.free_blocks if is_root else volume.available_blocks
    free = volume.block_size * free_blocks
    reserved = volume.block_size * -(-volume.blocks * (100 - watermark) // 100)
    return Room(free, reserved, max(free - reserved, 0))


def check(
    apps: Sequence[AppContents],
    device: Device,
    *,
    architecture: str,
    watermark: int,
    is_root: bool = True,
) -> Verdict:
    """What the client would answer.

    Args:
        apps: the Apps, or metadata.
        device: the device.
        architecture: its architecture.
        watermark: percent of a disk that may be used.
        is_root: see `room`.

    Raises:
        LayerscanError: metadata alone that cannot be used; there is no other rule.
    """
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    missing: dict[str, Missing] = {}
    for app in apps:
        rules[app.name], layers = _layers(app, device, architecture, notes)
        for layer in layers:
            known = missing.setdefault(layer.digest, layer)
            if known[1:3] != layer[1:3]:
                missing[layer.digest] = _larger(known, layer)
    store = room(device.store, watermark, is_root=is_root)
    bundles = tuple(
        Bundle(app.name, _UNPACKED * app.bundle.size, store.available) for app in apps if app.bundle
    )
    return Verdict(
        NAME,
        architecture,
        watermark,
        rules,
        _spaces(missing.values(), device, watermark, is_root=is_root),
        bundles,
        tuple(sorted(missing.values())),
        None,
        tuple(notes),
    )


def _layers(
    app: AppContents, device: Device, architecture: str, notes: list[str]
) -> tuple[Rule, list[Missing]]:
    """The layers of an App that are missing, and how that was found."""
    if app.bundle is None:
        notes.append(f"{app.name}: metadata alone; the App's archive is not counted")
    try:
        return Rule.METADATA, _precise(app, device, architecture)
    except DocumentError as error:
        # Metadata that the user gave is all there is.
        if app.bundle is None:
            raise
        fault = str(error)
    if app.layers_manifest is None:
        notes.append(
            f"{fault}; nor is there a manifest of its layers for {architecture}: "
            "the client skips the check"
        )
        return Rule.SKIPPED, []
    notes.append(f"{fault}; estimated from the manifest of its layers")
    return Rule.ESTIMATE, [
        Missing(blob.digest, blob.size, _COMPRESSION * blob.size, estimated=True)
        for blob in app.layers_manifest
        if not device.has_name(blob.digest)
    ]


def _precise(app: AppContents, device: Device, architecture: str) -> list[Missing]:
    figures = app.figures(architecture)
    return [
        Missing(digest, archive_size, figures.layers[digest].usage, estimated=False)
        for digest, archive_size in figures.archive_sizes().items()
        if not device.has_name(digest)
    ]


def _larger(one: Missing, other: Missing) -> Missing:
    """Of a layer that two Apps say different things of, the larger figures."""
    return Missing(
        one.digest,
        max(one.archive_size, other.archive_size),
        max(one.usage, other.usage),
        one.estimated or other.estimated,
    )


def _spaces(
    missing: Iterable[Missing], device: Device, watermark: int, *, is_root: bool
) -> tuple[Space, ...]:
    layers = list(missing)
    needs: Mapping[str, int] = {
        "store": sum(layer.archive_size for layer in layers),
        "docker": sum(layer.usage for layer in layers),
    }
    if device.store_parent == device.docker_parent:
        places = [(device.store_root, tuple(needs))]
    else:
        places = [(device.store_root, ("store",)), (device.docker_root, ("docker",))]
    spaces = []
    for name, purposes in places:
        volume = device.volumes[name]
        required = sum(needs[purpose] for purpose in purposes)
        found = room(volume, watermark, is_root=is_root)
        spaces.append(Space(name, purposes, required, required, *found, volume.total))
    return tuple(spaces)
