"""An App's layers metadata, predicted where it has none.

Owns which of an App's images are read: those that a device of the architecture
runs. The answer of a policy is then what it would be if the App had been
published with it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from layerscan.apps import published
from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device
from layerscan.fit.figures import Metadata
from layerscan.fit.policies import Policy
from layerscan.fit.sources import FoundApp
from layerscan.layersmeta import dumps_by_arch
from layerscan.oci import Platform, platforms
from layerscan.prediction.filesystems import FILE_SYSTEMS, file_system
from layerscan.prediction.images import FoundImage, PredictionTarget, gather_images, predict_images
from layerscan.prediction.layers import ReadOptions
from layerscan.prediction.stores.model import store_model
from layerscan.stores.accounting import Accounting
from layerscan.text import quoted


class NamedFileSystem(NamedTuple):
    """A file system by name, and what is not known of it."""

    name: str  # for `file_system`
    notes: tuple[str, ...] = ()  # what is to be said of a prediction for it, a line each


def model_of(
    device: Device, policy: Policy, fs: NamedFileSystem | None, store: str | None
) -> PredictionTarget:
    """What to predict for: the layers of `device`, as `policy` counts them.

    By default its engine's data root is on the file system that the device says, and the
    image store is that which it has.
    Raises LayerscanError where the file system cannot have the device's blocks, or has no
    model, or there is no such store.
    """
    model = store_model(store or device.store_kind)
    # Where a store keeps blobs, too, the policy counts these beside the usage.
    is_exact = policy is Policy.EXACT and not (device.engine and device.engine.keeps_blobs)
    accounting = Accounting.EXACT if is_exact else Accounting.DOCKER
    name, notes = fs or file_system_of(device)
    return PredictionTarget(file_system(name, device.layers.unit), model, accounting, notes)


def file_system_of(device: Device) -> NamedFileSystem:
    """That of a device's engine, ext4 if unknown; LayerscanError where it has no model."""
    source, shape = device.source, device.layers.file_system
    if shape is None:
        note = f"{source}: does not say its file system: taken to be {FILE_SYSTEMS[0]}"
        return NamedFileSystem(f"{FILE_SYSTEMS[0]},block={device.layers.unit}", (note,))
    if shape.kind not in FILE_SYSTEMS:
        raise LayerscanError(
            f"{source}: its engine is on {quoted(shape.kind)}, of which nothing can be predicted; "
            f"give one with --fs: {', '.join(FILE_SYSTEMS)}"
        )
    notes = [
        f"{source}: its {shape.kind} has {feature}, which predictions do not know"
        for feature in shape.features
    ]
    if shape.kind == "ext4" and "inode" not in shape.parameters:
        notes.append(f"{source}: does not say how long inodes of its ext4 are: taken to be 256")
    return NamedFileSystem(shape.name, tuple(notes))


def with_prediction(
    app: AppContents,
    source: FoundApp,
    architecture: str,
    model: PredictionTarget,
    reading: ReadOptions,
) -> AppContents:
    """`app`, which is in `source`, with metadata that is predicted, in place of its own.

    Raises LayerscanError where an image or a layer cannot be had, or is damaged.
    """
    bundle = source.documents.fetch(source.app.bundle, limit=published.MAX_BUNDLE)
    names = published.bundle_images(bundle, f"{source.app.source}: bundle")
    references = list(dict.fromkeys(names.values()))
    with ExitStack() as opened:
        sources = [opened.enter_context(source.images.source(name)) for name in references]
        gathered = gather_images(sources, {architecture})
        usual = []
        for name, one in zip(references, sources, strict=True):
            found = [image for image in gathered.images if image.source is one]
            usual.append(_usual(found, architecture, name.familiar))
        prediction = predict_images(gathered._replace(images=tuple(usual)), model, reading)
    note = (
        f"{app.name}: its layers metadata is predicted, for {model.fs.name} and the store "
        f"{model.store.name}"
    )
    raw = dumps_by_arch({architecture: prediction.document()})
    return app._replace(
        metadata=Metadata(raw, f"{app.name}: predicted layers metadata"),
        metadata_fault=None,
        notes=(*app.notes, note, *prediction.notes),
    )


def _usual(found: Sequence[FoundImage], architecture: str, name: str) -> FoundImage:
    """Of several variants, the one that the usual machine runs best."""
    asked = Platform(architecture, "linux")
    matching = [one for one in found if platforms.fits(one.image.platform, asked)]
    if not matching:
        raise DocumentError(f"{name}: has no image for {architecture}")
    return platforms.preferred(matching, asked, lambda one: one.image.platform)
