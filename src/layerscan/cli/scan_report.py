"""The report of a scan."""

from typing import TYPE_CHECKING

from layerscan.cli.report import Report, ReportedImage, ReportedLayer
from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan.scanning.result import LayerCost, Scan


def report_of(result: "Scan") -> Report:
    """The report of `result`."""
    digests = _digests(result)
    return Report(
        subject={"store": {"kind": result.store.kind, "root": result.store.root}},
        closing=f"in {result.store.kind} store {printable_path(result.store.root)}",
        accounting=str(result.accounting),
        fs_block_size=result.fs_block_size,
        images=_images(result),
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


def _images(result: "Scan") -> list[ReportedImage]:
    return [
        ReportedImage(
            one.image.image_id,
            (*(name.familiar for name in one.image.names), *one.image.other_names),
            one.label,
            one.image.architecture,
            one.image.os,
            one.image.variant,
            tuple(layer.chain_id for layer in one.image.layers),
            result.image_usage[one.image.image_id],
        )
        for one in result.chosen
    ]


def _files(cost: "LayerCost") -> int:
    """Everything in the layer that is no directory, each inode once."""
    content = cost.walked.child
    return content.files + content.symlinks + content.others if content else 0


def _digests(result: "Scan") -> dict[str, tuple[str, ...]]:
    """The digests of each layer in the repositories of the scan, sorted."""
    found: dict[str, set[str]] = {chain: set() for chain in result.costs}
    for one in result.chosen:
        for repository in one.repositories:
            digests = one.image.digests.get(repository, ())
            for layer, digest in zip(one.image.layers, digests, strict=False):
                if digest is not None:
                    found[layer.chain_id].add(digest)
    return {chain: tuple(sorted(digests)) for chain, digests in found.items()}
