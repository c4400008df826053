"""The rules of aktualizr-lite's engine before composectl, which pulls with skopeo.

The client looks at one App after another and sets nothing aside for those
before it. Asked about several, this adds up what all of them need, each layer
once: what fits here, fits there, in whatever order.

The part of a disk that is set aside is the product of two IEEE doubles, rounded up to
blocks: so it is here.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit import skopeo_metadata
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device, Volume
from layerscan.fit.verdict import Bundle, Limit, Missing, Rule, Space, Verdict, Watermarks

NAME = "aktualizr-lite-skopeo"
WATERMARKS = Watermarks(default=80, lowest=20, highest=95)

_UNPACKED = 3
"""How many times its archive an App's files are taken to need."""


class Room(NamedTuple):
    """What a volume has, in bytes, as the client sees it."""

    free: int
    reserved: int
    available: int


def room(volume: Volume, limit: Limit, *, is_root: bool) -> Room:
    """What may be used of a volume.

    Args:
        volume: the volume.
        limit: how much of it may be used.
        is_root: whether the client runs as root and may use the blocks that
            are reserved for it; it makes no difference where bytes are set aside.
    """
    if limit.reserved is not None:
        # Bytes are set aside of what nobody uses, whoever the client is.
        free, reserved = volume.block_size * volume.free_blocks, limit.reserved
    else:
        free_blocks = volume.free_blocks if is_root else volume.available_blocks
        free = volume.block_size * free_blocks
        share = (100 - limit.watermark) / 100.0
        reserved = volume.block_size * ceil(float(volume.blocks) * share)
    return Room(free, reserved, max(free - reserved, 0))


def check(
    apps: Sequence[AppContents],
    device: Device,
    *,
    architecture: str,
    limit: Limit,
    is_root: bool = True,
) -> Verdict:
    """What the client would answer.

    Args:
        apps: the Apps, or metadata.
        device: the device.
        architecture: its architecture.
        limit: how much of a disk may be used.
        is_root: see `room`.

    Raises:
        LayerscanError: a layers manifest, or metadata alone, that cannot be used; there
            is no other rule.
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
    store = room(device.store, limit, is_root=is_root)
    bundles = tuple(
        Bundle(app.name, _UNPACKED * app.bundle.size, store.available) for app in apps if app.bundle
    )
    return Verdict(
        NAME,
        architecture,
        limit,
        rules,
        _spaces(missing.values(), device, limit, is_root=is_root),
        bundles,
        tuple(sorted(missing.values())),
        None,
        tuple(notes),
    )


def _layers(
    app: AppContents, device: Device, architecture: str, notes: list[str]
) -> tuple[Rule, list[Missing]]:
    """The layers of an App that are missing, and how that was found."""
    alone = app.bundle is None
    if alone:
        notes.append(f"{app.name}: metadata alone; the App's archive is not counted")
    try:
        metadata = app.required_metadata()
        return Rule.METADATA, skopeo_metadata.precise(
            metadata, architecture, device.has_name, alone=alone
        )
    except DocumentError as error:
        # Metadata that the user gave is all there is.
        if alone:
            raise
        fault = str(error)
    if app.layers_manifest is None:
        notes.append(
            f"{fault}; nor is there a manifest of its layers for {architecture}: "
            "the client skips the check"
        )
        return Rule.SKIPPED, []
    notes.append(f"{fault}; estimated from the manifest of its layers")
    source = f"{app.name}: layers manifest of {architecture}"
    return Rule.ESTIMATE, skopeo_metadata.estimate(app.layers_manifest, source, device.has_name)


def _larger(one: Missing, other: Missing) -> Missing:
    """Of a layer that two Apps say different things of, the larger figures."""
    return Missing(
        one.digest,
        max(one.archive_size, other.archive_size),
        max(one.usage, other.usage),
        one.estimated or other.estimated,
    )


def _spaces(
    missing: Iterable[Missing], device: Device, limit: Limit, *, is_root: bool
) -> tuple[Space, ...]:
    """What is needed where: each of the two roots counts, and on one volume the sum, too.

    What the store alone needs is not told where the sum is asked for on the same volume;
    nor what Docker alone does.
    """
    layers = list(missing)
    store = sum(layer.archive_size for layer in layers)
    docker = sum(layer.usage for layer in layers)
    needs: list[tuple[str, tuple[str, ...], int]]
    needs = [(device.store_root, ("store",), store), (device.docker_root, ("docker",), docker)]
    if device.store_parent == device.docker_parent:
        needs[0] = (device.store_root, ("store", "docker"), store + docker)
        if device.docker_root == device.store_root:
            del needs[1]
    return tuple(
        Space(
            name,
            purposes,
            required,
            required,
            *room(device.volumes[name], limit, is_root=is_root),
            device.volumes[name].total,
        )
        for name, purposes, required in needs
    )
