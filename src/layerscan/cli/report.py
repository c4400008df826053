"""The report on images and their layers: its figures, and the JSON of them.

A scan and a prediction are reported alike. How people see it, `layerscan.cli.report_tables`
knows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan.prediction.images import PredictedLayer, Prediction
    from layerscan.problem import Problem
    from layerscan.scanning.result import LayerCost, Scan
    from layerscan.stores.holdings import Holding


class ReportedImage(NamedTuple):
    """An image."""

    image_id: str  # digest of its config
    names: tuple[str, ...]  # all that it is called; may be none
    label: str  # what to call it
    architecture: str  # as its config says it; so are the next two
    os: str  # see there
    variant: str  # empty if there is none
    layers: tuple[str, ...]  # chain_ids of its layers, bottom up
    beside: int  # bytes of disk that it takes beside its layers
    own: frozenset[str]  # chain_ids of those that would go with it
    goes: bool = True  # whether removing it gives back what it takes beside them
    in_container: bool | None = None  # whether a container keeps it; None of a prediction
    created: str | None = None  # when, as its config says it; None of a prediction


class ReportedLayer(NamedTuple):
    """A layer."""

    chain_id: str  # identity of the layer on top of its parents
    diff_id: str  # digest of its uncompressed tar
    digests: tuple[str, ...]  # of its blobs, sorted
    # Bytes of its blob, of the largest if there are several; None where that is not known.
    archive_size: int | None
    size: int  # bytes of content
    usage: int  # bytes of disk
    files: int  # everything in it that is no directory, each inode once
    images: int  # how many images have it
    step: str | None = None  # of a build, that made it, or empty; None of a prediction


class ImageCosts(NamedTuple):
    """What an image costs, in bytes.

    `own` is what would be free if the image were removed, `shared` what something else keeps.
    """

    size: int
    usage: int  # of its layers and what it takes beside them
    shared: int
    own: int


class Report(NamedTuple):
    """A report."""

    subject: Mapping[str, object]  # what it is about, as the JSON begins
    closing: str  # the same, as the last line for people ends
    accounting: str  # the rule of `usage`
    fs_block_size: int  # in bytes
    images: Sequence[ReportedImage]
    layers: Mapping[str, ReportedLayer]  # their layers, by chain_id
    ending: Mapping[str, object]  # what the JSON has at its end: warnings and the like
    doubts: Sequence[str] = ()  # of these warnings, those on who keeps what

    @property
    def totals(self) -> dict[str, int]:
        """The sums: each layer once, however many images share it."""
        layers = self.layers.values()
        beside = {image.image_id: image.beside for image in self.images}
        return {
            "images": len(self.images),
            "layers": len(layers),
            "files": sum(layer.files for layer in layers),
            "size": sum(layer.size for layer in layers),
            "usage": sum(layer.usage for layer in layers) + sum(beside.values()),
        }

    def costs(self, image: ReportedImage) -> ImageCosts:
        """What an image of it costs."""
        # An image may have the same layer twice: one folder, counted once.
        layers = [self.layers[chain] for chain in dict.fromkeys(image.layers)]
        usage = image.beside + sum(layer.usage for layer in layers)
        own = sum(layer.usage for layer in layers if layer.chain_id in image.own)
        own += image.beside if image.goes else 0
        return ImageCosts(sum(layer.size for layer in layers), usage, usage - own, own)

    def costly_images(self) -> list[tuple[ReportedImage, ImageCosts]]:
        """The images and what they cost, the largest usage first."""
        found = [(image, self.costs(image)) for image in self.images]
        return sorted(found, key=lambda entry: (-entry[1].usage, entry[0].label))

    def costly_layers(self) -> list[ReportedLayer]:
        """The layers, the largest usage first."""
        return sorted(self.layers.values(), key=lambda layer: (-layer.usage, layer.chain_id))

    def plain(self) -> dict[str, object]:
        """It as JSON shows it: every figure in bytes, digests in full."""
        return {
            **self.subject,
            "accounting": self.accounting,
            "fs_block_size": self.fs_block_size,
            "images": [_plain_image(image, costs) for image, costs in self.costly_images()],
            "layers": [_plain_layer(layer) for layer in self.costly_layers()],
            "totals": self.totals,
            **self.ending,
        }


def _plain_image(image: ReportedImage, costs: ImageCosts) -> dict[str, object]:
    plain = image._asdict()
    for name in ("label", "beside", "goes", "own"):
        del plain[name]
    return {name: value for name, value in plain.items() if value is not None} | costs._asdict()


def _plain_layer(layer: ReportedLayer) -> dict[str, object]:
    return {name: value for name, value in layer._asdict().items() if value is not None}


def of_scan(
    result: "Scan", holdings: "Iterable[Holding]", doubts: "Iterable[Problem]" = ()
) -> Report:
    """The report of a scan of a store with these holdings, and what of them cannot be read."""
    known = {*result.problems}
    lines = [f"{one}: more may be shared than is said" for one in doubts if one not in known]
    digests = _scanned_digests(result)
    steps = _scanned_steps(result)
    return Report(
        subject={"store": {"kind": result.store.kind, "root": result.store.root}},
        closing=f"in {result.store.kind} store {printable_path(result.store.root)}",
        accounting=str(result.accounting),
        fs_block_size=result.fs_block_size,
        images=_scanned_images(result, holdings),
        layers={
            chain: ReportedLayer(
                chain,
                cost.layer.diff_id,
                digests[chain],
                None,
                cost.size,
                cost.usage,
                _files(cost),
                result.sharing[chain],
                steps.get(chain, ""),
            )
            for chain, cost in result.costs.items()
        },
        ending={
            "warnings": [*result.warnings, *lines],
            "problems": [{"where": one.where, "what": one.what} for one in result.problems],
        },
        doubts=lines,
    )


def _scanned_images(result: "Scan", holdings: "Iterable[Holding]") -> list[ReportedImage]:
    # Loaded here: a scan that reports nothing needs none of it.
    from layerscan.ledger.model import Item
    from layerscan.ledger.reclaim import Reclaimer

    reclaimer = Reclaimer(Item(one, usage=0, shared=0) for one in holdings)
    found = []
    for one in result.chosen:
        image = one.image
        names = (*(name.familiar for name in image.names), *image.other_names)
        records = reclaimer.having(image.image_id, (*map(str, image.names), *names))
        freed = reclaimer.freed_alone(records)
        own = frozenset(layer.chain_id for layer in image.layers if layer.folder in freed)
        found.append(
            ReportedImage(
                image.image_id,
                names,
                one.label,
                image.architecture,
                image.os,
                image.variant,
                tuple(layer.chain_id for layer in image.layers),
                result.image_usage[image.image_id],
                own,
                bool(records) and not reclaimer.kept(records),
                reclaimer.is_used(records),
                image.created,
            )
        )
    return found


def _files(cost: "LayerCost") -> int:
    content = cost.walked.child
    return content.files + content.symlinks + content.others if content else 0


def _scanned_digests(result: "Scan") -> dict[str, tuple[str, ...]]:
    """The digests of each layer in the repositories of the scan, sorted."""
    found: dict[str, set[str]] = {chain: set() for chain in result.costs}
    for one in result.chosen:
        for repository in one.repositories:
            digests = one.image.digests.get(repository, ())
            for layer, digest in zip(one.image.layers, digests, strict=False):
                if digest is not None:
                    found[layer.chain_id].add(digest)
    return {chain: tuple(sorted(digests)) for chain, digests in found.items()}


def _scanned_steps(result: "Scan") -> dict[str, str]:
    """The step that made each layer, as the first image says that knows it."""
    found: dict[str, str] = {}
    for one in result.chosen:
        for layer, step in zip(one.image.layers, one.image.steps, strict=False):
            if step:
                found.setdefault(layer.chain_id, step)
    return found


def of_prediction(result: "Prediction") -> Report:
    """The report of a prediction."""
    model = result.model
    counts = Counter(
        chain for one in result.images for chain in {layer.chain_id for layer in one.layers}
    )
    return Report(
        subject={"store": {"kind": model.store.name}, "file_system": model.fs.name},
        closing=f"predicted for {model.fs.name}, {model.store.name} store",
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
                frozenset(layer.chain_id for layer in one.layers if counts[layer.chain_id] == 1),
            )
            for one in result.images
        ],
        layers=_predicted_layers(result, counts),
        ending={"warnings": list(result.notes)},
    )


def _predicted_layers(result: "Prediction", images: Mapping[str, int]) -> dict[str, ReportedLayer]:
    """The layers by chain_id: one that several `images` have is the same layer in all of them."""
    found: dict[str, list[PredictedLayer]] = {}
    for one in result.images:
        for layer in one.layers:
            found.setdefault(layer.chain_id, []).append(layer)
    return {chain: _predicted_layer(layers, images[chain]) for chain, layers in found.items()}


def _predicted_layer(layers: "Sequence[PredictedLayer]", images: int) -> ReportedLayer:
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
