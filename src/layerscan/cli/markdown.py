"""Markdown for a CI job's summary or a pull request, of text that a store or registry says."""

from collections.abc import Iterable, Iterator, Sequence

from layerscan.text import printable

_LONGEST_CELL = 100
_MARKUP = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|~!@"})


def markdown_text(text: str) -> str:
    """Text that shows as it is, whatever reads the Markdown."""
    return printable(text, longest=_LONGEST_CELL).translate(_MARKUP)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(markdown_text, row))} |"
