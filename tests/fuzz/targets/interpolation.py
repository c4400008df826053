"""Interpolation of variables in a text."""

from __future__ import annotations

from layerscan.apps.interpolation import LONGEST_RESULT, interpolate
from layerscan.errors import ComposeError
from tests.fuzz.outcome import Refused, outcome

LONGEST = 4 * 1024

VARIABLES = {"A": "a", "EMPTY": "", "LONG": "x" * 1000, "DOLLAR": "$A${A}"}


def run(data: bytes) -> None:
    text = data.decode(errors="replace")
    result = outcome(lambda: interpolate(text, VARIABLES), ComposeError)
    if not isinstance(result, Refused):
        assert len(result.text) <= LONGEST_RESULT
        assert set(result.unset) <= set(result.variables) - VARIABLES.keys()
        assert "$" in text or result.text == text
    assert interpolate(text.replace("$", "$$"), {}).text == text
