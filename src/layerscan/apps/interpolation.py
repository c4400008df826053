"""Interpolation of variables in the values of a Compose file.

The rules are those of the Compose specification, "Interpolation", and where it
is silent those of its reference implementation, compose-go (``template``):
operands are interpolated only where they are used, ``{`` and ``}`` within an
operand are paired, and a ``$`` that begins no variable stands for itself. In
one point this is stricter: a ``${`` whose braces do not pair up is an error
even where compose-go would guess its end.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from layerscan.errors import ComposeError

LONGEST_RESULT = 1024 * 1024  # characters of the longest text that interpolation may give
DEEPEST = 50  # levels of ${ within ${ that are read
_LONGEST_MESSAGE = 200
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))", re.ASCII
)
_EXPRESSION = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<operator>:?[-?+])?", re.ASCII)
_BRACE = re.compile(r"[{}]")


class Interpolated(NamedTuple):
    """A text whose variables were replaced."""

    text: str
    variables: tuple[str, ...]  # those that were looked up, in the order of their first use
    # those of them that are set nowhere and gave empty text, of which Compose warns
    unset: tuple[str, ...]


def interpolate(text: str, variables: Mapping[str, str]) -> Interpolated:
    """Replace the `variables` in `text`: ``$NAME``, ``${NAME}`` and ``${NAME:-default}``.

    Likewise ``-default``, ``:?message``, ``?message``, ``:+other``, ``+other``; ``$$`` is a
    dollar sign. ComposeError where an expression is malformed, a required variable is not
    set, or the result would be longer than `LONGEST_RESULT`.
    """
    run = _Interpolation(text, variables)
    run.expand(0, len(text), depth=0)
    return Interpolated("".join(run.pieces), tuple(run.used), tuple(run.unset))


class _Interpolation:
    """One interpolation under way."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self.text = text
        self.variables = variables
        self.pieces: list[str] = []
        self.length = 0
        # Dictionaries for their order; the values mean nothing.
        self.used: dict[str, None] = {}
        self.unset: dict[str, None] = {}

    def expand(self, start: int, end: int, depth: int) -> None:
        """Append what the text from `start` to `end` gives."""
        position = start
        while found := _REFERENCE.search(self.text, position, end):
            self._append(self.text[position : found.start()], found.start())
            position = found.end()
            if found["escaped"]:
                self._append("$", found.start())
            elif found["name"]:
                self._append_value(found["name"], found.start())
            else:
                close = self._closing_brace(found.end(), end)
                self._expression(found.start(), close, depth)
                position = close + 1
        self._append(self.text[position:end], position)

    def _expression(self, start: int, close: int, depth: int) -> None:
        """Append what the ``${`` at `start` gives whose ``}`` is at `close`."""
        if depth >= DEEPEST:
            raise self._fault(f"more than {DEEPEST} expressions within each other", start)
        head = _EXPRESSION.match(self.text, start + 2, close)
        if not head:
            raise self._fault("no variable's name after ${", start + 2)
        name, operator = head["name"], head["operator"]
        if operator is None:
            if head.end() != close:
                raise self._fault(f"no operator (:- - :? ? :+ +) after {name}", head.end())
            self._append_value(name, start)
            return
        self.used[name] = None
        value = self.variables.get(name)
        # With a colon, empty counts as not set.
        given = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "?" and not given:
            before = len(self.pieces)
            self.expand(head.end(), close, depth + 1)
            message = "".join(self.pieces[before:])[:_LONGEST_MESSAGE]
            message = message if message.isprintable() else repr(message)
            state = "is not set" if value is None else "is empty"
            what = f"required variable {name} {state}{message and ': '}{message}"
            raise self._fault(what, start)
        if given == (operator[-1] == "+"):
            self.expand(head.end(), close, depth + 1)
        elif operator[-1] != "+":
            self._append(value or "", start)

    def _closing_brace(self, start: int, end: int) -> int:
        level = 1
        for brace in _BRACE.finditer(self.text, start, end):
            level += 1 if brace[0] == "{" else -1
            if level == 0:
                return brace.start()
        raise self._fault("no closing brace for this ${", start - 2)

    def _append_value(self, name: str, position: int) -> None:
        self.used[name] = None
        value = self.variables.get(name)
        if value is None:
            self.unset[name] = None
        self._append(value or "", position)

    def _append(self, piece: str, position: int) -> None:
        self.length += len(piece)
        if self.length > LONGEST_RESULT:
            raise self._fault(f"more than {LONGEST_RESULT} characters result", position)
        self.pieces.append(piece)

    def _fault(self, what: str, position: int) -> ComposeError:
        before, after = 40, 80
        start, end = max(0, position - before), position + after
        begun, cut = "…" * (start > 0), "…" * (end < len(self.text))
        excerpt = f"{begun}{self.text[start:end]!r}{cut}"
        return ComposeError(f"{excerpt}, character {position + 1}: {what}")
