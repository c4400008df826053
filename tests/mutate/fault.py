"""A fault: one small edit of a source, and how it is named."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A part of a text, from offset `start` to before `end`, in characters."""

    start: int
    end: int


@dataclass(frozen=True)
class Fault:
    """One edit of a source.

    `name` is that of the innermost function around it, or empty. `lines` are the
    first and the last line, from 1, that run if the faulty code does.
    """

    file: str
    name: str
    kind: str
    line: int
    lines: tuple[int, int]
    span: Span
    # What stands in place of the span.
    text: str
    # The source lines that the edit touches, before and after it, each as one line.
    before: str
    after: str

    @property
    def place(self) -> tuple[str, int, str]:
        """What tells it from the others as long as the source is the same."""
        return (self.file, self.line, self.after)

    def applied(self, source: str) -> str:
        return source[: self.span.start] + self.text + source[self.span.end :]


class Source:
    """A file that faults are made in."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def offset(self, line: int, column: int) -> int:
        """The offset of a column, which counts bytes of UTF-8, in a line from 1."""
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode())

    def line(self, offset: int) -> int:
        """The number of the line that `offset` is in, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def fault(
        self, kind: str, span: Span, text: str, *, name: str, lines: tuple[int, int]
    ) -> Fault:
        """The fault that puts `text` in place of `span`."""
        start = self.text.rfind("\n", 0, span.start) + 1
        end = self.text.find("\n", span.end)
        end = len(self.text) if end < 0 else end
        faulty = self.text[start : span.start] + text + self.text[span.end : end]
        line = self.line(span.start)
        before, after = one_line(self.text[start:end]), one_line(faulty)
        return Fault(self.file, name, kind, line, lines, span, text, before, after)


def one_line(text: str) -> str:
    return " ".join(text.split())
