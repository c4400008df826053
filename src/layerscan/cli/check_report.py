"""The answer of ``check``: text for people, the same facts as JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerscan.cli.tables import Table, human, print_tables, short
from layerscan.text import printable

if TYPE_CHECKING:
    from layerscan.fit.verdict import Bundle, Space, Verdict

_PURPOSES = {"store": "blobs", "docker": "layers"}


def print_json(verdict: "Verdict", device: str, warnings: Sequence[str]) -> None:
    """Print the answer as JSON: every figure in bytes, digests in full."""
    by_size = verdict.limit.reserved is not None
    report = {
        "fits": verdict.fits,
        "policy": verdict.policy,
        "architecture": verdict.architecture,
        "watermark": None if by_size else verdict.limit.watermark,
        "reserved_storage": verdict.limit.reserved,
        "device": device,
        "apps": [{"app": app, "rule": str(rule)} for app, rule in verdict.rules.items()],
        "volumes": [_volume(space) for space in verdict.spaces],
        "bundles": [
            {
                "app": bundle.app,
                "fits": bundle.fits,
                "required": bundle.required,
                "available": bundle.available,
            }
            for bundle in verdict.bundles
        ],
        "missing_layers": [
            {
                "digest": layer.digest,
                "archive_size": layer.archive_size,
                "usage": layer.usage,
                "rule": _rule(estimated=layer.estimated),
            }
            for layer in verdict.missing
        ],
        "missing_others": None if verdict.others is None else verdict.others._asdict(),
        "download": verdict.download,
        "warnings": list(warnings),
    }
    json.dump(report, sys.stdout, indent=2)
    print()


def _volume(space: "Space") -> dict[str, object]:
    figures = {
        name: {"bytes": count, "percent": space.percent(count)}
        for name, count in (
            ("required", space.required),
            ("required_at_least", space.least),
            ("free", space.free),
            ("reserved", space.reserved),
            ("available", space.available),
            ("total", space.total),
            ("left", space.left),
            ("to_free", space.to_free),
        )
    }
    return {
        "volume": space.volume,
        "app": space.app,
        "purposes": list(space.purposes),
        "fits": space.fits,
        **figures,
        "inodes": None if space.inodes is None else space.inodes._asdict(),
    }


def print_text(verdict: "Verdict") -> None:
    """Print the answer for people: tables, and in the last line what it is."""
    tables = [_space_table(verdict.spaces)]
    if verdict.bundles:
        tables.append(_bundle_table(verdict.bundles))
    if verdict.missing:
        tables.append(_layer_table(verdict))
    print_tables(*tables)
    beside = ""
    if verdict.others is not None and verdict.others.blobs:
        beside = f", other blobs missing: {verdict.others.blobs}"
    print(f"layers missing: {len(verdict.missing)}{beside}, download: {human(verdict.download)}")
    for line in _to_free(verdict):
        print(line)
    subject = ", ".join(map(printable, verdict.rules))
    limit = verdict.limit
    allowed = f"watermark {limit.watermark} %"
    if limit.reserved is not None:
        allowed = f"{human(limit.reserved)} reserved"
    print(
        f"{'fits' if verdict.fits else 'does not fit'}: {subject} for {verdict.architecture} "
        f"({verdict.policy}, {allowed})"
    )


def _to_free(verdict: "Verdict") -> list[str]:
    """What would have to be freed, a line for each thing that does not fit."""
    lines = []
    for space in verdict.spaces:
        name = printable(space.volume)
        if space.to_free:
            line = f"{name}: {space.to_free} bytes would have to be freed"
            if space.app is not None:
                line += f" for {printable(space.app)}"
            surely = space.least - space.available
            if space.least < space.required and surely > 0:
                line += f"; {surely} in the best case"
            elif space.least < space.required:
                line += "; it may also fit, if layers come slowly"
            lines.append(line)
        if space.inodes is not None and not space.inodes.fits:
            lines.append(
                f"{name}: {space.inodes.required:,} inodes are needed, and "
                f"{space.inodes.free:,} are free: too few, whatever the bytes"
            )
    lines += (
        f"{printable(bundle.app)}: its archive does not fit in the store of Apps: "
        f"{bundle.required - bundle.available} bytes would have to be freed"
        for bundle in verdict.bundles
        if not bundle.fits
    )
    return lines


def _space_table(spaces: "Sequence[Space]") -> Table:
    table = Table(["REQUIRED", "AVAILABLE", "RESERVED", "TOTAL"], ["FITS", "FOR", "VOLUME"])
    for space in spaces:
        counts = (space.required, space.available, space.reserved)
        table.add(
            *(human(count) for count in (*counts, space.total)),
            _yes(fits=space.fits),
            _purpose(space),
            space.volume,
        )
        percents = [space.percent(count) for count in counts]
        shown = ("" if percent is None else f"{percent:.2f} %" for percent in percents)
        if any(percent is not None for percent in percents):
            table.add(*shown, "", "", "", "")
    return table


def _purpose(space: "Space") -> str:
    purpose = " and ".join(_PURPOSES[one] for one in space.purposes)
    return purpose if space.app is None else f"{purpose} of {space.app}"


def _bundle_table(bundles: "Sequence[Bundle]") -> Table:
    table = Table(["REQUIRED", "AVAILABLE"], ["FITS", "ARCHIVE OF APP"])
    for bundle in bundles:
        table.add(
            human(bundle.required), human(bundle.available), _yes(fits=bundle.fits), bundle.app
        )
    return table


def _layer_table(verdict: "Verdict") -> Table:
    table = Table(["ARCHIVE SIZE", "USAGE"], ["RULE", "MISSING LAYER"])
    for layer in sorted(verdict.missing, key=lambda layer: (-layer.usage, layer.digest)):
        table.add(
            human(layer.archive_size),
            human(layer.usage),
            _rule(estimated=layer.estimated),
            short(layer.digest),
        )
    return table


def _rule(*, estimated: bool) -> str:
    return "estimate" if estimated else "metadata"


def _yes(*, fits: bool) -> str:
    return "yes" if fits else "no"
