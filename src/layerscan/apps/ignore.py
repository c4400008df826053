r"""Which files of an App stay behind: ``.composeappignores``.

The syntax is that of ``.dockerignore`` (Docker's build reference, ".dockerignore
file"): a pattern is matched from the App's folder on, ``*`` and ``?`` within one
name, ``**`` over any number of folders, ``[a-z]`` and ``[^a-z]``, ``\`` before a
character that means itself. A pattern that matches a folder is about all in it.
With ``!`` in front it takes back what others left out; the last pattern that
matches decides.

Matching takes no longer than the pattern's length times the path's, whatever
stars are in it.
"""

import posixpath
import re
from typing import NamedTuple

from layerscan.errors import ComposeError
from layerscan.text import printable

IGNORE_FILE = ".composeappignores"

MOST_PATTERNS = 10_000
"""Patterns of one file."""

_ANY_DEPTH = None
"""Stands for ``**`` among the names of a pattern."""

_Names = list[re.Pattern[str] | None]


class _IgnoreRule(NamedTuple):
    """A line of the file: any of `ways` to read its pattern may match."""

    keeps: bool
    ways: tuple[_Names, ...]


class IgnoreRules:
    """The rules of the file whose content is `text`, and which is called `source` in messages.

    Raises:
        ComposeError: a pattern is malformed. The message names the line.
    """

    def __init__(self, text: str, source: str) -> None:
        self._rules: list[_IgnoreRule] = []
        lines = text.removeprefix("\ufeff").splitlines()
        if len(lines) > MOST_PATTERNS:
            raise ComposeError(f"{source}: has more than {MOST_PATTERNS} lines")
        for number, line in enumerate(lines, start=1):
            # Only in the first column does # begin a comment.
            pattern = "" if line.startswith("#") else line.strip()
            if pattern:
                try:
                    self._rules.append(_rule(pattern))
                except _PatternError as error:
                    raise ComposeError(f"{source}:{number}: {printable(line)}: {error}") from None

    @property
    def has_exceptions(self) -> bool:
        """Whether something in a folder that stays behind may be kept."""
        return any(rule.keeps for rule in self._rules)

    def ignores(self, path: str) -> bool:
        """Whether `path`, relative to the App's folder, stays behind."""
        names = path.split("/")
        ignored = False
        for rule in self._rules:
            if rule.keeps == ignored and any(_matches(way, names) for way in rule.ways):
                ignored = not ignored
        return ignored


class _PatternError(Exception):
    """What is wrong with a pattern."""


def _rule(pattern: str) -> _IgnoreRule:
    keeps = pattern.startswith("!")
    if keeps:
        pattern = pattern[1:].strip()
        if not pattern:
            raise _PatternError("no pattern after !")
    # Of "/a", "./a", "a/" and "b/../a" each means "a".
    cleaned = posixpath.normpath(pattern).lstrip("/")
    names = cleaned.split("/")
    if len(names[-1]) > 1 and not names[-1].strip("*"):
        # "a/**" is all that is in "a", which has one name more.
        names[-1] = "*"
    ways: list[_Names] = [[]]
    for name in names:
        readings = _readings(name)
        ways = [[*way, *reading] for way in ways for reading in readings]
    # What is below a folder that matches goes with it.
    return _IgnoreRule(keeps, tuple([*way, _ANY_DEPTH] for way in ways))


def _readings(name: str) -> list[_Names]:
    """How a name of a pattern can be read, as names that are matched one by one."""
    if name.strip("*") == "" and len(name) > 1:
        return [[_ANY_DEPTH]]
    before, stars, after = _parted(name)
    if not stars:
        return [[_compiled(name)]]
    if "**" in after:
        raise _PatternError("more than one ** in one name")
    apart: _Names = [_compiled(before + "*")] if before else []
    apart += [_ANY_DEPTH, *([_compiled(after)] if after else [])]
    # Within a name it stands for nothing, or for a text that ends a folder's name.
    return [apart] if not (before and after) else [[_compiled(before + after)], apart]


def _parted(name: str) -> tuple[str, str, str]:
    """What is before the first run of two stars or more, the run, and what is after."""
    found = re.search(r"(?<!\\)\*{2,}", name)
    return (name[: found.start()], found[0], name[found.end() :]) if found else (name, "", "")


def _compiled(name: str) -> re.Pattern[str]:
    """The regular expression of one name, which has no ``**``."""
    # A star takes no more than the text after it needs: what another star comes
    # after need not be tried again, so it is atomic.
    pieces: list[str] = [""]
    position = 0
    while position < len(name):
        character = name[position]
        if character == "*":
            pieces.append("")
            position += 1
            continue
        piece, position = _piece(name, position)
        pieces[-1] += piece
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    first, *middle, last = pieces
    stars = "".join(f"(?>.*?{piece})" for piece in middle)
    return re.compile(f"{first}{stars}.*{last}", re.DOTALL)


def _piece(name: str, start: int) -> tuple[str, int]:
    """The expression of the one character of a pattern at `start`, and where it ends."""
    character = name[start]
    if character == "?":
        return ".", start + 1
    if character == "\\":
        if start + 1 == len(name):
            raise _PatternError("nothing after \\")
        return re.escape(name[start + 1]), start + 2
    if character != "[":
        return re.escape(character), start + 1
    found = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]").match(name, start)
    if not found:
        raise _PatternError("no ] for its [")
    parts = [
        f"{_in_class(low)}-{_in_class(high)}" if high else _in_class(low)
        for low, high in re.findall(r"(\\.|[^\\-])(?:-(\\.|[^\\-]))?", found[2])
    ]
    expression = f"[{found[1]}{''.join(parts)}]"
    try:
        re.compile(expression)
    except re.error:
        raise _PatternError(f"{found[0]} is no range of characters") from None
    return expression, found.end()


def _in_class(character: str) -> str:
    return re.escape(character[-1])


def _matches(pattern: _Names, names: list[str]) -> bool:
    """Whether the names of a pattern match those of a path, all of them."""
    at, position = 0, 0
    # After a name that does not match, the last ** takes one name more.
    again: tuple[int, int] | None = None
    while position < len(names):
        if at < len(pattern):
            wanted = pattern[at]
            if wanted is _ANY_DEPTH:
                again = at + 1, position
                at += 1
                continue
            if wanted.fullmatch(names[position]):
                at, position = at + 1, position + 1
                continue
        if again is None:
            return False
        again = again[0], again[1] + 1
        at, position = again
    return all(name is _ANY_DEPTH for name in pattern[at:])
