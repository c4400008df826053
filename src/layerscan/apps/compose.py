"""The Compose file: which services an App has, and what image each names.

It reads the YAML as a graph of nodes and looks up in it what it needs. Python
values are never built from it, so an alias costs nothing however often it is
used, and every value still knows its line.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerscan.errors import ComposeError
from layerscan.extras import needed
from layerscan.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml import MappingNode, Node, ScalarNode

    _Entry = tuple[ScalarNode, Node]

MOST_MERGES = 100_000
"""Mappings that are looked into, by ``<<``, for all services of a file."""

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_NO_STRINGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp"))
_SERVICE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as the file has it.

    Attributes:
        name: its name.
        image: the text of its ``image``, not interpolated.
        line: the line of `image` in the file, from 1.
    """

    name: str
    image: str
    line: int


def read_services(text: str, source: str) -> list[Service]:
    """The services of the Compose file `text`, sorted by name.

    YAML merge keys (``<<``) are followed; ``extends`` and ``include``, which
    take in other files, are not: an App is one file.

    Args:
        text: the file's content.
        source: what to call the file in messages.

    Raises:
        ComposeError: it is no YAML or no Compose file, or a service has no
            image. The message names the line and the service.
    """
    return _ComposeFile(text, source).services()


class _ComposeFile:
    """One Compose file while it is read."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.merges_left = MOST_MERGES
        self.own: dict[int, dict[str, _Entry]] = {}
        root = self._compose(text)
        if root is None or root.tag == _NULL:
            raise ComposeError(f"{source}: is empty")
        self.root = root

    def services(self) -> list[Service]:
        self._refuse_duplicate_keys()
        include = self._find(self.root, "include")
        if include and not _is_absent(include[1]):
            raise self._fault(include[0], "include is not supported: an App is one file")
        entry = self._find(self.root, "services")
        if not entry or _is_absent(entry[1]):
            raise ComposeError(f"{self.source}: has no services")
        entries: dict[str, _Entry] = {}
        for mapping in self._merged(entry[1]):
            for name, service in self._own(mapping).items():
                if name != _MERGE:
                    entries.setdefault(name, service)
        services = [
            self._service(name, *service)
            for name, service in sorted(entries.items())
            if not _is_reset(service[1])
        ]
        if not services:
            raise ComposeError(f"{self.source}: has no services")
        return services

    def _service(self, name: str, key: "Node", service: "Node") -> Service:
        if not name or not _SERVICE_CHARACTERS.issuperset(name):
            raise self._fault(key, f"{name[:80]!r} is no service name (letters, digits, . _ -)")
        name_in_messages = f"service {name[:80]}"
        if service.tag == _NULL:
            raise self._fault(key, f"{name_in_messages} has no image")
        entry = self._find(service, "image", name_in_messages)
        if not entry or _is_absent(entry[1]):
            why = ""
            if self._find(service, "extends", name_in_messages):
                why = ": extends is not followed, name the image here"
            elif self._find(service, "build", name_in_messages):
                why = ": name the image that its build gives"
            raise self._fault(key, f"{name_in_messages} has no image{why}")
        image = entry[1]
        if not _is_string(image):
            raise self._fault(image, f"{name_in_messages}: image must be a string")
        return Service(name, image.value, image.start_mark.line + 1)

    def _find(self, node: "Node", key: str, what: str = "the file") -> "_Entry | None":
        """The entry `key` of the mapping `node`, its own or a merged one."""
        for mapping in self._merged(node, what):
            if entry := self._own(mapping).get(key):
                return entry
        return None

    def _merged(self, node: "Node", what: str = "services") -> "Iterator[MappingNode]":
        """The mapping `node` and those merged into it, in order of precedence.

        Each comes once: what it has to give the first time hides what it would
        give later. That also ends circles.
        """
        from yaml import MappingNode, SequenceNode

        pending, seen = [node], set[int]()
        while pending:
            mapping = pending.pop()
            if not isinstance(mapping, MappingNode):
                raise self._fault(mapping, f"{what}: must be a mapping")
            if id(mapping) in seen:
                continue
            seen.add(id(mapping))
            self.merges_left -= 1
            if self.merges_left < 0:
                raise self._fault(mapping, f"more than {MOST_MERGES} merges (<<) to follow")
            yield mapping
            # A duplicate key is refused, so there is one merge key at most.
            merge = self._own(mapping).get(_MERGE)
            if merge:
                more = merge[1].value if isinstance(merge[1], SequenceNode) else [merge[1]]
                self.merges_left -= len(more)
                pending.extend(reversed(more))

    def _own(self, mapping: "MappingNode") -> "dict[str, _Entry]":
        """The entries of `mapping` itself; its merge key, if any, as `_MERGE`."""
        if id(mapping) not in self.own:
            self.own[id(mapping)] = {
                _MERGE if key.tag == _MERGE else key.value: (key, value)
                for key, value in mapping.value
                if _is_scalar(key)
            }
        return self.own[id(mapping)]

    def _refuse_duplicate_keys(self) -> None:
        pending, seen = [self.root], set[int]()
        while pending:
            node = pending.pop()
            if id(node) in seen or _is_scalar(node):
                continue
            seen.add(id(node))
            if isinstance(node.value, list) and node.value and isinstance(node.value[0], tuple):
                self._refuse_duplicates_in([key for key, _ in node.value])
                pending.extend(part for entry in node.value for part in entry)
            else:
                pending.extend(node.value)

    def _refuse_duplicates_in(self, keys: "list[Node]") -> None:
        lines: dict[str, int] = {}
        for key in keys:
            if not _is_scalar(key):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                before = lines[key.value]
                raise self._fault(key, f"key {key.value[:80]!r} is there already, at line {before}")
            lines[key.value] = line

    def _compose(self, text: str) -> "Node | None":
        with needed("yaml"):
            import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            node: Node | None = yaml.compose(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            what = error.problem or error.context or "cannot be read"
            raise ComposeError(f"{self.source}{line}: is no YAML: {printable(what)}") from None
        except yaml.YAMLError as error:
            what = str(getattr(error, "reason", "cannot be read"))
            raise ComposeError(f"{self.source}: is no YAML: {printable(what)}") from None
        except RecursionError:
            raise ComposeError(f"{self.source}: is nested too deeply") from None
        return node

    def _fault(self, node: "Node", what: str) -> ComposeError:
        return ComposeError(f"{self.source}:{node.start_mark.line + 1}: {what}")


def _is_scalar(node: "Node") -> bool:
    return isinstance(node.value, str)


def _is_reset(node: "Node") -> bool:
    """Whether Compose takes the entry away again (its tag ``!reset``)."""
    return bool(node.tag == "!reset")


def _is_absent(node: "Node") -> bool:
    return node.tag == _NULL or _is_reset(node)


def _is_string(node: "Node") -> bool:
    """Whether Compose reads a string here.

    PyYAML resolves by YAML 1.1, where ``yes`` is a boolean and ``1:30`` a number
    of base 60; to Compose both are strings.
    """
    if not _is_scalar(node):
        return False
    if node.tag not in _NO_STRINGS:
        return True
    return ":" in node.value or node.value.lower() in {"yes", "no", "on", "off", "y", "n"}
