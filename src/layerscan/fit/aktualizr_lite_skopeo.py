"""The rules of aktualizr-lite's engine before composectl, which pulls with skopeo.

The client looks at one App after another and sets nothing aside for those
before it. Asked about several, this adds up what all of them need, each layer
once: what fits here, fits there, in whatever order.

The part of a disk that is set aside is the product of two IEEE doubles, rounded up to
blocks: so it is here.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit import skopeo_metadata
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device, Volume
from layerscan.fit.verdict import Bundle, Limit, Missing, Rule, Space, Verdict, Watermarks

NAME = "aktualizr-lite-skopeo"
WATERMARKS = Watermarks(default=80, lowest=20, highest=95)

_UNPACKED = 3  # how many times its archive an App's files are taken to need


class Room(NamedTuple):
    """What a volume has, in bytes, as the client sees it."""

    free: int
    reserved: int
    available: int


def room(volume: Volume, limit: Limit, *, is_root: bool) -> Room:
    """What may be used of a volume, by a client that runs as root or does not."""
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
    architecture: str,
    limit: Limit,
    *,
    is_root: bool = True,
) -> Verdict:
    """What the client would answer of Apps, or of metadata.

    Raises LayerscanError where a layers manifest, or metadata alone, cannot be used: there
    is no other rule.
    """
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    missing: dict[str, Missing] = {}
    for app in apps:
        rules[app.name], layers = _layers(app, device, architecture, notes)
        for layer in layers:
            # Of a layer that two Apps say different things of, the larger figures.
            known = missing.setdefault(layer.digest, layer)
            if known[1:3] != layer[1:3]:
                missing[layer.digest] = Missing(
                    layer.digest,
                    max(known.archive_size, layer.archive_size),
                    max(known.usage, layer.usage),
                    known.estimated or layer.estimated,
                )
    available = room(device.store, limit, is_root=is_root).available
    bundles = tuple(
        Bundle(app.name, _UNPACKED * app.bundle.size, available) for app in apps if app.bundle
    )
    lacking = tuple(sorted(missing.values()))
    spaces = _spaces(lacking, device, limit, is_root=is_root)
    return Verdict(NAME, architecture, limit, rules, spaces, bundles, lacking, None, tuple(notes))


def _layers(
    app: AppContents, device: Device, architecture: str, notes: list[str]
) -> tuple[Rule, list[Missing]]:
    """The layers of an App that are missing, and how that was found."""
    alone = app.bundle is None
    if alone:
        notes.append(f"{app.name}: metadata alone; the App's archive is not counted")
    try:
        metadata, has = app.required_metadata(), device.has_name
        return Rule.METADATA, skopeo_metadata.precise(metadata, architecture, has, alone=alone)
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


def _spaces(
    missing: Sequence[Missing], device: Device, limit: Limit, *, is_root: bool
) -> tuple[Space, ...]:
    """What is needed where: each of the two roots counts, and on one volume the sum, too.

    What the store alone needs is not told where the sum is asked for on the same volume;
    nor what Docker alone does.
    """
    store = sum(layer.archive_size for layer in missing)
    docker = sum(layer.usage for layer in missing)
    needs: list[tuple[str, tuple[str, ...], int]]
    needs = [(device.store_root, ("store",), store), (device.docker_root, ("docker",), docker)]
    if device.store_parent == device.docker_parent:
        needs[0] = (device.store_root, ("store", "docker"), store + docker)
        if device.docker_root == device.store_root:
            del needs[1]
    spaces = []
    for name, purposes, required in needs:
        volume = device.volumes[name]
        has = room(volume, limit, is_root=is_root)
        spaces.append(Space(name, purposes, required, required, *has, volume.total))
    return tuple(spaces)
