"""The report on images and their layers: tables for people, as JSON for programs.

Owns what it looks like. What it is about, a scan or a prediction, others say.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from layerscan.cli.tables import Table, human, print_tables, short


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


class _ImageTotals(NamedTuple):
    """What an image costs, in bytes; `usage` is `shared` plus `own`."""

    image: ReportedImage
    size: int  # content of its layers
    usage: int  # disk that its layers take, and it beside them
    shared: int  # of that, layers which other images have too
    own: int  # of that, what would be free if the image were removed


def print_json(report: Report) -> None:
    """Print the report as JSON: every figure in bytes, digests in full."""
    document = {
        **report.subject,
        "accounting": report.accounting,
        "fs_block_size": report.fs_block_size,
        "images": [_plain_image(total) for total in _image_totals(report)],
        "layers": [_plain_layer(layer) for layer in _sorted_layers(report)],
        "totals": _totals(report),
        **report.ending,
    }
    json.dump(document, sys.stdout, indent=2)
    print()


def print_table(report: Report) -> None:
    """Print the report for people: a table of images, one of layers, totals."""
    print_tables(_image_table(report), _layer_table(report))
    totals = _totals(report)
    print(
        f"{', '.join(_counted(totals[key], key) for key in ('images', 'layers', 'files'))}: "
        f"size {human(totals['size'])}, usage {human(totals['usage'])} "
        f"({report.accounting} accounting) {report.closing}"
    )


def _counted(number: int, things: str) -> str:
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def _image_totals(report: Report) -> list[_ImageTotals]:
    """What each image costs, the largest usage first."""
    totals = []
    for image in report.images:
        # An image may have the same layer twice: one folder, counted once.
        layers = [report.layers[chain] for chain in dict.fromkeys(image.layers)]
        usage = image.beside + sum(layer.usage for layer in layers)
        shared = sum(layer.usage for layer in layers if layer.images > 1)
        size = sum(layer.size for layer in layers)
        totals.append(_ImageTotals(image, size, usage, shared, usage - shared))
    return sorted(totals, key=lambda total: (-total.usage, total.image.label))


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


def _plain_image(total: _ImageTotals) -> dict[str, object]:
    image = total.image
    return {
        "image_id": image.image_id,
        "names": list(image.names),
        "architecture": image.architecture,
        "os": image.os,
        "variant": image.variant,
        "layers": list(image.layers),
        "size": total.size,
        "usage": total.usage,
        "shared": total.shared,
        "own": total.own,
    }


def _plain_layer(layer: ReportedLayer) -> dict[str, object]:
    plain = {**layer._asdict(), "digests": list(layer.digests)}
    if layer.archive_size is None:
        del plain["archive_size"]
    return plain


def _image_table(report: Report) -> Table:
    table = Table(["SIZE", "USAGE", "SHARED", "OWN", "LAYERS"], ["ARCH", "IMAGE"])
    for total in _image_totals(report):
        image = total.image
        more = len(image.names) - 1
        table.add(
            *(human(count) for count in (total.size, total.usage, total.shared, total.own)),
            str(len(image.layers)),
            image.architecture + (f"/{image.variant}" if image.variant else ""),
            image.label + (f" (+{more})" if more > 0 else ""),
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
