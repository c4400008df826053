"""Every block and inode that an update takes, volume by volume: layerscan's own policy.

What stays: on the store root's volume the blobs that are missing there, and on
the engine's the layers that it lacks, with what it keeps beside them. Where
the engine pulls for itself, blobs do not go to the store root. It then keeps
each blob until its layer is unpacked, and how many of them there are at a time
depends on how fast they come: so there is a least need and a largest.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit import lacking, verdict
from layerscan.fit.contents import AppContents, Blob, BlobKind
from layerscan.fit.device import Device, Volume
from layerscan.fit.figures import Figures
from layerscan.fit.lacking import LackingLayer, LayerStack, distinct
from layerscan.fit.verdict import Limit, Missing, Rule, Space, Verdict
from layerscan.prediction.stores.model import store_model
from layerscan.stores.accounting import grown_once

NAME = "exact"
WATERMARKS = verdict.Watermarks(default=100, lowest=1, highest=100)


class _Need(NamedTuple):
    """Bytes needed on a volume: at least, and at most. And inodes."""

    least: int
    most: int
    inodes: int = 0


def check(
    apps: Sequence[AppContents],
    device: Device,
    architecture: str,
    limit: Limit,
    *,
    is_root: bool = True,
    engine_pulls: bool = False,
) -> Verdict:
    """What an update to Apps, with their images and configs, takes; or one to metadata.

    With `is_root`, client and engine may use the blocks reserved for root. With
    `engine_pulls`, the engine pulls the images by itself: their blobs do not go to the store.
    Raises LayerscanError where metadata alone cannot be used.
    """
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    of_inodes: list[str] = []
    unsaid = f"{device.source}: does not say"
    if device.engine is None:
        notes.append(f"{unsaid} what the engine has: every layer counts")
    if None in (device.store.inodes, device.docker.inodes, device.layers.inodes):
        of_inodes.append(f"{unsaid} how many inodes are free: that is not checked")
    stacks: list[LayerStack] = []
    by_digest: dict[str, Blob] = {}
    for app in apps:
        figures = _figures(app, architecture, device, notes)
        new = lacking.lacking_stacks(app, figures, device)
        guessed = sum(layer.estimated for stack in new for layer in stack.layers)
        if guessed and figures is not None:
            notes.append(f"{app.name}: its metadata leaves out {guessed} of its layers: estimated")
        unknown = sum(layer.inodes is None for layer in distinct(new))
        if unknown and device.layers.inodes:
            needed = f"how many inodes {unknown} of its layers need is not known"
            of_inodes.append(f"{app.name}: {needed}: not counted")
        rules[app.name] = Rule.ESTIMATE if guessed else Rule.METADATA
        stacks += new
        by_digest |= lacking.app_blobs(app, figures)
    blobs = by_digest.values()
    store = _store_need(blobs, device, engine_pulls=engine_pulls)
    engine = _engine_needs(apps, stacks, device, engine_pulls=engine_pulls)
    return Verdict(
        NAME,
        architecture,
        limit,
        rules,
        _spaces(store, engine, device, limit, is_root=is_root),
        (),
        _missing(blobs, stacks, device, engine_pulls=engine_pulls),
        _others(blobs, device),
        (*notes, *of_inodes),
    )


def _figures(
    app: AppContents, architecture: str, device: Device, notes: list[str]
) -> Figures | None:
    """What the App's metadata says, None where there is none of this architecture."""
    if app.bundle is None:
        notes.append(
            f"{app.name}: metadata alone; the App's archive, and the manifests and configs of "
            "its images, are not counted"
        )
    try:
        figures = app.figures(architecture)
    except DocumentError as error:
        # Metadata that the user gave is all there is.
        if app.bundle is None:
            raise
        notes.append(f"{error}; a layer is taken to need {lacking.COMPRESSION} times its blob")
        return None
    if figures.fs_block_size != device.layers.unit:
        measured = figures.fs_block_size or "an unknown number of"
        notes.append(
            f"{app.name}: usage was measured with blocks of {measured} bytes, the device has "
            f"{device.layers.unit}: what layers take there is an estimate"
        )
    return figures


