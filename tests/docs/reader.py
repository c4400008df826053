"""Reads the documents: their fenced blocks, tables, sections and links."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "layerscan"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KINDS = ("guides", "reference", "explanation", "measurements")
"""What a page of docs/ can be: it lies in the folder of that name."""

DEVICES = ROOT / "docs" / "guides" / "devices"
"""Device files, for the guide of `check`."""

COMMANDS = "docs/reference/commands"
"""A page for each command, and README.md about all of them."""

PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", *PAGES]

_FENCE = re.compile(r"^```(\S*) *(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `title` is the second word of its fence."""

    language: str
    title: str
    text: str


@dataclass(frozen=True)
class Table:
    head: list[str]
    rows: list[list[str]]


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    return [Block(*match.groups()) for match in _FENCE.finditer(read(document))]


def documented(title: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON of the block that is titled so, on whichever page it is."""
    (text,) = [block.text for page in PAGES for block in blocks(page) if block.title == title]
    return json.loads(text)


def fields(value: object, path: str) -> Iterator[str]:
    """The paths of the fields of a JSON value, as the tables of fields name them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from fields(value[0], f"{path}[]")
    else:
        yield path + ("[]" if isinstance(value, list) else "")


def tables(text: str, first: str) -> list[Table]:
    """The tables in `text` whose first column is headed `first`."""
    found = []
    for match in re.finditer(r"^\|.*\|\n\|[-|]+\|\n(?:\|.*\|\n)*", text, re.MULTILINE):
        lines = match[0].splitlines()
        head, _, *rows = [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in lines
        ]
        assert all(len(row) == len(head) for row in rows), lines
        if head[0] == first:
            found.append(Table(head, rows))
    return found


def code(cell: str) -> str:
    """The one code span that a cell is."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell.strip("`")


def command_page(name: str) -> str:
    """The document about a command."""
    return f"{COMMANDS}/{name}.md"


def section(document: str, heading: str) -> str:
    """The text below `## heading`, up to the next heading of that level."""
    flags = re.MULTILINE | re.DOTALL
    (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", read(document), flags)
    return str(text)


def commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Each command of a block, with what it must print; None: anything."""
    if block.language == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            yield line, None
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield line, printed


def links(document: str) -> list[str]:
    """Where the links lead that are in the text."""
    return _LINK.findall(_FENCE.sub("", read(document)))


def anchors(document: str) -> set[str]:
    text = _FENCE.sub("", read(document))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
