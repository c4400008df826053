"""Budgets: how much images may take, and how much they may grow.

`--max-usage` and `--max-growth` give one, a file of TOML as many as there are kinds of
images. docs/guides/budget.md shows both.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from layerscan.cli.amounts import GrowthLimit, growth, size
from layerscan.cli.comparison import Comparison
from layerscan.cli.report import Report, ReportedImage
from layerscan.cli.tables import human
from layerscan.errors import DocumentError, LayerscanError
from layerscan.jsondoc import Place, mapping, read_file
from layerscan.reference import is_like
from layerscan.text import printable

_MOST = 1 << 20  # bytes of a file of budgets
_ANY = "*"


class Budget(NamedTuple):
    """What images may take."""

    origin: str  # who says so, for messages
    pattern: str | None  # for each image with a name like this; None for all together
    usage: int | None = None  # bytes of disk at most
    growth: GrowthLimit | None = None  # by how much it may grow at most


class Excess(NamedTuple):
    """A budget that is exceeded."""

    image: str | None  # what to call the image; None for all together
    what: str  # ``usage`` or ``growth``
    found: int  # bytes
    allowed: int  # bytes
    origin: str  # of the budget

    def __str__(self) -> str:
        subject = "all images together" if self.image is None else self.image
        verb = {"usage": "take" if self.image is None else "takes", "growth": "grew by"}[self.what]
        over = human(self.found - self.allowed)
        return (
            f"{subject} {verb} {human(self.found)}, {over} more than the "
            f"{human(self.allowed)} of {self.origin}"
        )


def budgets_of(options: argparse.Namespace) -> list[Budget]:
    """The budgets that the options give; a LayerscanError where they cannot be met or read."""
    found = [
        Budget("--max-usage", None if together else _ANY, usage=limit)
        for together, limit in options.max_usage
    ]
    found += (
        Budget("--max-growth", None if together else _ANY, growth=limit)
        for together, limit in options.max_growth
    )
    if options.budget is not None:
        found += load_budgets(options.budget)
    if options.compare is None and any(one.growth is not None for one in found):
        first = next(one.origin for one in found if one.growth is not None)
        raise LayerscanError(f"{first}: growth since when? give the earlier report by --compare")
    return found


def load_budgets(path: str) -> list[Budget]:
    """Read a file of budgets; a DocumentError where something in it is wrong."""
    import tomllib

    try:
        document = tomllib.loads(read_file(path, _MOST).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise DocumentError(f"{printable(path)}: is not TOML: {printable(str(error))}") from None
    place = Place(path)
    _check_keys(document, place, ("all", "image"))
    found = []
    if "all" in document:
        at = place.key("all")
        found.append(_budget(mapping(document["all"], at), at, None))
    images = document.get("image", [])
    if not isinstance(images, list):
        raise place.key("image").fault("must be a list of tables: [[image]]")
    for number, value in enumerate(images):
        at = place.key("image").key(number)
        table = mapping(value, at)
        pattern = table.pop("name", None)
        if not isinstance(pattern, str):
            raise at.fault('needs a name: name = "registry.example/fleet/*"')
        found.append(_budget(table, at, pattern))
    return found


def _budget(table: Mapping[str, object], place: Place, pattern: str | None) -> Budget:
    _check_keys(table, place, ("usage", "growth"))
    if not table:
        raise place.fault("needs a usage or a growth")
    try:
        limit = size(_amount(table["usage"])) if "usage" in table else None
        grows = growth(_amount(table["growth"])) if "growth" in table else None
    except argparse.ArgumentTypeError as error:
        raise place.fault(str(error)) from None
    return Budget(f"{place.source}, {place.path.removeprefix('$.')}", pattern, limit, grows)


def _amount(value: object) -> str:
    # A number of bytes needs no quotes.
    return value if isinstance(value, str) else str(value)


def _check_keys(table: Iterable[str], place: Place, known: tuple[str, ...]) -> None:
    """A key that is misspelt would be a budget that nobody holds."""
    for key in table:
        if key not in known:
            raise place.key(key).fault(f"is not a key here; {' and '.join(known)} are")


def exceeded(
    report: Report, comparison: Comparison | None, budgets: Iterable[Budget]
) -> Iterator[Excess]:
    """By what the images of a report exceed their budgets.

    What is new has grown by all of its usage. A growth in percent is about what was there.
    """
    for budget in budgets:
        if budget.pattern is None:
            before = None if comparison is None else comparison.old.usage
            yield from _of(budget, None, report.totals["usage"], before)
            continue
        for image in report.images:
            if not _is_for(budget, image):
                continue
            old = None if comparison is None else comparison.before.get(image.image_id)
            usage = report.costs(image).usage
            yield from _of(budget, image.label, usage, None if old is None else old.usage)


def _is_for(budget: Budget, image: ReportedImage) -> bool:
    names = image.names or (image.label,)
    return any(is_like(name, budget.pattern or _ANY) for name in names)


def _of(budget: Budget, label: str | None, usage: int, before: int | None) -> Iterator[Excess]:
    if budget.usage is not None and usage > budget.usage:
        yield Excess(label, "usage", usage, budget.usage, budget.origin)
    if budget.growth is None:
        return
    allowed = budget.growth.bytes
    if allowed is None and before is not None:
        allowed = int(before * (budget.growth.percent or 0.0) / 100)
    grown = usage - (before or 0)
    if allowed is not None and grown > allowed:
        yield Excess(label, "growth", grown, allowed, budget.origin)


def unmet(report: Report, budgets: Iterable[Budget]) -> Iterator[str]:
    """A line for each budget that is for no image of the report."""
    for budget in budgets:
        is_named = budget.pattern not in (None, _ANY)
        if is_named and not any(_is_for(budget, image) for image in report.images):
            yield f"{budget.origin}: no image has a name like {budget.pattern}"