_OF_IMAGES = (BlobKind.LAYER, BlobKind.CONFIG, BlobKind.IMAGE_MANIFEST, BlobKind.IMAGE_INDEX)


def _store_need(blobs: Iterable[Blob], device: Device, *, engine_pulls: bool) -> _Need:
    """What the missing blobs take on the store root's volume."""
    missing = [
        blob
        for blob in blobs
        if not device.has_blob(blob.digest, blob.size)
        and not (engine_pulls and blob.kind in _OF_IMAGES)
    ]
    taken = new = 0
    for blob in missing:
        part = device.fetched(blob.digest, blob.reference)
        taken += device.store.file(blob.size) - device.store.file(min(part, blob.size))
        # What was fetched in part has its inode.
        new += not part
    return _Need(taken, taken, new)


_RECORD = 128
"""Bytes that Docker's and Podman's record of a layer has for an inode; 86 to 105 of them were
measured, compressed. It is in so many files and folders:"""
_RECORD_FILES = 8


def _engine_needs(
    apps: Sequence[AppContents], stacks: Sequence[LayerStack], device: Device, *, engine_pulls: bool
) -> dict[str, _Need]:
    """What is needed for the engine, by the purpose of the volume."""
    images = {
        image.config.digest: image
        for app in apps
        for image in app.images or ()
        if device.engine is None or image.config.digest not in device.engine.image_ids
    }
    layers = distinct(stacks)
    keeps_blobs = device.engine is not None and device.engine.keeps_blobs
    model = store_model(device.store_kind)
    needs = {}
    stays = sum(layer.usage for layer in layers)
    inodes = sum(layer.inodes or 0 for layer in layers)
    if device.layers_root not in (None, device.docker_root):
        needs["layers"] = _Need(stays, stays, inodes)
        # A layer's usage has its record too, but not how much of it that is.
        records = len(layers) * _RECORD_FILES * device.docker.cluster + inodes * _RECORD
        stays = 0 if keeps_blobs else records
        inodes = len(layers) * _RECORD_FILES
        stacks = [stack.without_usage() for stack in stacks]
    for image in images.values():
        # Its config, its manifest, and the indexes that lead to it.
        sizes = (image.config.size, *(blob.size for blob in reversed(image.documents)))
        stays += model.document_usage(sizes, device.docker)
        inodes += model.document_inodes(sizes, device.docker)
    if keeps_blobs:
        stays += _kept_blobs(layers, device)
    # Of a layer's part in what grows, its usage has it where no blobs are kept.
    growth = model.growth
    grown = len(images) * growth.image_bytes + len(layers) * growth.layer_bytes * keeps_blobs
    if images:
        is_first = device.engine is None or not device.engine.image_ids
        grown += grown_once(growth, device.docker.cluster, is_first=is_first)
    waiting = _Need(0, 0)
    if engine_pulls and not keeps_blobs:
        waiting = _all_waiting(stacks, device.docker)
    inodes += growth.first_inodes * bool(images)
    inodes += waiting.inodes
    needs["docker"] = _Need(stays + waiting.least, stays + grown + waiting.most, inodes)
    return needs


def _kept_blobs(layers: Iterable[LackingLayer], device: Device) -> int:
    known = device.engine.digests if device.engine is not None else frozenset()
    sizes = {layer.digest: layer.archive_size for layer in layers}
    return sum(device.docker.file(size) for digest, size in sizes.items() if digest not in known)


def _all_waiting(stacks: Sequence[LayerStack], volume: Volume) -> _Need:
    """Blobs that wait to be unpacked when it is tightest, beyond all usage."""
    waiting = {stack for stack in stacks if stack.layers}
    # Each layer makes some inodes, its blob is one: so inodes are tightest when each
    # image's last layer is unpacked.
    inodes = len(waiting)
    if len(waiting) == 1:
        return _waiting(waiting.pop(), volume)._replace(inodes=inodes)
    # Of several images all blobs may be there before the first layer is; or none
    # may wait, where one image is small and comes last.
    most = sum(volume.file(layer.archive_size) for layer in distinct(waiting))
    return _Need(0, most, inodes)


