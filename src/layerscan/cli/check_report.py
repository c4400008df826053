"""The answer of ``check``: text for people, the same facts as JSON for programs."""

from typing import TYPE_CHECKING

from layerscan.cli.markdown import MarkdownTable, markdown_text, summary
from layerscan.cli.output import print_json
from layerscan.cli.tables import Table, human, print_tables, short
from layerscan.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerscan.fit.deletions import Deletion
    from layerscan.fit.verdict import Bundle, Space, Verdict

_PURPOSES = {"store": "blobs", "docker": "layers", "layers": "content of layers"}


def _plain(
    verdict: "Verdict", deletion: "Deletion | None", device: str, warnings: "Sequence[str]"
) -> dict[str, object]:
    by_size = verdict.limit.reserved is not None
    return {
        "fits": verdict.fits,
        "policy": verdict.policy,
        "architecture": verdict.architecture,
        "watermark": None if by_size else verdict.limit.watermark,
        "reserved_storage": verdict.limit.reserved,
        "device": device,
        "apps": [{"app": app, "rule": str(rule)} for app, rule in verdict.rules.items()],
        "volumes": [_volume(space) for space in verdict.spaces],
        "bundles": [{"app": one.app, "fits": one.fits, **one._asdict()} for one in verdict.bundles],
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
        "delete": None if deletion is None else _plain_deletion(deletion),
        "warnings": list(warnings),
    }


def _plain_deletion(deletion: "Deletion") -> dict[str, object]:
    return {
        "suffices": deletion.suffices,
        "volume": deletion.volume,
        "freed": deletion.reclaim.freed,
        "images": [
            {
                "names": list(one.names),
                "image_id": one.holdings[0].image_id,
                "freed": one.freed,
            }
            for one in deletion.reclaim.removed
        ],
        "commands": deletion.reclaim.commands(),
    }


def _volume(space: "Space") -> dict[str, object]:
    figures = {
        "required": space.required,
        "required_at_least": space.least,
        "free": space.free,
        "reserved": space.reserved,
        "available": space.available,
        "total": space.total,
        "left": space.left,
        "to_free": space.to_free,
    }
    return {
        "volume": space.volume,
        "app": space.app,
        "purposes": list(space.purposes),
        "fits": space.fits,
        **{k: {"bytes": n, "percent": space.percent(n)} for k, n in figures.items()},
        "inodes": None if space.inodes is None else space.inodes._asdict(),
    }


def print_report(
    verdict: "Verdict",
    form: str,
    *,
    device: str,
    warnings: "Sequence[str]",
    deletion: "Deletion | None" = None,
) -> None:
    """Print the answer, as JSON or for people: tables, and in the last line what it is."""
    if form == "json":
        print_json(_plain(verdict, deletion, device, warnings))
        return
    if form == "markdown":
        print(_markdown(verdict, deletion), end="")
        return
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
    if deletion is not None:
        _print_deletion(deletion)
    print(_answer(verdict))


def _answer(verdict: "Verdict") -> str:
    subject = ", ".join(map(printable, verdict.rules))
    limit = verdict.limit
    allowed = f"watermark {limit.watermark} %"
    if limit.reserved is not None:
        allowed = f"{human(limit.reserved)} reserved"
    answer = "fits" if verdict.fits else "does not fit"
    return f"{answer}: {subject} for {verdict.architecture} ({verdict.policy}, {allowed})"


def _markdown(verdict: "Verdict", deletion: "Deletion | None") -> str:
    """The answer for a CI job's summary, what has to be freed, and why."""
    answer, _, subject = _answer(verdict).partition(": ")
    lines = [f"**{answer.capitalize()}**: {markdown_text(subject)}"]
    lines += map(markdown_text, _to_free(verdict))
    spaces = [
        (
            space.volume,
            "yes" if space.fits else "no",
            _purpose(space),
            *map(human, (space.required, space.available, space.reserved, space.total)),
        )
        for space in verdict.spaces
    ]
    heads = ("Volume", "Fits", "For", "Required", "Available", "Reserved", "Total")
    missing = sorted(verdict.missing, key=lambda layer: (-layer.usage, layer.digest))
    layers = [
        (human(one.archive_size), human(one.usage), _rule(estimated=one.estimated), one.digest)
        for one in missing
    ]
    listings = [
        MarkdownTable("volumes", heads, spaces, len(spaces)),
        MarkdownTable("layers", ("Archive", "Usage", "Rule", "Missing layer"), layers, len(layers)),
    ]
    if deletion is not None:
        rows = [
            (human(one.freed), short(one.holdings[0].image_id), ", ".join(one.arguments))
            for one in deletion.reclaim.removed
        ]
        columns = ("Freed", "Id", "Image that the update does not need")
        listings.append(MarkdownTable("images", columns, rows, len(rows)))
    return summary(lines, listings)


def _print_deletion(deletion: "Deletion") -> None:
    """Which images could go, in the order in which they were chosen."""
    found = deletion.reclaim
    if not found.removed:
        print("no image could be removed: a container or the update needs each")
        return
    table = Table(["FREED"], ["ID", "IMAGE THAT THE UPDATE DOES NOT NEED"])
    for one in found.removed:
        name = ", ".join(one.arguments) if one.names else "(no name)"
        table.add(human(one.freed), short(one.holdings[0].image_id), name)
    print()
    print_tables(table)
    enough = "it would fit" if deletion.suffices else "still too little"
    print(f"without these, {human(found.freed)} more would be free: {enough}")


def _to_free(verdict: "Verdict") -> list[str]:
    """What would have to be freed, a line for each thing that does not fit."""
    lines = []
    for space in verdict.spaces:
        name = printable(space.volume)
        if space.to_free:
            line = f"{name}: {human(space.to_free)} would have to be freed"
            if space.app is not None:
                line += f" for {printable(space.app)}"
            surely = space.least - space.available
            if space.least < space.required and surely > 0:
                line += f"; {human(surely)} in the best case"
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
        f"{human(bundle.required - bundle.available)} would have to be freed"
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
            "yes" if space.fits else "no",
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
        fits = "yes" if bundle.fits else "no"
        table.add(human(bundle.required), human(bundle.available), fits, bundle.app)
    return table


def _layer_table(verdict: "Verdict") -> Table:
    table = Table(["ARCHIVE SIZE", "USAGE"], ["RULE", "MISSING LAYER"])
    for layer in sorted(verdict.missing, key=lambda layer: (-layer.usage, layer.digest)):
        rule = _rule(estimated=layer.estimated)
        table.add(human(layer.archive_size), human(layer.usage), rule, short(layer.digest))
    return table


def _rule(*, estimated: bool) -> str:
    return "estimate" if estimated else "metadata"
