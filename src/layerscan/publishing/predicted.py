"""What the layers of Compose Apps would cost, predicted before the Apps are published.

Owns which images of an App are read: for the architectures that all of them have,
as it is published for no other. One App that fails keeps no other from being
predicted, and a layer that several Apps have is read once.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from layerscan.errors import LayerscanError
from layerscan.prediction.images import (
    PredictedImage,
    Prediction,
    PredictionTarget,
    gather_images,
    predict_images,
)
from layerscan.prediction.layers import ReadOptions
from layerscan.publishing.preparation import PlannedApp
from layerscan.publishing.resolution import ResolvedImage
from layerscan.registry import RegistryClient
from layerscan.sources.model import Source
from layerscan.sources.registry import RegistrySource


def predict_apps(
    apps: Sequence[PlannedApp],
    client: RegistryClient,
    model: PredictionTarget,
    reading: ReadOptions,
) -> tuple[Prediction, dict[str, str]]:
    """Predict what the layers of `apps` cost; `reading` with a cache, so that none is read twice.

    Returns:
        The prediction of all Apps but those that failed; of these, by name, why.
    """
    images: list[PredictedImage] = []
    notes: list[str] = []
    failures: dict[str, str] = {}
    for planned in apps:
        try:
            with ExitStack() as opened:
                different = {image.asked: image for image in planned.resolved.values()}
                sources = [opened.enter_context(_source(one, client)) for one in different.values()]
                gathered = gather_images(sources, planned.architectures)
                predicted = predict_images(gathered, model, reading)
        except LayerscanError as error:
            failures[planned.app.name] = str(error)
            continue
        images += predicted.images
        notes += predicted.notes
    return Prediction(model, tuple(images), tuple(dict.fromkeys(notes))), failures


def _source(image: ResolvedImage, client: RegistryClient) -> Source:
    """An image that was looked up; its manifests are not read again."""
    listed = [one for variants in image.images.values() for one in variants]
    return RegistrySource(str(image.asked), image.asked, lambda: client, listed)
