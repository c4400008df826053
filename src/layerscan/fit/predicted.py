"""An App's layers metadata, predicted where it has none.

Owns which of an App's images are read: those that a device of the architecture
runs. The answer of a policy is then what it would be if the App had been
published with it.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from layerscan.apps import published
from layerscan.errors import DocumentError
from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device
from layerscan.fit.figures import PredictedMetadata
from layerscan.fit.policies import Policy
from layerscan.fit.sources import FoundApp
from layerscan.oci import Platform, platforms
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.images import FoundImage, PredictionTarget, gather_images, predict_images
from layerscan.prediction.layers import ReadOptions
from layerscan.prediction.stores.model import store_model
from layerscan.stores.accounting import Accounting


def model_of(device: Device, policy: Policy, fs: str, store: str | None) -> PredictionTarget:
    """What to predict for: the layers of `device`, as `policy` counts them.

    Args:
        device: the device.
        policy: who is asked.
        fs: the name of the file system that the engine's data root is on; its blocks are
            the device's.
        store: the kind of the engine's image store; by default the one that it has.

    Raises:
        LayerscanError: the file system cannot have the device's blocks, or there
            is no such store.
    """
    model = store_model(store or device.store_kind)
    # Where a store keeps blobs, too, the policy counts these beside the usage.
    is_exact = policy is Policy.EXACT and not (device.engine and device.engine.keeps_blobs)
    accounting = Accounting.EXACT if is_exact else Accounting.DOCKER
    return PredictionTarget(file_system(fs, device.docker.unit), model, accounting)


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
