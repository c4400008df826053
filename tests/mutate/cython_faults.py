"""Faults of Cython sources, and of the C in them, made of tokens and lines.

Not touched are declarations without a value, comments and docstrings. Operators
have a blank on both sides in these sources, casts and pointers do not: cython-lint
sees to it, and so the two are told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.mutate.fault import Fault, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWAPPED = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "and": ("or",),
    "or": ("and",),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "*": ("//",),
    "//": ("*",),
    "%": ("//",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "^": ("&",),
    "+=": ("-=",),
    "-=": ("+=",),
    "<<=": (">>=",),
    ">>=": ("<<=",),
    "|=": ("&=",),
    "&=": ("|=",),
    "^=": ("&=",),
}
_KIND = {"and": "and/or", "or": "and/or", "&&": "and/or", "||": "and/or"}
_KIND |= dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), "comparison")
_TOKEN = re.compile(
    r"""(?P<text>[a-zA-Z]{0,2}(?:'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}
            |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<comment>\#[^\n]*)
    |(?P<number>\b(?:0[xX][0-9a-fA-F]+|\d+)(?P<suffix>[uUlL]*)\b)
    |(?P<word>\w+)
    |(?P<operator><<=|>>=|//=|[-+*/%&|^<>=!]=|<<|>>|//|&&|\|\||->|[-+*/%&|^<>=!])
    |(?P<bracket>[][(){}])
    |(?P<break>\\\n|\n)
    |(?P<other>[^\s])""",
    re.VERBOSE | re.DOTALL,
)
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|^[ \t]*\#[^\n]*", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"(?:cdef|cpdef|def)\b.*?(\w+)\(.*:$", re.DOTALL)
_GROUP = re.compile(r"(?:cdef|ctypedef)\b.*(struct|union|enum|extern|class)\b.*:$", re.DOTALL)
_DECLARED = re.compile(r"(?:cdef|cpdef|ctypedef)\b")
_ASSIGNED = re.compile(r"[\w.\[\]+\-* ()<>&]+?\s(?:[-+*/%&|^]|<<|>>|//)?=\s")
_CALLED = re.compile(r"[\w.]+\(")
_CONDITION = re.compile(r"(if|elif|while)\b\s*(.*):$", re.DOTALL)
_Edit = tuple[str, Span, str]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class _Line:
    """A logical line; `group` is the kind of declaration that it is in, or empty."""

    tokens: tuple[_Token, ...]
    text: str
    indent: int
    name: str
    group: str

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def span(self) -> Span:
        return Span(self.start, self.tokens[-1].end)


def cython_faults(source: Source) -> list[Fault]:
    """All faults that this module knows of a source."""
    found = []
    for line in _lines(source.text):
        for kind, span, text in _edits(source.text, line):
            lines = (source.line(span.start), source.line(span.end))
            found.append(source.fault(kind, span, text, name=line.name, lines=lines))
    return sorted(found, key=lambda fault: (fault.span.start, fault.span.end, fault.text))


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        yield _Token(str(match.lastgroup).replace("suffix", "number"), match[0], match.start())


def _lines(text: str) -> Iterator[_Line]:
    """The logical lines of a source, each with the function or declaration it is in."""
    name, groups = "", [(-1, "")]
    for tokens in _logical(text):
        start = tokens[0].start
        indent = start - text.rfind("\n", 0, start) - 1
        plain = text[start : tokens[-1].end]
        while groups[-1][0] >= indent:
            groups.pop()
        if indent == 0:
            name = ""
        function = _FUNCTION.match(plain)
        name = function[1] if function else name
        yield _Line(tuple(tokens), plain, indent, name, groups[-1][1])
        group = _GROUP.match(plain)
        if function:
            groups.append((indent, ""))
        elif group:
            groups.append((indent, group[1]))


def _logical(text: str) -> Iterator[list[_Token]]:
    tokens: list[_Token] = []
    depth = 0
    for token in _tokens(text):
        if token.kind == "break":
            if tokens and depth == 0 and token.text == "\n":
                yield tokens
                tokens = []
        elif token.kind != "comment":
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.text, 0)
            tokens.append(token)
    if tokens:
        yield tokens


def _edits(text: str, line: _Line) -> Iterator[_Edit]:
    """Edits of a logical line."""
    if line.group == "extern":
        if len(line.tokens) == 1 and line.tokens[0].kind == "text":
            yield from _c_edits(line.tokens[0])
        return
    if line.text.startswith(("cimport ", "from ", "import ", "@", "class ", "cdef class ")):
        return
    if len(line.tokens) == 1 and line.tokens[0].kind == "text":
        return
    if line.group in ("struct", "union") or _FUNCTION.match(line.text) or _GROUP.match(line.text):
        return
    tokens = list(line.tokens)
    if _DECLARED.match(line.text):
        # What is declared has a fault only in its value.
        values = [i for i, token in enumerate(tokens) if token.text == "="]
        tokens = tokens[values[0] + 1 :] if values else []
    else:
        yield from _dropped(line)
    yield from _changed(text, tokens)


def _dropped(line: _Line) -> Iterator[_Edit]:
    """A statement left out, or a condition turned round."""
    condition = _CONDITION.match(line.text)
    if condition:
        start, end = condition.span(2)
        span = Span(line.start + start, line.start + end)
        yield ("condition negated", span, f"not ({condition[2]})")
        if condition[1] != "while":
            yield ("condition", span, "True")
            yield ("condition", span, "False")
    elif line.group == "enum" or line.text.endswith(":"):
        return
    elif line.text in ("continue", "break"):
        yield ("statement dropped", line.span, "pass")
    elif line.text.startswith("raise"):
        yield ("raise dropped", line.span, "pass")
    elif _ASSIGNED.match(line.text) or _CALLED.match(line.text):
        yield ("statement dropped", line.span, "pass")


def _changed(text: str, tokens: list[_Token]) -> Iterator[_Edit]:
    """Edits of single tokens."""
    for i, token in enumerate(tokens):
        span = Span(token.start, token.end)
        last = tokens[i - 1].text if i else ""
        if token.text in _SWAPPED and _is_binary(text, token):
            for other in _SWAPPED[token.text]:
                yield (_KIND.get(token.text, "arithmetic"), span, other)
        elif token.kind == "number" and [each.text for each in tokens[i - 2 : i]] == [
            "return",
            "-",
        ]:
            # A failure that is not told.
            yield ("return", Span(token.start - 1, token.end), "0")
        elif token.kind == "number":
            yield from _numbers(token)
        elif token.text in ("True", "False"):
            yield ("constant", span, "False" if token.text == "True" else "True")
        elif token.text == "not" and last != "is" and tokens[i + 1].text != "in":
            yield ("not dropped", Span(token.start, tokens[i + 1].start), "")


def _is_binary(text: str, token: _Token) -> bool:
    return text[token.start - 1].isspace() and text[token.end].isspace()


def _numbers(token: _Token) -> Iterator[_Edit]:
    plain = token.text.rstrip("uUlL")
    suffix = token.text[len(plain) :]
    for change in (1, -1):
        value = int(plain, 0) + change
        if value < 0:
            continue
        written = hex(value) if plain.startswith(("0x", "0X")) else str(value)
        yield ("constant", Span(token.start, token.end), written + suffix)


def _c_edits(block: _Token) -> Iterator[_Edit]:
    """Edits of C that stands in a declaration of what is extern."""
    plain = _C_COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), block.text[3:-3])
    tokens = [token for token in _tokens(plain) if token.kind in ("operator", "number", "word")]
    offset = block.start + 3
    for kind, span, text in _changed(plain, tokens):
        there = Span(span.start + offset, span.end + offset)
        yield (kind, there, "/" if text == "//" else text)