def _waiting(stack: LayerStack, volume: Volume) -> _Need:
    """The bytes of `_all_waiting`, of one image.

    A blob is there, whole, before its layer is unpacked. It goes away when it
    was read to its end, which is a moment before the layer is whole. At the best
    each comes just then; at the worst all came before the first layer was
    unpacked, and go when theirs is whole.
    """
    blobs = [volume.file(layer.archive_size) for layer in stack.layers]
    if not stack.ordered:
        return _Need(0, sum(blobs))
    # While layer n is unpacked, what is above it takes nothing yet.
    unused = sum(layer.usage for layer in stack.layers)
    least = most = 0
    for number, layer in enumerate(stack.layers):
        least = max(least, blobs[number] - unused)
        unused -= layer.usage
        most = max(most, sum(blobs[number:]) - unused)
    return _Need(least, most)


def _spaces(
    store: _Need, engine: Mapping[str, _Need], device: Device, limit: Limit, *, is_root: bool
) -> tuple[Space, ...]:
    needs: dict[str, dict[str, _Need]] = {device.store_root: {"store": store}}
    needs.setdefault(device.docker_root, {})["docker"] = engine["docker"]
    if device.layers_root and "layers" in engine:
        needs.setdefault(device.layers_root, {})["layers"] = engine["layers"]
    return tuple(
        _space(name, here, device.volumes[name], limit, is_root=is_root)
        for name, here in needs.items()
    )


def _space(
    name: str, needs: Mapping[str, _Need], volume: Volume, limit: Limit, *, is_root: bool
) -> Space:
    free_blocks = volume.available_blocks
    if is_root:
        free_blocks = max(volume.free_blocks - volume.withheld_blocks, 0)
    free = volume.unit * free_blocks
    reserved = limit.reserved
    if reserved is None:
        reserved = volume.unit * -(-volume.blocks * (100 - limit.watermark) // 100)
    inodes = sum(need.inodes for need in needs.values())
    return Space(
        name,
        tuple(needs),
        sum(need.most for need in needs.values()),
        sum(need.least for need in needs.values()),
        free,
        reserved,
        max(free - reserved, 0),
        volume.unit * volume.blocks,
        inodes=verdict.InodeNeed(inodes, volume.free_inodes or 0) if volume.inodes else None,
    )


def _missing(
    blobs: Iterable[Blob], stacks: Sequence[LayerStack], device: Device, *, engine_pulls: bool
) -> tuple[Missing, ...]:
    needed: dict[str, tuple[int, bool]] = {}
    for layer in distinct(stacks):
        usage = needed[layer.digest][0] if layer.digest in needed else 0
        needed[layer.digest] = (usage + layer.usage, layer.estimated)
    missing = []
    for blob in (one for one in blobs if one.kind is BlobKind.LAYER):
        is_needed = blob.digest in needed
        to_fetch = blob.size * is_needed if engine_pulls else _to_fetch(blob, device)
        if to_fetch or is_needed:
            missing.append(Missing(blob.digest, to_fetch, *needed.get(blob.digest, (0, False))))
    return tuple(sorted(missing))


def _to_fetch(blob: Blob, device: Device) -> int:
    """Bytes of a blob that the store root lacks."""
    if device.has_blob(blob.digest, blob.size):
        return 0
    return max(blob.size - device.fetched(blob.digest, blob.reference), 0)


def _others(blobs: Iterable[Blob], device: Device) -> verdict.Others:
    beside = [
        blob
        for blob in blobs
        if blob.kind is not BlobKind.LAYER and not device.has_blob(blob.digest, blob.size)
    ]
    return verdict.Others(len(beside), sum(_to_fetch(blob, device) for blob in beside))
