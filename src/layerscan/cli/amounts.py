"""Amounts as people type them: sizes, spans of time, and growth."""

import argparse
import re
from typing import NamedTuple

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([KMGT]?)(?:i?B)?", re.ASCII)
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw]?)", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?%", re.ASCII)
_TOGETHER = "all="


class GrowthLimit(NamedTuple):
    """How much something may grow: by bytes, or by a part of what it was."""

    bytes: int | None
    percent: float | None


def size(text: str) -> int:
    """A number of bytes: ``20GiB``, ``1.5G``, ``4096``; units are powers of 1024."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: 20GiB, 512M, 4096, …")
    return round(float(found[1]) * _UNITS[found[2]])


def span(text: str) -> int:
    """A number of seconds: ``30d``, ``12h``, ``90``."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: 30d, 12h, 90s, …")
    return int(found[1]) * _SPANS[found[2] or "s"]


def growth(text: str) -> GrowthLimit:
    """A growth: a size, or ``5%``."""
    found = _PERCENT.fullmatch(text)
    if found is not None:
        return GrowthLimit(None, float(found[1]))
    try:
        return GrowthLimit(size(text), None)
    except argparse.ArgumentTypeError:
        what = f"{text!r} is not a growth: 20MiB, 5%, …"
        raise argparse.ArgumentTypeError(what) from None


def usage_limit(text: str) -> tuple[bool, int]:
    """What ``--max-usage`` takes: whether it is for all together, and bytes."""
    return text.startswith(_TOGETHER), size(text.removeprefix(_TOGETHER))


def growth_limit(text: str) -> tuple[bool, GrowthLimit]:
    """The same of ``--max-growth``."""
    return text.startswith(_TOGETHER), growth(text.removeprefix(_TOGETHER))
