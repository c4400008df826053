"""The report of a scan: tables for people, the same facts as JSON for programs."""

import json
import sys
from typing import TYPE_CHECKING, NamedTuple

from layerscan import selection
from layerscan.cli.tables import human, new_table, print_tables, short
from layerscan.walker import printable

if TYPE_CHECKING:
    from rich.table import Table

    from layerscan.scanner import LayerCost, Scan
    from layerscan.selection import Chosen


class ImageTotals(NamedTuple):
    """What an image costs, in bytes; `usage` is `shared` plus `own`.

    Attributes:
        one: the image.
        size: content of its layers.
        usage: disk that its layers take, and it beside them.
        shared: of that, layers which other images have too.
        own: of that, what would be free if the image were removed.
    """

    one: "Chosen"
    size: int
    usage: int
    shared: int
    own: int


def image_totals(result: "Scan") -> list[ImageTotals]:
    """What each image of the scan costs, the largest usage first."""
    totals = []
    for one in result.chosen:
        # An image may have the same layer twice: one folder, counted once.
        costs = {layer.chain_id: result.costs[layer.chain_id] for layer in one.image.layers}
        beside = result.image_usage[one.image.image_id]
        usage = beside + sum(cost.usage for cost in costs.values())
        shared = sum(cost.usage for chain, cost in costs.items() if result.sharing[chain] > 1)
        size = sum(cost.size for cost in costs.values())
        totals.append(ImageTotals(one, size, usage, shared, usage - shared))
    return sorted(totals, key=lambda total: (-total.usage, total.one.label))


def layer_costs(result: "Scan") -> "list[LayerCost]":
    """What each layer of the scan costs, the largest usage first."""
    return sorted(result.costs.values(), key=lambda cost: (-cost.usage, cost.layer.chain_id))


def print_json(result: "Scan") -> None:
    """Print the report as JSON: every figure in bytes, digests in full."""
    digests = _digests(result)
    report = {
        "store": {"kind": result.store.kind, "root": result.store.root},
        "accounting": str(result.accounting),
        "fs_block_size": result.fs_block_size,
        "images": [
            {
                "image_id": total.one.image.image_id,
                "names": [
                    *(name.familiar for name in total.one.image.names),
                    *total.one.image.other_names,
                ],
                "architecture": total.one.image.architecture,
                "os": total.one.image.os,
                "variant": total.one.image.variant,
                "layers": [layer.chain_id for layer in total.one.image.layers],
                "size": total.size,
                "usage": total.usage,
                "shared": total.shared,
                "own": total.own,
            }
            for total in image_totals(result)
        ],
        "layers": [
            {
                "chain_id": cost.layer.chain_id,
                "diff_id": cost.layer.diff_id,
                "digests": digests[cost.layer.chain_id],
                "size": cost.size,
                "usage": cost.usage,
                "files": _files(cost),
                "images": result.sharing[cost.layer.chain_id],
            }
            for cost in layer_costs(result)
        ],
        "totals": _totals(result),
        "warnings": list(result.warnings),
        "problems": [{"where": one.where, "what": one.what} for one in result.problems],
    }
    json.dump(report, sys.stdout, indent=2)
    print()


def print_table(result: "Scan") -> None:
    """Print the report for people: a table of images, one of layers, totals."""
    print_tables(_image_table(result), _layer_table(result))
    totals = _totals(result)
    print(
        f"{totals['images']} images, {totals['layers']} layers, {totals['files']:,} files: "
        f"size {human(totals['size'])}, usage {human(totals['usage'])} "
        f"({result.accounting} accounting) in {result.store.kind} store "
        f"{printable(result.store.root)}"
    )


def _totals(result: "Scan") -> dict[str, int]:
    """Each layer once, however many images share it."""
    costs = result.costs.values()
    return {
        "images": len(result.chosen),
        "layers": len(costs),
        "files": sum(_files(cost) for cost in costs),
        "size": sum(cost.size for cost in costs),
        "usage": sum(cost.usage for cost in costs) + sum(result.image_usage.values()),
    }


def _files(cost: "LayerCost") -> int:
    """Everything in the layer that is no directory, each inode once."""
    content = cost.walked.child
    return content.files + content.symlinks + content.others if content else 0


def _digests(result: "Scan") -> dict[str, list[str]]:
    """The digests of each layer in the repositories of the scan, sorted."""
    found: dict[str, set[str]] = {chain: set() for chain in result.costs}
    for one in result.chosen:
        for repository in one.repositories:
            digests = one.image.digests.get(repository, ())
            for layer, digest in zip(one.image.layers, digests, strict=False):
                if digest is not None:
                    found[layer.chain_id].add(digest)
    return {chain: sorted(digests) for chain, digests in found.items()}


def _image_table(result: "Scan") -> "Table":
    table = new_table(["IMAGE", "ARCH"], ["LAYERS", "SIZE", "USAGE", "SHARED", "OWN"])
    for total in image_totals(result):
        image = total.one.image
        more = len(image.names) + len(image.other_names) - 1
        table.add_row(
            total.one.label + (f" (+{more})" if more > 0 else ""),
            image.architecture + (f"/{image.variant}" if image.variant else ""),
            str(len(image.layers)),
            *(human(count) for count in (total.size, total.usage, total.shared, total.own)),
        )
    return table


def _layer_table(result: "Scan") -> "Table":
    table = new_table(["LAYER", "DIGEST", "IMAGE"], ["SIZE", "USAGE", "FILES", "IMAGES"])
    digests = _digests(result)
    images: dict[str, str] = {}
    for one in result.chosen:
        for layer in one.image.layers:
            images.setdefault(layer.chain_id, selection.label(one.image))
    for cost in layer_costs(result):
        chain = cost.layer.chain_id
        table.add_row(
            short(chain),
            ", ".join(short(digest) for digest in digests[chain]) or "none",
            images[chain],
            human(cost.size),
            human(cost.usage),
            f"{_files(cost):,}",
            str(result.sharing[chain]),
        )
    return table
