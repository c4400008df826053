"""JSON as the old engine of aktualizr-lite decodes it: with jsoncpp, whose faults it ignores.

Owns what jsoncpp makes of a text, in its usual settings: comments, a comma too many and
anything after the value are allowed, of a key given twice the last value counts, and
where it finds a fault it stops: what it has decoded until then is the document. An
integer beyond 64 bits is a floating point number.

Nearly every document is plain JSON and is read by Python's decoder; only what that
refuses is read here character by character.
"""

import json
import re
from contextlib import suppress
from typing import NoReturn

from layerscan.errors import DocumentError
from layerscan.jsondoc import refuse_too_dense
from layerscan.text import printable

LARGEST_UNSIGNED = 2**64 - 1
SMALLEST = -(2**63)

_LONGEST_INTEGER = 20  # characters of the longest integer of 64 bits, with its sign

_DEEPEST = 400  # values within each other that are followed: half of what jsoncpp follows

_BLANK = re.compile(r"(?:[ \t\r\n]|/\*.*?\*/|//[^\r\n]*)*", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_WORDS = {"null": None, "true": True, "false": False}


def decode_until_fault(raw: bytes, source: str) -> object:
    """What jsoncpp makes of `raw`; DocumentError where that is far longer, or too deep."""
    refuse_too_dense(raw, source)
    text = raw.decode(errors="replace")
    try:
        value: object = _PLAIN.decode(text)
    except (json.JSONDecodeError, _NoNumberError):
        return _UntilFault(text, source).document()
    except RecursionError:
        raise DocumentError(f"{printable(source)}: is nested too deeply") from None
    return value


def _integer(literal: str) -> int | float:
    # Longer literals cost time, and Python refuses the longest.
    if len(literal) <= _LONGEST_INTEGER and SMALLEST <= int(literal) <= LARGEST_UNSIGNED:
        return int(literal)
    return float(literal)


class _NoNumberError(ValueError):
    """A word that Python takes for a number."""


def _no_number(word: str) -> NoReturn:
    raise _NoNumberError(word)


_STRINGS = json.JSONDecoder(strict=False)
_PLAIN = json.JSONDecoder(parse_int=_integer, parse_constant=_no_number)


class _FaultError(Exception):
    """jsoncpp stops here."""


class _UntilFault:
    """Reads a text until its first fault."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._at = 1 if text.startswith("\ufeff") else 0

    def document(self) -> object:
        """The value, as far as it was read."""
        holder: list[object] = [None]
        with suppress(_FaultError):
            self._value(holder, 0, 0)
        return holder[0]

    def _value(self, into: dict[str, object] | list[object], key: str | int, depth: int) -> None:
        """Read a value, and put it in its place before it is whole."""
        if depth > _DEEPEST:
            raise DocumentError(f"{printable(self._source)}: is nested too deeply")
        place: dict[str | int, object] = into  # type: ignore[assignment]
        place[key] = None
        mark = self._next()
        if mark == "{":
            members: dict[str, object] = {}
            place[key] = members
            self._members(members, depth + 1)
        elif mark == "[":
            entries: list[object] = []
            place[key] = entries
            self._entries(entries, depth + 1)
        elif mark == '"':
            place[key] = self._string()
        else:
            place[key] = self._scalar()

    def _members(self, members: dict[str, object], depth: int) -> None:
        self._at += 1
        while self._next() != "}":
            if self._next() != '"':
                raise _FaultError
            name = self._string()
            self._expect(":")
            self._value(members, name, depth)
            if self._next() != "}":
                self._expect(",")
        self._at += 1

    def _entries(self, entries: list[object], depth: int) -> None:
        self._at += 1
        while self._next() != "]":
            entries.append(None)
            self._value(entries, len(entries) - 1, depth)
            if self._next() != "]":
                self._expect(",")
        self._at += 1

    def _next(self) -> str:
        """The next character that is no blank and in no comment; empty at the end."""
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None  # noqa: S101 - it matches nothing, too
        self._at = blank.end()
        return self._text[self._at : self._at + 1]

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise _FaultError
        self._at += 1

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise _FaultError
        self._at = found.end()
        try:
            return str(_STRINGS.decode(found[0]))
        except json.JSONDecodeError:
            raise _FaultError from None

    def _scalar(self) -> object:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            raise _FaultError
        self._at = found.end()
        literal = found[0]
        try:
            return _integer(literal) if literal.lstrip("-").isdigit() else float(literal)
        except ValueError:
            raise _FaultError from None
