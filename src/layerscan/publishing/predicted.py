"""What the layers of Compose Apps would cost, predicted before the Apps are published.

Owns which images of an App are read: for the architectures that all of them have,
as it is published for no other. One App that fails keeps no other from being
predicted, and a layer that several Apps have is read once.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

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


class PredictedApps(NamedTuple):
    """The result.

    Attributes:
        prediction: of the images of all Apps but those that failed.
        failures: by the name of an App, why it has none.
    """

    prediction: Prediction
    failures: Mapping[str, str]


def predict_apps(
    apps: Sequence[PlannedApp],
    client: RegistryClient,
    model: PredictionTarget,
    reading: ReadOptions,
) -> PredictedApps:
    """Predict what the layers of `apps` cost.

    Args:
        apps: the Apps, with their images.
        client: the registries, where the images are.
        model: what to predict for.
        reading: how to read the layers; with a cache, so that none is read twice.
    """
    images: list[PredictedImage] = []
    notes: list[str] = []
    failures: dict[str, str] = {}
    for planned in apps:
        try:
            with ExitStack() as opened:
                sources = [
                    opened.enter_context(_source(image, client))
                    for image in {one.asked: one for one in planned.resolved.values()}.values()
                ]
                gathered = gather_images(sources, planned.architectures)
                predicted = predict_images(gathered, model, reading)
        except LayerscanError as error:
            failures[planned.app.name] = str(error)
            continue
        images += predicted.images
        notes += predicted.notes
    return PredictedApps(Prediction(model, tuple(images), tuple(dict.fromkeys(notes))), failures)


def _source(image: ResolvedImage, client: RegistryClient) -> Source:
    """An image that was looked up; its manifests are not read again."""
    listed = [one for variants in image.images.values() for one in variants]
    return RegistrySource(str(image.asked), image.asked, lambda: client, listed)
