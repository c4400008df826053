"""What a target may see: what a parser gives, or the errors that it documents."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LONGEST_MESSAGE = 4000


class Refused(NamedTuple):
    """Stands in place of what a parser would give: what it said instead."""

    message: str


def outcome(parse: Callable[[], T], *refusals: type[Exception]) -> T | Refused:
    """What `parse` gives, or its refusal, which must be one printable line.

    Any other error goes on: it is a finding.
    """
    try:
        return parse()
    except refusals as error:
        message = str(error)
    assert message
    assert message.isprintable(), message
    assert len(message) < LONGEST_MESSAGE, message
    return Refused(message)


def pieces(data: bytes) -> list[bytes]:
    """`data`, cut somewhere; in the same places at each call."""
    dice = random.Random(zlib.crc32(data))  # noqa: S311
    most = dice.choice([3, 600, 5000])
    cuts = [0]
    while cuts[-1] < len(data):
        # The longer, the less often: many short pieces take time.
        cuts.append(cuts[-1] + dice.randint(1, most + len(cuts)))
    return [data[start:end] for start, end in pairwise(cuts)]
