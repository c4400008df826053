"""A `.env` file: its variables, those of the process before them."""

from __future__ import annotations

from unittest.mock import patch

from dotenv import parser  # noqa: F401 - so that it is instrumented

from layerscan.apps import environment
from layerscan.errors import ComposeError
from tests.fuzz.outcome import Refused, outcome

LONGEST = 4 * 1024

PROCESS = {"A": "of the process", "HOME": "/root"}


def run(data: bytes) -> None:
    text = data.decode(errors="replace")
    with patch.multiple(environment, exists=lambda _: True, read_text=lambda *_, **__: text):
        found = outcome(
            lambda: environment.load_environment(".env", root="/", process=PROCESS), ComposeError
        )
    if not isinstance(found, Refused):
        assert {name: found.values[name] for name in PROCESS} == PROCESS
        own = {name: value for name, value in found.values.items() if name not in PROCESS}
        assert sum(map(len, own.values())) <= environment.LONGEST_VALUES
        assert found.unset.keys() <= own.keys()
