"""The report of ``layerscan df``: tables, JSON, Markdown, and Prometheus' text format."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from layerscan.cli.exposition import Metric, exposition
from layerscan.cli.markdown import MarkdownTable, markdown_text, summary
from layerscan.cli.output import print_json
from layerscan.cli.tables import Table, human, moment, print_tables
from layerscan.stores.holdings import Category
from layerscan.text import printable_path

if TYPE_CHECKING:
    from layerscan.ledger.model import DiskUse, Item, Ledger, Sum

_WORDS = {Category.BUILD_CACHE: "build cache"}


def print_ledger(
    ledger: "Ledger", form: str, *, category: str | None, most: int, order: str
) -> None:
    """Print a ledger: of one `category` all items, or of each the `most` first in `order`."""
    if category is None:
        is_long = form in ("json", "markdown")
        shown = None if is_long else most
        items = [item for one in Category for item in _ordered(ledger, one, order)[:shown]]
        if is_long:
            items.sort(key=_ORDERS[order])
    else:
        items = _ordered(ledger, Category(category), order)
    if form == "json":
        print_json(_plain(ledger, items))
    elif form == "prometheus":
        print(exposition(_metrics(ledger)), end="")
    elif form == "markdown":
        print(_markdown(ledger, items), end="")
    else:
        sums = [] if category else [_sums_table(ledger)]
        print_tables(*sums, _items_table(items, with_paths=category is not None))
        for disk in ledger.disks:
            print(_disk_line(disk))


_ORDERS: "dict[str, Callable[[Item], tuple[object, ...]]]" = {
    "usage": lambda item: (-item.usage, item.holding.name),
    "name": lambda item: (item.holding.name, -item.usage),
    "age": lambda item: (item.since or 0.0, -item.usage),
}


def _ordered(ledger: "Ledger", category: Category, order: str) -> "list[Item]":
    found = [item for item in ledger.items if item.holding.category is category and item.usage]
    return sorted(found, key=_ORDERS[order])


def _word(category: Category) -> str:
    return _WORDS.get(category, str(category))


def _sums_table(ledger: "Ledger") -> Table:
    table = Table(["USAGE", "IN USE", "FREEABLE", "NUMBER"], ["HOLDER"])
    for category, one in ledger.sums.items():
        if one.number or one.usage:
            figures = (human(one.usage), human(one.in_use), human(one.freeable), f"{one.number:,}")
            table.add(*figures, _word(category))
    table.add(human(ledger.total), "", "", "", "total")
    return table


def _items_table(items: "Sequence[Item]", *, with_paths: bool) -> Table:
    table = Table(["USAGE"], ["CHANGED", "HOLDER", "PATH" if with_paths else "NAME"])
    for item in items:
        holding = item.holding
        what = holding.name + (f": {holding.reason}" if holding.reason else "")
        if with_paths:
            what = f"{printable_path(holding.paths[0])} ({what})"
        table.add(human(item.usage), moment(item.since)[:10], _word(holding.category), what)
    return table


def _disk_line(disk: "DiskUse") -> str:
    elsewhere = max(disk.used - disk.usage - disk.deleted, 0)
    parts = [
        f"{human(disk.usage)} here",
        f"{human(disk.deleted)} in files that are deleted but still open",
        f"{human(elsewhere)} elsewhere",
    ]
    reserved = f"; {human(disk.reserved)} more are reserved" if disk.reserved else ""
    where = ", ".join(map(printable_path, disk.roots))
    return f"disk of {where}: {human(disk.used)} used: {', '.join(parts)}{reserved}"


def _plain(ledger: "Ledger", items: "Sequence[Item]") -> dict[str, object]:
    return {
        "store": {"kind": ledger.kind, "root": ledger.root},
        "roots": list(ledger.roots),
        "total": ledger.total,
        "categories": {str(key): _plain_sum(one) for key, one in ledger.sums.items()},
        "disks": [disk._asdict() | {"roots": list(disk.roots)} for disk in ledger.disks],
        "items": [_plain_item(item) for item in items],
        "vanished": ledger.vanished,
        "warnings": list(ledger.notes),
        "problems": [{"where": one.where, "what": one.what} for one in ledger.problems],
    }


def _plain_sum(one: "Sum") -> dict[str, int]:
    return {
        "usage": one.usage,
        "in_use": one.in_use,
        "freeable": one.freeable,
        "count": one.number,
    }


def _plain_item(item: "Item") -> dict[str, object]:
    holding = item.holding
    return {
        "category": str(holding.category),
        "name": holding.name,
        "path": holding.paths[0],
        "paths": list(holding.paths),
        "usage": item.usage,
        "in_use": item.in_use,
        "reason": holding.reason,
        "since": moment(item.since) or None,
    }


def _markdown(ledger: "Ledger", items: "Sequence[Item]") -> str:
    where = f"{ledger.kind} store {printable_path(ledger.root)}"
    answer = [f"**{human(ledger.total)}** in the {markdown_text(where)}"]
    sums = [
        (_word(key), human(one.usage), human(one.in_use), human(one.freeable), f"{one.number:,}")
        for key, one in ledger.sums.items()
        if one.number or one.usage
    ]
    rows = [
        (_word(one.holding.category), human(one.usage), one.holding.name, one.holding.reason)
        for one in items
    ]
    listings = (
        MarkdownTable(
            "holders", ("Holder", "Usage", "In use", "Freeable", "Number"), sums, len(sums)
        ),
        MarkdownTable("things", ("Holder", "Usage", "Name", "Why"), rows, len(rows)),
    )
    return summary(answer, listings, map(markdown_text, map(_disk_line, ledger.disks)))


def _metrics(ledger: "Ledger") -> Iterator[Metric]:
    store = {"kind": ledger.kind, "root": ledger.root}
    for name, meaning in (
        ("usage", "Disk that a kind of holder takes."),
        ("in_use", "Of these, what running containers and builds use."),
        ("freeable", "Of these, what could be freed."),
    ):
        samples = [
            ({**store, "category": str(key)}, getattr(one, name))
            for key, one in ledger.sums.items()
        ]
        yield Metric(f"layerscan_store_{name}_bytes", meaning, samples)
    for name, meaning in (
        ("used", "What the disk of a root has used in all."),
        ("deleted", "Deleted files on it that are still open."),
    ):
        samples = [({"root": disk.roots[0]}, getattr(disk, name)) for disk in ledger.disks]
        yield Metric(f"layerscan_disk_{name}_bytes", meaning, samples)
