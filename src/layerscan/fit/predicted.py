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
from layerscan.fit.figures import PredictedMetadata
from layerscan.fit.policies import Policy
from layerscan.fit.sources import FoundApp
from layerscan.oci import Platform, platforms
from layerscan.prediction.filesystems import FILE_SYSTEMS, file_system
from layerscan.prediction.images import FoundImage, PredictionTarget, gather_images, predict_images
from layerscan.prediction.layers import ReadOptions
from layerscan.prediction.stores.model import store_model
from layerscan.stores.accounting import Accounting
from layerscan.text import quoted


class NamedFileSystem(NamedTuple):
    """A file system by name, and what is not known of it.

    Attributes:
        name: for `file_system`.
        notes: what is to be said of a prediction for it, a line each.
    """

    name: str
    notes: tuple[str, ...] = ()


def model_of(
    device: Device, policy: Policy, fs: NamedFileSystem | None, store: str | None
) -> PredictionTarget:
    """What to predict for: the layers of `device`, as `policy` counts them.

    Args:
        device: the device.
        policy: who is asked.
        fs: the file system that the engine's data root is on, with the device's blocks;
            by default the one that the device says.
        store: the kind of the engine's image store; by default the one that it has.

    Raises:
        LayerscanError: the file system cannot have the device's blocks, or there
            is no model of it, or no such store.
    """
    model = store_model(store or device.store_kind)
    # Where a store keeps blobs, too, the policy counts these beside the usage.
    is_exact = policy is Policy.EXACT and not (device.engine and device.engine.keeps_blobs)
    accounting = Accounting.EXACT if is_exact else Accounting.DOCKER
    name, notes = fs or file_system_of(device)
    return PredictionTarget(file_system(name, device.docker.unit), model, accounting, notes)


def file_system_of(device: Device) -> NamedFileSystem:
    """The file system of a device's engine, ext4 where it is not known.

    Raises:
        LayerscanError: there is no model of it.
    """
    source, shape = device.source, device.docker.file_system
    if shape is None:
        note = f"{source}: does not say its file system: taken to be {FILE_SYSTEMS[0]}"
        return NamedFileSystem(f"{FILE_SYSTEMS[0]},block={device.docker.unit}", (note,))
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
    """`app` with metadata that is predicted, in place of its own.

    Args:
        app: the App.
        source: who has it and its images.
        architecture: the one to predict for.
        model: what to predict for.
        reading: how to read the layers.

    Raises:
        LayerscanError: an image or a layer cannot be had, or is damaged.
    """
    bundle = source.documents.fetch(source.app.bundle, limit=published.MAX_BUNDLE)
    names = published.bundle_images(bundle, f"{source.app.source}: bundle")
    references = list(dict.fromkeys(names.values()))
    with ExitStack() as opened:
        sources = [opened.enter_context(source.images.source(name)) for name in references]
        gathered = gather_images(sources, {architecture})
        usual = tuple(
            _usual(
                [image for image in gathered.images if image.source is one],
                architecture,
                name.familiar,
            )
            for name, one in zip(references, sources, strict=True)
        )
        prediction = predict_images(gathered._replace(images=usual), model, reading)
    note = (
        f"{app.name}: its layers metadata is predicted, for {model.fs.name} and the store "
        f"{model.store.name}"
    )
    return app._replace(
        metadata=PredictedMetadata(
            prediction.document(), architecture, f"{app.name}: predicted layers metadata"
        ),
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
