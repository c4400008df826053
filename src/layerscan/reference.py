"""Image references: their grammar, their full form and the form people type.

The grammar is that of distribution/reference as Docker uses it (``reference.go``,
``normalize.go``, ``regexp.go`` there), with two limits more: of digests only those of
``digest`` are taken, and a registry's name is no longer than a repository's may be.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import total_ordering
from typing import NoReturn

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.text import shown

DEFAULT_REGISTRY = "docker.io"  # the registry of names that give none
DEFAULT_TAG = "latest"  # the tag of names that give neither tag nor digest
_PARTS = ("registry", "path", "tag", "digest")
_LEGACY_REGISTRY = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_NAME = 255
_ALIKE = 0.8  # of `difflib`: a letter or two
_MOST_MEANT = 3  # names in a message

_HOST_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])"
_REGISTRY = re.compile(rf"{_HOST}(?::[0-9]+)?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


@total_ordering
class Reference:
    """The name of an image, in its normal form; equal names compare equal.

    Sorts by registry, path, tag, digest; a missing part comes first. Every part is checked,
    so no text with control characters, spaces or separators in the wrong place gets into
    one: that is a ReferenceSyntaxError.
    """

    __slots__ = ("digest", "path", "registry", "tag")

    registry: str  # host and maybe port: ``docker.io``, ``[::1]:5000``
    path: str  # the repository within the registry: ``library/nginx``
    tag: str | None
    digest: str | None  # of a manifest or index

    def __init__(self, registry: str, path: str, tag: str | None, digest: str | None) -> None:
        _check_name("registry", registry, _REGISTRY)
        if path != path.lower():
            raise ReferenceSyntaxError(f"repository {shown(path)} must be lower case")
        _check_name("repository", path, _PATH)
        if tag is not None and not _TAG.fullmatch(tag):
            raise ReferenceSyntaxError(f"{shown(tag)} is no tag")
        if digest is not None and not digests.is_digest(digest):
            raise ReferenceSyntaxError(f"{shown(digest)} {digests.NO_DIGEST}")
        for name, part in zip(_PARTS, (registry, path, tag, digest), strict=True):
            object.__setattr__(self, name, part)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a reference does not change: cannot set {name}")

    def __reduce__(self) -> tuple[type["Reference"], tuple[str | None, ...]]:
        return Reference, (self.registry, self.path, self.tag, self.digest)

    @property
    def repository(self) -> str:
        """Registry and path: ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.path}"

    @property
    def familiar(self) -> str:
        """The shortest text that `parse` reads as this: ``nginx:1.25``.

        ``docker.io/`` and ``library/`` are dropped unless the rest would then
        mean something else (``docker.io/localhost/x`` stays whole).
        """
        if self.registry != DEFAULT_REGISTRY:
            return str(self)
        name = self.path
        rest = name.removeprefix(_OFFICIAL)
        if "/" not in rest:
            name = rest
        first, slash, _ = name.partition("/")
        bare = self.tag is None and self.digest is None
        if (slash and _is_registry(first)) or (bare and digests.is_hex(name)):
            name = f"{self.registry}/{name}"
        return name + self._suffix

    def with_tag(self, tag: str) -> "Reference":
        """The same name under another tag; a digest is kept."""
        return Reference(self.registry, self.path, tag, self.digest)

    @property
    def _suffix(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"

    @property
    def _sort_key(self) -> tuple[str, str, str, str]:
        # None does not compare with text, and no tag or digest is empty.
        return self.registry, self.path, self.tag or "", self.digest or ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        return self._sort_key == other._sort_key

    def __hash__(self) -> int:
        return hash(self._sort_key)

    def __repr__(self) -> str:
        return f"Reference({str(self)!r})"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        return self._sort_key < other._sort_key

    def __str__(self) -> str:
        return self.repository + self._suffix


def parse(text: str, *, default_tag: bool = True) -> Reference:
    """Read an image reference as Docker does; it is given in its normal form.

    `text` is what was typed: ``nginx``, ``nginx:1.25``, ``org/x@sha256:…``, ``[::1]:5000/x``.
    With `default_tag`, a name with neither tag nor digest gets the tag ``latest``. Raises
    ReferenceSyntaxError, which says why.
    """
    try:
        return _parse(text, default_tag=default_tag)
    except ReferenceSyntaxError as error:
        raise ReferenceSyntaxError(f"no image reference: {shown(text)}: {error}") from None


def _parse(text: str, *, default_tag: bool) -> Reference:
    if not text:
        raise ReferenceSyntaxError("it is empty")
    if digests.is_hex(text):
        raise ReferenceSyntaxError("64 hex digits are an image id")
    name, at, digest = text.partition("@")
    # The registry is split off first: in "localhost:5000/x" the colon begins a
    # port, in "localhost:5000" a tag.
    registry, slash, rest = name.partition("/")
    if not (slash and _is_registry(registry)):
        registry, rest = DEFAULT_REGISTRY, name
    elif registry == _LEGACY_REGISTRY:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in rest:
        rest = _OFFICIAL + rest
    path, colon, tag = rest.partition(":")
    if path == _OFFICIAL:
        raise ReferenceSyntaxError("it has no repository name")
    if not (colon or at) and default_tag:
        colon, tag = ":", DEFAULT_TAG
    return Reference(registry, path, tag if colon else None, digest if at else None)


def _is_registry(component: str) -> bool:
    """Whether the first component of a name names a registry, not a namespace."""
    return (
        "." in component
        or ":" in component
        or component == "localhost"
        or component != component.lower()
    )


def _check_name(what: str, text: str, grammar: re.Pattern[str]) -> None:
    if len(text) > _LONGEST_NAME:
        raise ReferenceSyntaxError(f"its {what} is longer than {_LONGEST_NAME} characters")
    if not grammar.fullmatch(text):
        raise ReferenceSyntaxError(f"{shown(text)} is no {what} name")


def is_like(name: str, pattern: str) -> bool:
    """Whether an image's name, as people type it or in full, is like a pattern as in a shell."""
    if fnmatchcase(name, pattern):
        return True
    try:
        parsed = parse(name, default_tag=False)
    except ReferenceSyntaxError:  # some stores take any text
        return False
    return fnmatchcase(parsed.familiar, pattern) or fnmatchcase(str(parsed), pattern)


def hint_at_names(text: str, names: Iterable[str]) -> str:
    """Which of the images' `names` the user may have meant by a `text` that is not among them.

    Those of other registries, or of another tag there, or else one that is spelt much like
    it. It is what a message ends with, empty if no name comes near.
    """
    there = sorted(set(names))
    last = _last(text)
    found = [name for name in there if _last(name) in (last, f"{last}:{DEFAULT_TAG}")]
    bare = last.partition(":")[0]
    found = found or [name for name in there if _last(name).partition(":")[0] == bare]
    if not found:
        from difflib import get_close_matches

        found = get_close_matches(text, there, n=1, cutoff=_ALIKE)
    return f"; did you mean {' or '.join(found[:_MOST_MEANT])}?" if found else ""


def _last(name: str) -> str:
    """The last part of a name's path, with its tag."""
    return name.rpartition("/")[2]
