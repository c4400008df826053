"""Mutation of JSON by its values: what is mutated by bytes is hardly ever JSON again."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCALARS = (None, True, 0, -1, 1.5, 1 << 63, "", "x", "\n", "é")
_VALUES: tuple[object, ...] = (*_SCALARS, [], {}, [None], {"": 0})


def mutated(data: bytes, seed: int) -> bytes | None:
    """`data` with one of its values replaced or taken away; None if it has none, or is no JSON."""
    try:
        document = [json.loads(data)]
    except (ValueError, RecursionError):
        return None
    dice = random.Random(seed)  # noqa: S311
    places = list(_places(document))
    holder, key = dice.choice(places)
    if dice.randrange(4) == 0 and holder is not document:
        del holder[key]
    elif dice.randrange(2):
        holder[key] = copy.copy(dice.choice(_VALUES))
    else:
        other, other_key = dice.choice(places)
        holder[key] = copy.deepcopy(other[other_key])
    return json.dumps(document[0]).encode()


def _places(document: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Where a value stands: the list or object that has it, and its key there."""
    holders: list[Any] = [document]
    for holder in holders:
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            yield holder, key
            if isinstance(value, dict | list):
                holders.append(value)
