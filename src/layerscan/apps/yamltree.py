"""YAML as a tree that can be written again with its meaning untouched.

A scalar keeps the text and the quoting that its author gave it, for what a
plain ``22:22``, ``0o14`` or ``yes`` means depends on the reader's version of
YAML. Nothing here resolves it to a value. Comments, anchors and layout are not
kept: aliases and merge keys (``<<``) are followed, and mappings are sorted by
key, so that files that mean the same are written the same.

It is written by code of this module alone, since a library's layout varies
from version to version, and a digest with it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import quote

from layerscan.errors import ComposeError
from layerscan.extras import needed
from layerscan.text import printable

if TYPE_CHECKING:
    from yaml.events import CollectionStartEvent, Event, ScalarEvent

MOST_NODES = 200_000  # nodes of a tree, with every alias followed
LONGEST_TEXT = 8 * 1024 * 1024  # characters of its scalars together, with every alias followed
DEEPEST = 100  # levels of mappings and sequences within each other
CORE_TAG = "tag:yaml.org,2002:"  # what the tags of YAML's own types begin with
_NULLS = ("", "~", "null", "Null", "NULL")
# An implicit key may have 1024 characters (YAML 1.2, "Implicit Keys").
_LONGEST_KEY = 1000
# What begins a plain scalar unless a blank follows, and what never does.
_HALF_INDICATORS = "-?:"
_INDICATORS = ",[]{}#&*!|>'\"%@`"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
# What begins with a letter and is no text to readers of one version or the other.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_LOCAL_TAG = re.compile(r"![A-Za-z0-9._-]+", re.ASCII)
_OF_CORE = re.compile(re.escape(CORE_TAG) + r"[A-Za-z0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar: its text, escapes and line folding undone.

    Attributes:
        plain: whether it was written without quotes, so that readers guess its type.
        tag: full form of what the author wrote, None for no tag or ``!``.
        line: where it is in the file, from 1.
    """

    text: str
    plain: bool = False
    tag: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence; see `Scalar` for `tag` and `line`."""

    items: "tuple[Node, ...]"
    tag: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping: its keys and their values by the text of the keys, sorted."""

    entries: "dict[str, tuple[Scalar, Node]]"
    tag: str | None = None
    line: int = 0

    def get(self, key: str) -> "Node | None":
        """The value of `key`."""
        return self.entries[key][1] if key in self.entries else None

    def without(self, key: str) -> "Mapping":
        """The mapping without the entry `key`."""
        return replace(self, entries={k: entry for k, entry in self.entries.items() if k != key})

    def having(self, key: str, value: "Node") -> "Mapping":
        """The mapping with `value` under `key`, sorted."""
        name, _ = self.entries.get(key, (Scalar(key, plain=True), None))
        return replace(self, entries=_sorted({**self.entries, key: (name, value)}))


Node: TypeAlias = Scalar | Sequence | Mapping


def read_tree(text: str, source: str) -> tuple[Node, bool]:
    """Read the one document of a YAML text, with aliases and merges resolved.

    Returns:
        The tree, and whether the text says that it is YAML 1.1 (``%YAML``).

    Raises:
        ComposeError: it is no YAML, is nested too deeply or in a circle, grows beyond
            all bounds, merges what is no mapping, or has a key that is no scalar or
            is there twice.
    """
    with needed("yaml"):
        import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        what = printable(error.problem or error.context or "cannot be read")
        raise ComposeError(f"{source}{line}: is no YAML: {what}") from None
    except yaml.YAMLError as error:
        what = printable(str(getattr(error, "reason", "cannot be read")))
        raise ComposeError(f"{source}: is no YAML: {what}") from None
    if builder.root is None:
        raise ComposeError(f"{source}: is empty")
    return builder.root, builder.is_yaml_1_1


def write_tree(node: Node) -> str:
    """The YAML text of a tree that `read_tree` gave, ended by a newline."""
    return "\n".join(_block(node, "", "")) + "\n"


