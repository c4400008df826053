"""Names: how the user names what is in an archive or layout, and how it is shown.

Owns the form ``PATH[:REF]``, which is skopeo's: the path ends at the first colon.
"""

import os
import re
from collections.abc import Iterable

from layerscan.errors import SourceError
from layerscan.text import quoted

MOST_SHOWN = 20
_PLACE = re.compile(r"@(\d{1,9})", re.ASCII)


def split(text: str, transport: str) -> tuple[str, str | None]:
    """The path and what is meant in it, None for all."""
    path, colon, wanted = text.partition(":")
    if not path:
        raise SourceError(f"{quoted(f'{transport}:{text}')}: gives no path")
    if colon and not os.path.lexists(path) and os.path.lexists(text):
        raise SourceError(f"{quoted(text)}: a path ends at its first colon here; use another name")
    if colon and not wanted:
        raise SourceError(f"{quoted(f'{transport}:{text}')}: gives no name after the last colon")
    return path, wanted or None


def place(wanted: str, count: int, where: str) -> int | None:
    """The place that ``@N`` means, None for a name."""
    if not wanted.startswith("@"):
        return None
    match = _PLACE.fullmatch(wanted)
    if match is None:
        raise SourceError(f"{where}: {quoted(wanted)} is no place; the first image is @0")
    if int(match[1]) >= count:
        raise SourceError(f"{where}: has no image at place {match[1]}; it has {count}")
    return int(match[1])


def unknown(wanted: str, names: Iterable[str], where: str) -> SourceError:
    """The error that nothing is called `wanted`, and what there is instead."""
    there = ", ".join(sorted(map(quoted, set(names)))[:MOST_SHOWN])
    return SourceError(f"{where}: has no image {quoted(wanted)}; its names: {there or 'none'}")
