"""The layers that an engine lacks of Apps, and what each of them takes there.

Owns which layer counts as there, and what is taken to be true of one that no
metadata knows.
"""

from collections.abc import Iterable
from typing import NamedTuple

from layerscan.fit.contents import AppContents, Blob, BlobKind
from layerscan.fit.device import Device
from layerscan.fit.figures import Figures, archive_sizes

COMPRESSION = 5  # how many times its blob a layer is taken to need where nothing is known of it


class LackingLayer(NamedTuple):
    """A layer that the engine lacks."""

    key: str  # its chain_id, or its digest if only that is known
    digest: str
    archive_size: int
    usage: int
    estimated: bool
    inodes: int | None  # None where they are not known


class LayerStack(NamedTuple):
    """The layers of one image that the engine lacks, bottom up; or of metadata, in no order."""

    layers: tuple[LackingLayer, ...]
    ordered: bool

    def without_usage(self) -> "LayerStack":
        """The same where what layers take is on another disk."""
        return self._replace(layers=tuple(layer._replace(usage=0) for layer in self.layers))


def lacking_stacks(app: AppContents, figures: Figures | None, device: Device) -> list[LayerStack]:
    """The layers of an App that the engine lacks, image by image."""
    if app.images is None:
        blobs = ((blob, None) for blob in app_blobs(app, figures).values())
        return [LayerStack(_lacking(blobs, figures, device), ordered=False)]
    stacks = []
    for image in app.images:
        layers = zip(image.layers, image.chain_ids, strict=True)
        stacks.append(LayerStack(_lacking(layers, figures, device), ordered=True))
    return stacks


def _lacking(
    layers: Iterable[tuple[Blob, str | None]], figures: Figures | None, device: Device
) -> tuple[LackingLayer, ...]:
    lacking: list[LackingLayer] = []
    counted: set[str] = set()
    for blob, chain in layers:
        if _engine_has(device, blob.digest, chain):
            continue
        layer = _layer(blob, chain or blob.digest, figures)
        if not layer.estimated and blob.digest in counted:
            # Of a blob that an image has several times, the figure is for all of them.
            layer = layer._replace(usage=0, inodes=0)
        counted.add(blob.digest)
        lacking.append(layer)
    return tuple(lacking)


def distinct(stacks: Iterable[LayerStack]) -> list[LackingLayer]:
    """All layers of `stacks`, each once; of figures that differ, the larger."""
    found: dict[str, LackingLayer] = {}
    for layer in (layer for stack in stacks for layer in stack.layers):
        known = found.setdefault(layer.key, layer)
        if (layer.usage, layer.inodes or 0) > (known.usage, known.inodes or 0):
            found[layer.key] = layer
    return list(found.values())


def _engine_has(device: Device, digest: str, chain: str | None) -> bool:
    if digest in device.installed:
        return True
    if device.engine is None:
        return False
    return digest in device.engine.digests if chain is None else chain in device.engine.chain_ids


def _layer(blob: Blob, key: str, figures: Figures | None) -> LackingLayer:
    known = figures.layers.get(blob.digest) if figures is not None else None
    usage = COMPRESSION * blob.size if known is None else known.usage
    inodes = figures.inodes.get(blob.digest) if figures is not None else None
    return LackingLayer(key, blob.digest, blob.size, usage, known is None, inodes)


def app_blobs(app: AppContents, figures: Figures | None) -> dict[str, Blob]:
    """All blobs of an App, or the layers of its metadata where only that is known."""
    if app.images is not None or figures is None:
        return app.blobs()
    sizes = archive_sizes(figures.layers, app.name)
    return {digest: Blob(digest, size, BlobKind.LAYER) for digest, size in sizes.items()}
