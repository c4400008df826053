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

MOST_PATTERNS = 10_000  # patterns of one file
MOST_WAYS = 256  # ways to read a pattern: each name with ** in it doubles them
_ANY_DEPTH = "**"  # stands among expressions of names; no expression has two stars
_CLASS = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]")
_RANGE = re.compile(r"(\\.|[^\\-])(?:-(\\.|[^\\-]))?")


class _IgnoreRule(NamedTuple):
    """A line of the file: a path is followed by a slash where its pattern is matched."""

    keeps: bool
    pattern: re.Pattern[str]


class IgnoreRules:
    """The rules of the file whose content is `text`; a `ComposeError` names `source` and line."""

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
                except ComposeError as error:
                    raise ComposeError(f"{source}:{number}: {printable(line)}: {error}") from None

    @property
    def has_exceptions(self) -> bool:
        """Whether something in a folder that stays behind may be kept."""
        return any(rule.keeps for rule in self._rules)

    def ignores(self, path: str) -> bool:
        """Whether `path`, relative to the App's folder, stays behind."""
        ignored = False
        for rule in self._rules:
            if rule.keeps == ignored and rule.pattern.match(path + "/"):
                ignored = not ignored
        return ignored


def _rule(pattern: str) -> _IgnoreRule:
    keeps = pattern.startswith("!")
    if keeps:
        pattern = pattern[1:].strip()
        if not pattern:
            raise ComposeError("no pattern after !")
    # Of "/a", "./a", "a/" and "b/../a" each means "a".
    cleaned = posixpath.normpath(pattern).lstrip("/")
    names = cleaned.split("/")
    if len(names[-1]) > 1 and not names[-1].strip("*"):
        # "a/**" is all that is in "a", which has one name more.
        names[-1] = "*"
    ways: list[list[str]] = [[]]
    for name in names:
        readings = _readings(name)
        ways = [[*way, *reading] for way in ways for reading in readings]
        if len(ways) > MOST_WAYS:
            raise ComposeError("** within too many names")
    # What is below a folder that matches goes with it: anything may follow.
    return _IgnoreRule(keeps, re.compile("|".join(map(_path_expression, ways))))


def _readings(name: str) -> list[list[str]]:
    """How a name of a pattern can be read: as expressions of names, and `_ANY_DEPTH`."""
    if name.strip("*") == "" and len(name) > 1:
        return [[_ANY_DEPTH]]
    found = re.search(r"(?<!\\)\*{2,}", name)
    if not found:
        return [[_name_expression(name)]]
    before, after = name[: found.start()], name[found.end() :]
    if "**" in after:
        raise ComposeError("more than one ** in one name")
    apart = [_name_expression(before + "*")] if before else []
    apart += [_ANY_DEPTH, *([_name_expression(after)] if after else [])]
    # Within a name it stands for nothing, or for a text that ends a folder's name.
    return [[_name_expression(before + after)], apart] if before and after else [apart]


def _path_expression(way: list[str]) -> str:
    # The names after any depth are taken where they come first, since anything may follow
    # them: what is after that need not be tried with another place, so it is atomic.
    first, *others = "".join(way).split(_ANY_DEPTH)
    return first + "".join(f"(?>(?:[^/]+/)*?{names})" for names in others)


def _name_expression(name: str) -> str:
    """The regular expression of one name, which has no ``**``, and of the slash after it."""
    # A star takes no more than the text after it needs: what another star comes
    # after need not be tried again, so it is atomic.
    pieces: list[str] = [""]
    position = 0
    while position < len(name):
        if name[position] == "*":
            pieces.append("")
            position += 1
        else:
            piece, position = _piece(name, position)
            pieces[-1] += piece
    if len(pieces) == 1:
        return f"{pieces[0]}/"
    first, *middle, last = pieces
    stars = "".join(f"(?>[^/]*?{piece})" for piece in middle)
    return f"{first}{stars}[^/]*{last}/"


def _piece(name: str, start: int) -> tuple[str, int]:
    """The expression of the one character of a pattern at `start`, and where it ends."""
    character = name[start]
    if character == "?":
        return "[^/]", start + 1
    if character == "\\":
        if start + 1 == len(name):
            raise ComposeError("nothing after \\")
        return re.escape(name[start + 1]), start + 2
    if character != "[":
        return re.escape(character), start + 1
    found = _CLASS.match(name, start)
    if not found:
        raise ComposeError("no ] for its [")
    # Of an escape, the last character is what is meant.
    ranges = [[re.escape(end[-1]) for end in ends if end] for ends in _RANGE.findall(found[2])]
    expression = f"(?!/)[{found[1]}{''.join(map('-'.join, ranges))}]"
    try:
        re.compile(expression)
    except re.error:
        raise ComposeError(f"{found[0]} is no range of characters") from None
    return expression, found.end()
