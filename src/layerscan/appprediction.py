"""What the layers of Compose Apps would cost, predicted before the Apps are published.

Owns which images of an App are read: for the architectures that all of them have,
as it is published for no other. One App that fails keeps no other from being
predicted, and a layer that several Apps have is read once.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from layerscan.apps.discovery import App
from layerscan.apps.images import images_in, read_compose_file
from layerscan.errors import LayerscanError
from layerscan.layerfigures import Reading
from layerscan.prediction import (
    FoundImage,
    Model,
    PredictedImage,
    Prediction,
    architectures_of,
    find_images,
    predict_images,
)
from layerscan.preparation import Settings, looked_up
from layerscan.reference import Reference
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
    apps: Sequence[App],
    settings: Settings,
    client: RegistryClient,
    model: Model,
    reading: Reading,
) -> PredictedApps:
    """Predict what the layers of `apps` cost.

    Args:
        apps: the Apps.
        settings: which images of theirs are meant, as when they are published.
        client: the registries, where the images are.
        model: what to predict for.
        reading: how to read the layers; with a cache, so that none is read twice.
    """
    images: list[PredictedImage] = []
    notes: list[str] = []
    failures: dict[str, str] = {}
    for app in apps:
        try:
            with ExitStack() as opened:
                sources = [
                    opened.enter_context(RegistrySource(str(one), one, lambda: client))
                    for one in _images(app, settings)
                ]
                found = predict_images(_of_all(sources, settings), model, reading)
        except LayerscanError as error:
            failures[app.name] = str(error)
            continue
        images += found.images
        notes += found.notes
    return PredictedApps(Prediction(model, tuple(images), tuple(dict.fromkeys(notes))), failures)


def _images(app: App, settings: Settings) -> list[Reference]:
    """The images of an App, each once."""
    services = images_in(read_compose_file(app), app, settings.environment)
    return list(dict.fromkeys(looked_up(image, settings) for image in services.values()))


def _of_all(sources: Sequence[Source], settings: Settings) -> list[FoundImage]:
    """The images for those architectures that every one of `sources` has."""
    found = find_images(sources, settings.architectures)
    common = frozenset.intersection(*(architectures_of(found, source) for source in sources))
    return [one for one in found if one.image.platform.architecture in common]