class _Part(NamedTuple):
    """A node that is complete, and with every alias followed its nodes, characters and levels."""

    node: Node
    nodes: int
    text: int
    levels: int


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come, and what had been counted before it."""

    start: "CollectionStartEvent"
    nodes: int
    text: int
    items: list[Node] = field(default_factory=list)
    levels: int = 1


class _Builder:
    """Makes a tree of a parser's events, within bounds; follows aliases and merges."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self.is_yaml_1_1 = False
        self.nodes = 0
        self.text = 0
        self._anchors: dict[str, _Part] = {}
        self._open: list[_Open] = []

    def take(self, event: "Event") -> None:
        from yaml import events

        line = _line(event)
        if isinstance(event, events.DocumentStartEvent):
            if self.root is not None:
                raise fault_at(self.source, line, "has a second document")
            self.is_yaml_1_1 = event.version == (1, 1)
        elif isinstance(event, events.AliasEvent):
            part = self._anchors.get(str(event.anchor))
            if part is None:
                what = f"*{printable(str(event.anchor))} refers to no earlier value"
                raise fault_at(self.source, line, what)
            self._add(part, line)
        elif isinstance(event, events.ScalarEvent):
            # A tag "!" says that it is a string, as quotes do.
            plain = not event.style and event.tag != "!"
            scalar = Scalar(event.value, plain, _tag(event), line)
            self._add(_Part(scalar, 1, len(scalar.text), 0), line, event.anchor)
        elif isinstance(event, events.CollectionStartEvent):
            self._open.append(_Open(event, self.nodes, self.text))
            self._count(1, 0, 0, line)
        elif isinstance(event, events.CollectionEndEvent):
            ended = self._open.pop()
            nodes, text = self.nodes - ended.nodes, self.text - ended.text
            part = _Part(self._collection(ended), nodes, text, ended.levels)
            self._put(part, ended.start.anchor)

    def _add(self, part: _Part, line: int, anchor: str | None = None) -> None:
        self._count(part.nodes, part.text, part.levels, line)
        self._put(part, anchor)

    def _put(self, part: _Part, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = part
        if self._open:
            self._open[-1].items.append(part.node)
            self._open[-1].levels = max(self._open[-1].levels, part.levels + 1)
        else:
            self.root = part.node

    def _count(self, nodes: int, text: int, levels: int, line: int) -> None:
        self.nodes += nodes
        self.text += text
        if self.nodes > MOST_NODES or self.text > LONGEST_TEXT:
            raise fault_at(self.source, line, "its aliases make too much of it")
        if len(self._open) + levels > DEEPEST:
            raise fault_at(self.source, line, "is nested too deeply")

    def _collection(self, ended: _Open) -> Node:
        from yaml import events

        line, tag = _line(ended.start), _tag(ended.start)
        if isinstance(ended.start, events.SequenceStartEvent):
            return Sequence(tuple(ended.items), tag, line)
        entries: dict[str, tuple[Scalar, Node]] = {}
        merges: list[Node] = []
        for key, value in zip(ended.items[::2], ended.items[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise fault_at(self.source, key.line or line, "a key must be text")
            before, _ = entries.setdefault(key.text, (key, value))
            if before is not key:
                what = f"key {key.text[:80]!r} is there already, at line {before.line}"
                raise fault_at(self.source, key.line, what)
        for key, value in list(entries.values()):
            if is_merge(key):
                del entries[key.text]
                merges += value.items if isinstance(value, Sequence) else [value]
        for merge in merges:
            if not isinstance(merge, Mapping):
                raise fault_at(self.source, line, "<< takes mappings only")
            # Of entries of one name, the first holds.
            entries = merge.entries | entries
        return Mapping(_sorted(entries), tag, line)


def _line(event: "Event") -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _tag(event: "ScalarEvent | CollectionStartEvent") -> str | None:
    return None if event.tag == "!" else event.tag


def is_null(node: Node) -> bool:
    """Whether it is nothing, to readers of any version."""
    if not isinstance(node, Scalar) or node.tag is not None:
        return node.tag == CORE_TAG + "null"
    return node.plain and node.text in _NULLS


def is_merge(key: Scalar) -> bool:
    """Whether `key` merges its value into the mapping that it is in."""
    if key.tag is not None:
        return key.tag == CORE_TAG + "merge"
    return key.plain and key.text == "<<"


def _sorted(entries: dict[str, tuple[Scalar, Node]]) -> dict[str, tuple[Scalar, Node]]:
    return {key: entries[key] for key in sorted(entries)}


def fault_at(source: str, line: int, what: str) -> ComposeError:
    """The error of something wrong in a line of the file that is called `source`."""
    return ComposeError(f"{source}:{line}: {what}")


def _block(node: Node, lead: str, indent: str) -> Iterator[str]:
    """The lines of `node`: the first begins with `lead` (``key:``, ``-``), others with `indent`."""
    if isinstance(node, Scalar) or not _children(node):
        yield _joined(lead, _tagged(node.tag), _inline(node))
        return
    is_item = lead.endswith("-") and node.tag is None
    if not is_item and (lead or node.tag is not None):
        yield _joined(lead, _tagged(node.tag))
    for index, (inner, child) in enumerate(_children(node)):
        # The first entry of an item stands on the line of its dash.
        start = f"{lead} " if is_item and index == 0 else indent
        yield from _entry(start, indent, inner, child)


def _entry(start: str, indent: str, key: Scalar | None, child: Node) -> Iterator[str]:
    """The lines of an entry of a mapping, or with no `key` of a sequence."""
    if key is None:
        yield from _block(child, f"{start}-", f"{indent}  ")
        return
    name = _joined(_tagged(key.tag), _inline(key))
    if len(name) <= _LONGEST_KEY and name:
        yield from _block(child, f"{start}{name}:", f"{indent}  ")
    else:
        yield _joined(f"{start}?", name)
        yield from _block(child, f"{indent}:", f"{indent}  ")


def _children(node: Sequence | Mapping) -> list[tuple[Scalar | None, Node]]:
    if isinstance(node, Mapping):
        return list(node.entries.values())
    return [(None, item) for item in node.items]


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _inline(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "{}" if isinstance(node, Mapping) else "[]"
    if (node.plain or _is_surely_text(node.text)) and _can_be_plain(node.text):
        return node.text
    return f'"{"".join(map(_escaped, node.text))}"'


def _can_be_plain(text: str) -> bool:
    """Whether `text` without quotes is read as itself, in a block on one line.

    Numbers, dates and the like can be; what cannot be is text to every reader,
    so that quotes do not change what it means.
    """
    if not text:
        return True
    first, second = text[0], text[1:2]
    if first in _INDICATORS or (first in _HALF_INDICATORS and second in ("", " ")):
        return False
    return (
        text.isprintable()
        and text == text.strip(" ")
        and not text.startswith(("---", "..."))
        and ": " not in text
        and " #" not in text
        and not text.endswith(":")
    )


def _is_surely_text(text: str) -> bool:
    """Whether `text` is text to every reader even without quotes."""
    return text[:1].isascii() and text[:1].isalpha() and text.lower() not in _WORDS


def _escaped(character: str) -> str:
    if character in _ESCAPES or character.isprintable():
        return _ESCAPES.get(character, character)
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def _tagged(tag: str | None) -> str:
    if tag is None:
        return ""
    if _LOCAL_TAG.fullmatch(tag):
        return tag
    if _OF_CORE.fullmatch(tag):
        return "!!" + tag.removeprefix(CORE_TAG)
    return f"!<{quote(tag, safe='!#$&()*+,-./:;=?@[]_~' + chr(39))}>"
