"""JSON documents that cannot be trusted: reading them, and saying where one is wrong.

Owns what every reader of a document here has in common: bounds, strict JSON,
and messages that name the document and the JSON path of the fault. What a
document must hold, its own module knows. Keys that a reader does not ask for
are none of its business.
"""

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from layerscan import digest as digests
from layerscan.errors import DocumentError
from layerscan.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_STRINGS = 1_000_000
MAX_INTEGER = 2**63 - 1  # the largest integer: what other programs' signed 64-bit fields hold
_LONGEST_INTEGER = len(str(-MAX_INTEGER))

# So many a document may have, whatever its length: some 30 MB.
_FREE_BRACKETS = 100_000
_FREE_COMMAS = 500_000
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Place(NamedTuple):
    """A value's place: the document, and the JSON path within it."""

    source: str
    path: str = "$"

    def key(self, key: str | int) -> "Place":
        """The place of what is under `key`, or at that index, here."""
        if isinstance(key, int):
            step = f"[{key}]"
        else:
            step = f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{quoted(key)}]"
        return Place(self.source, self.path + step)

    def fault(self, what: str) -> DocumentError:
        """The error that says `what` is wrong here."""
        return DocumentError(f"{printable(self.source)}: {self.path}: {what}")


def decode(text: str | bytes, source: str, *, as_go: bool = False) -> object:
    """The JSON value of `text`, of which nothing but the JSON grammar is sure.

    Bytes must be UTF-8; `source` is what to call it in messages. `as_go` is for documents
    that engines, registries and clients read with Go's decoder: null or an empty string
    leaves a field as it is where the key is absent (encoding/json, "Unmarshal"), so such
    members are left out.
    Raises DocumentError where it is no JSON, nested too deeply, has a key twice or a number
    that JSON has not, or would take far more memory than its length.
    """
    refuse_too_dense(text, source)
    try:
        text = text if isinstance(text, str) else text.decode()
        try:
            return (_AS_GO if as_go else _STRICT).decode(text)
        except _RefusedError:
            value = _MARKING.decode(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise _no_document(error, source) from None
    raise _fault_of_refused(value, source)


class Members(tuple[tuple[str, object], ...]):
    """The members of an object as they stand there; a key may come several times."""

    __slots__ = ()


def decode_members(raw: bytes, source: str) -> object:
    """The JSON value of `raw`, with `Members` for objects; else as `decode`.

    For documents of which another program's decoder makes more, or something else.
    Bytes that are no UTF-8 are replaced, as Go's decoder does it.
    """
    refuse_too_dense(raw, source)
    try:
        return _MEMBERS.decode(raw.decode(errors="replace"))
    except (json.JSONDecodeError, _RefusedError, RecursionError) as error:
        raise _no_document(error, source) from None


def _no_document(error: Exception, source: str) -> DocumentError:
    if isinstance(error, UnicodeDecodeError):
        what = f"is not UTF-8 at byte {error.start}"
    elif isinstance(error, json.JSONDecodeError):
        what = f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
    elif isinstance(error, RecursionError):
        what = "is nested too deeply"
    else:
        what = f"is not JSON: {error} is no JSON number"
    return DocumentError(f"{printable(source)}: {what}")


def refuse_too_dense(text: str | bytes, source: str) -> None:
    """Refuse a document whose values would take many times the memory of the text.

    An empty array takes 64 bytes of memory and three of the text, an object with one
    member 230 and six. Commas and brackets in strings count as well: the documents here
    are far from the bounds. The densest, layers metadata without blanks, have a bracket
    in 95 bytes and a value in 32.
    """
    if len(text) < _FREE_BRACKETS:
        return
    marks = [m.encode() for m in "[{,"] if isinstance(text, bytes) else list("[{,")
    arrays, objects, commas = (text.count(mark) for mark in marks)  # type: ignore[arg-type]
    most_brackets = _FREE_BRACKETS + len(text) // 64
    if arrays + objects > most_brackets or commas > _FREE_COMMAS + len(text) // 16:
        raise DocumentError(
            f"{printable(source)}: has so many values for its {len(text)} bytes "
            "that it cannot be a real one"
        )


def _bounded_int(literal: str) -> int:
    # Longer literals would cost time or exceed int()'s own limit. Twenty
    # characters hold every figure allowed; what is longer is out of range
    # whatever its digits are, and all that counts is on which side.
    if len(literal) <= _LONGEST_INTEGER:
        return int(literal)
    return -(MAX_INTEGER + 1) if literal.startswith("-") else MAX_INTEGER + 1


def _fault_of_refused(document: object, source: str) -> DocumentError:
    """The fault of the first refused value, in document order."""
    # The path is spelt out for that one value only: a document can hold
    # millions of values at a depth of hundreds.
    steps: list[str | int] = []
    levels: list[Iterator[tuple[str | int, object]]] = [iter([("$", document)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            del steps[-1:]
            continue
        step, value = entry
        if isinstance(value, _Refused):
            place = Place(source)
            for inner in [*steps, step][1:]:
                place = place.key(inner)
            return place.fault(value.what)
        if isinstance(value, dict | list):
            steps.append(step)
            levels.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))
    raise AssertionError("a refused value is part of the document")


class _Refused(NamedTuple):
    """Stands in the decoded document where JSON was read that is refused."""

    what: str


class _RefusedError(ValueError):
    """JSON was read that is refused."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _RefusedError
    return document


def _unique_and_present(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = _unique(pairs)
    if None in document.values() or "" in document.values():
        return {key: value for key, value in pairs if value is not None and value != ""}
    return document


def _no_number(constant: str) -> None:
    raise _RefusedError(constant)


def _unique_or_marked(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    counts = Counter(key for key, _ in pairs)
    twice = next(key for key, count in counts.items() if count > 1)
    return _Refused(f"key {quoted(twice)} is given twice")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_bounded_int
)
_AS_GO = json.JSONDecoder(
    object_pairs_hook=_unique_and_present, parse_constant=_no_number, parse_int=_bounded_int
)
_MEMBERS = json.JSONDecoder(
    object_pairs_hook=Members, parse_constant=_no_number, parse_int=_bounded_int
)
_MARKING = json.JSONDecoder(
    object_pairs_hook=_unique_or_marked,
    parse_constant=lambda constant: _Refused(f"{constant} is no JSON number"),
    parse_int=_bounded_int,
)
"""For the few documents that the other refuses: it goes on, so that the place can be told."""


def mapping(value: object, place: Place) -> dict[str, object]:
    """`value` as an object; what it is not is a DocumentError, as in all that follows."""
    if not isinstance(value, dict):
        raise place.fault("must be an object")
    return value


def array(value: object, place: Place, *, longest: int) -> list[object]:
    """`value` as an array of at most `longest` entries."""
    if not isinstance(value, list):
        raise place.fault("must be an array")
    if len(value) > longest:
        raise place.fault(f"has more than {longest} entries")
    return value


def strings(
    document: dict[str, object],
    key: str,
    place: Place,
    *,
    longest: int = MOST_STRINGS,
    what: str = "must be a string",
    fits: "Callable[[str], bool]" = lambda _: True,
) -> tuple[str, ...]:
    """The strings in the array under `key`, none where it is absent.

    Of one that does not fit, the fault says `what` it must be.
    """
    at = place.key(key)
    found = []
    for index, entry in enumerate(array(document.get(key, []), at, longest=longest)):
        if not isinstance(entry, str) or not fits(entry):
            raise at.key(index).fault(what)
        found.append(entry)
    return tuple(found)


def member(document: dict[str, object], key: str, place: Place) -> object:
    """What `document`, which is at `place`, has under `key`."""
    if key not in document:
        raise place.fault(f'key "{key}" is missing')
    return document[key]


def integer(
    document: dict[str, object],
    key: str,
    place: Place,
    default: int | None = None,
    *,
    signed: bool = False,
) -> int:
    """The figure under `key`: from 0, or from -`MAX_INTEGER` if `signed`, to `MAX_INTEGER`.

    `default`, if there is one, where the key is absent.
    """
    if default is not None and key not in document:
        return default
    value = member(document, key, place)
    # JSON's true is Python's 1, and 4096.0 is no integer to the clients.
    if not isinstance(value, int) or isinstance(value, bool):
        what = "must be an integer"
    elif value < 0 and not signed:
        what = "must not be negative"
    elif value < -MAX_INTEGER:
        what = f"must be at least {-MAX_INTEGER}"
    elif value > MAX_INTEGER:
        what = f"must be at most {MAX_INTEGER}"
    else:
        return value
    raise place.key(key).fault(what)


def text(document: dict[str, object], key: str, place: Place, default: str | None = None) -> str:
    """The text under `key`; `default`, if there is one, where the key is absent."""
    if default is not None and key not in document:
        return default
    value = member(document, key, place)
    if not isinstance(value, str):
        raise place.key(key).fault("must be a string")
    return value


def digest(document: dict[str, object], key: str, place: Place) -> str:
    """The digest under `key`, as ``sha256:<hex>``."""
    value = text(document, key, place)
    if not digests.is_digest(value):
        raise place.key(key).fault(digests.NO_DIGEST)
    return value


def read_file(path: str, limit: int) -> bytes:
    """Content of the file `path`, of at most `limit` bytes; else a DocumentError."""
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        # A path with a NUL character is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DocumentError(f"{printable(path)}: cannot be read: {reason}") from None
    if len(content) > limit:
        raise DocumentError(f"{printable(path)}: is longer than {limit} bytes")
    return content
