"""The report of a prediction."""

from collections import Counter
from typing import TYPE_CHECKING

from layerscan.cli.report import Report, ReportedImage, ReportedLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerscan.prediction.images import PredictedLayer, Prediction


def report_of(result: "Prediction") -> Report:
    """The report of `result`."""
    model = result.model
    return Report(
        subject={"store": {"kind": model.store.name}, "file_system": model.fs.name},
        closing=(f"predicted for {model.fs.name}, {model.store.name} store"),
        accounting=str(model.accounting),
        fs_block_size=model.fs.block_size,
        images=[
            ReportedImage(
                one.image.image_id,
                one.names,
                one.names[0],
                one.image.platform.architecture,
                one.image.platform.os,
                one.image.platform.variant,
                tuple(layer.chain_id for layer in one.layers),
                one.usage,
            )
            for one in result.images
        ],
        layers=_layers(result),
        ending={"warnings": list(result.notes)},
    )


def _layers(result: "Prediction") -> dict[str, ReportedLayer]:
    """The layers by chain_id: one that several images have is the same layer in all of them."""
    images = Counter(
        chain for one in result.images for chain in {layer.chain_id for layer in one.layers}
    )
    found: dict[str, list[PredictedLayer]] = {}
    for one in result.images:
        for layer in one.layers:
            found.setdefault(layer.chain_id, []).append(layer)
    return {chain: _layer(layers, images[chain]) for chain, layers in found.items()}


def _layer(layers: "Sequence[PredictedLayer]", images: int) -> ReportedLayer:
    first = layers[0]
    return ReportedLayer(
        first.chain_id,
        first.diff_id,
        tuple(sorted({layer.digest for layer in layers})),
        max(layer.archive_size for layer in layers),
        first.size,
        max(layer.usage for layer in layers),
        first.files,
        images,
    )
