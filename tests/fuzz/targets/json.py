"""JSON: as Python reads it or refused, and the same value where it is read in pieces."""

from __future__ import annotations

import json

from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.sources.toc_json import Values, members
from tests.fuzz.outcome import Refused, outcome, pieces

LONGEST = 8 * 1024


def run(data: bytes) -> None:
    value = outcome(lambda: jsondoc.decode(data, "f"), DocumentError)
    as_go = outcome(lambda: jsondoc.decode(data, "f", as_go=True), DocumentError)
    if not isinstance(value, Refused):
        assert value == json.loads(data, parse_int=jsondoc._bounded_int)
        assert as_go == present(value)
    read = outcome(lambda: only(values(data)), DocumentError)
    assert isinstance(read, Refused) == isinstance(value, Refused)
    assert isinstance(read, Refused) or read == value
    entries = outcome(lambda: list(members(values(data), "a")), DocumentError)
    if isinstance(entries, list):
        assert isinstance(value, dict)
        assert entries == [
            (key, entry)
            for key, inner in value.items()
            for entry in (inner if key == "a" and isinstance(inner, list) else [inner])
        ]


def values(data: bytes) -> Values:
    return Values(iter(pieces(data)), "f", most=LONGEST)


def only(values: Values) -> object:
    """The one value that there is."""
    found = values.value()
    if not values.at_end():
        raise values.fault("has more than one value")
    return found


def present(value: object) -> object:
    """`value` without the members that are as absent to Go."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner not in (None, "")}
    return list(map(present, value)) if isinstance(value, list) else value
