"""The report on images and their layers: tables for people, as JSON for programs.

A scan and a prediction are reported alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from layerscan.cli.output import print_json
from layerscan.cli.tables import Table, human, print_tables, short
from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan.prediction.images import PredictedLayer, Prediction
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
    in_container: bool | None = None  # whether a container uses it; None of a prediction


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


class Report(NamedTuple):
    """A report."""

    subject: Mapping[str, object]  # what it is about, as the JSON begins
    closing: str  # the same, as the last line for people ends
    accounting: str  # the rule of `usage`
    fs_block_size: int  # in bytes
    images: Sequence[ReportedImage]
    layers: Mapping[str, ReportedLayer]  # their layers, by chain_id
    ending: Mapping[str, object]  # what the JSON has at its end: warnings and the like


def of_scan(result: "Scan", holdings: "Iterable[Holding]") -> Report:
    """The report of a scan of a store with these holdings."""
    digests = _scanned_digests(result)
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
            )
            for chain, cost in result.costs.items()
        },
        ending={
            "warnings": list(result.warnings),
            "problems": [{"where": one.where, "what": one.what} for one in result.problems],
        },
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


def print_report(report: Report, form: str | None) -> None:
    """Print the report, as JSON or for people: a table of images, one of layers, totals."""
    if form == "json":
        print_json(
            {
                **report.subject,
                "accounting": report.accounting,
                "fs_block_size": report.fs_block_size,
                "images": [_plain_image(image, costs) for image, costs in _costly_images(report)],
                "layers": [_plain_layer(layer) for layer in _sorted_layers(report)],
                "totals": _totals(report),
                **report.ending,
            }
        )
        return
    print_tables(_image_table(report), _layer_table(report))
    totals = _totals(report)
    print(
        f"{', '.join(_counted(totals[key], key) for key in ('images', 'layers', 'files'))}: "
        f"size {human(totals['size'])}, usage {human(totals['usage'])} "
        f"({report.accounting} accounting) {report.closing}"
    )


def _counted(number: int, things: str) -> str:
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def _costly_images(report: Report) -> list[tuple[ReportedImage, dict[str, int]]]:
    """What each image costs, in bytes, the largest usage first.

    Its usage is that of its layers and what it takes beside them: `own` is what would be free
    if the image were removed, and `shared` what something else keeps.
    """
    found = []
    for image in report.images:
        # An image may have the same layer twice: one folder, counted once.
        layers = [report.layers[chain] for chain in dict.fromkeys(image.layers)]
        usage = image.beside + sum(layer.usage for layer in layers)
        own = sum(layer.usage for layer in layers if layer.chain_id in image.own)
        own += image.beside if image.goes else 0
        size = sum(layer.size for layer in layers)
        costs = {"size": size, "usage": usage, "shared": usage - own, "own": own}
        found.append((image, costs))
    return sorted(found, key=lambda entry: (-entry[1]["usage"], entry[0].label))


def _sorted_layers(report: Report) -> list[ReportedLayer]:
    """The layers, the largest usage first."""
    return sorted(report.layers.values(), key=lambda layer: (-layer.usage, layer.chain_id))


def _totals(report: Report) -> dict[str, int]:
    """Each layer once, however many images share it."""
    layers = report.layers.values()
    beside = {image.image_id: image.beside for image in report.images}
    return {
        "images": len(report.images),
        "layers": len(layers),
        "files": sum(layer.files for layer in layers),
        "size": sum(layer.size for layer in layers),
        "usage": sum(layer.usage for layer in layers) + sum(beside.values()),
    }


def _plain_image(image: ReportedImage, costs: Mapping[str, int]) -> dict[str, object]:
    plain = {**image._asdict(), **costs}
    for name in (
        "label",
        "beside",
        "goes",
        *(["in_container"] if image.in_container is None else []),
    ):
        del plain[name]
    return plain


def _plain_layer(layer: ReportedLayer) -> dict[str, object]:
    plain = layer._asdict()
    if layer.archive_size is None:
        del plain["archive_size"]
    return plain


def _image_table(report: Report) -> Table:
    table = Table(["SIZE", "USAGE", "SHARED", "OWN", "LAYERS"], ["ARCH", "IMAGE"])
    for image, costs in _costly_images(report):
        more = len(image.names) - 1
        table.add(
            *map(human, costs.values()),
            str(len(image.layers)),
            image.architecture + (f"/{image.variant}" if image.variant else ""),
            image.label
            + (f" (+{more})" if more > 0 else "")
            + (" (a container uses it)" if image.in_container else ""),
        )
    return table


def _layer_table(report: Report) -> Table:
    layers = _sorted_layers(report)
    # Where archives are known, so is the one digest of each: both would be too wide.
    with_archive = any(layer.archive_size is not None for layer in layers)
    archive, chain = (["ARCHIVE SIZE"], []) if with_archive else ([], ["LAYER"])
    table = Table([*archive, "SIZE", "USAGE", "FILES", "IMAGES"], [*chain, "DIGEST", "IMAGE"])
    images: dict[str, str] = {}
    for image in report.images:
        for layer_chain in image.layers:
            images.setdefault(layer_chain, image.label)
    for layer in layers:
        table.add(
            *([human(layer.archive_size or 0)] if with_archive else []),
            human(layer.size),
            human(layer.usage),
            f"{layer.files:,}",
            str(layer.images),
            *([] if with_archive else [short(layer.chain_id)]),
            ", ".join(map(short, layer.digests)) or "none",
            images[layer.chain_id],
        )
    return table
