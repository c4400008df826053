"""Image references: both forms of a name are read as the same name again."""

from __future__ import annotations

from functools import partial

from layerscan.errors import ReferenceSyntaxError
from layerscan.reference import parse
from tests.fuzz.outcome import Refused, outcome

LONGEST = 1024


def run(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    for default_tag in (True, False):
        name = outcome(partial(parse, text, default_tag=default_tag), ReferenceSyntaxError)
        if not isinstance(name, Refused):
            assert str(name).isascii()
            assert str(name).isprintable()
            assert parse(str(name), default_tag=False) == name
            assert parse(name.familiar, default_tag=False) == name
            assert hash(parse(str(name), default_tag=False)) == hash(name)
