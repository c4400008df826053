"""Long JSON documents, a value at a time: memory for one value is all that they take.

Owns the reading in pieces; each value is read by `jsondoc` as any document.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator

from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.text import quoted

LONGEST = 4 * 1024 * 1024
"""Characters of the longest value that is read: an entry with large attributes."""

_MOST_MEMBERS = 100
_CHUNK = 64 * 1024
_SPACE = re.compile(r"[ \t\n\r]*")
_UNSURE = 3  # a number's end shows in what follows: ``1e+5`` is ``1`` until its last character


def chunks(document: bytes) -> Iterator[bytes]:
    """`document` in pieces."""
    return (document[at : at + _CHUNK] for at in range(0, len(document), _CHUNK))


class Values:
    """JSON values that follow each other, at most `most`, and what is between them."""

    def __init__(self, chunks: Iterable[bytes], source: str, most: int) -> None:
        self._chunks = iter(chunks)
        self._source = source
        self._text = ""
        self._at = 0
        self._left = most
        self._most = most
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        # Only where a value ends is asked of it; digits are left as they are.
        self._decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)

    def fault(self, what: str) -> DocumentError:
        """The error that says `what` is wrong with the document."""
        return DocumentError(f"{self._source}: {what}")

    def at_end(self) -> bool:
        """Whether nothing follows but white space."""
        return self._next() == ""

    def skip(self, symbol: str) -> bool:
        """Pass over `symbol`, one character, if it comes next; whether it did."""
        if self._next() != symbol:
            return False
        self._at += 1
        return True

    def expect(self, symbol: str) -> None:
        """Pass over `symbol`, which must come next."""
        if not self.skip(symbol):
            raise self.fault(f'is not JSON: "{symbol}" is missing')

    def value(self) -> object:
        """The next value, of at most `LONGEST` characters, as `jsondoc.decode` takes it."""
        if not self._left:
            raise self.fault(f"has more than {self._most} entries")
        self._left -= 1
        self._next()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._read_on():
                    continue
                raise self.fault(f"is not JSON: {error.msg}") from None
            except RecursionError:
                raise self.fault("is nested too deeply") from None
            if len(self._text) - end >= _UNSURE or not self._read_on():
                break
        text = self._text[self._at : end]
        self._at = end
        return jsondoc.decode(text, self._source)

    def _next(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = self._at if space is None else space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _read_on(self) -> bool:
        """Get at least twice the text that is at hand; whether there was more."""
        rest = self._text[self._at :]
        if len(rest) > LONGEST:
            raise self.fault(f"a value in it is longer than {LONGEST} characters")
        pieces, more = [rest], 0
        try:
            for chunk in self._chunks:
                pieces.append(self._utf8.decode(chunk))
                more += len(pieces[-1])
                if more > len(rest):
                    break
            else:
                self._utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            raise self.fault("is not UTF-8") from None
        if more:
            self._text, self._at = "".join(pieces), 0
        return more > 0


def members(values: Values, large: str) -> Iterator[tuple[str, object]]:
    """The members of the object that comes next and last, in their order.

    The array under the key `large` is given entry by entry, each with that key; it may be
    null. What is wrong is a DocumentError from the iterator.
    """
    keys: set[str] = set()
    values.expect("{")
    # Only before the first key may the object end without a comma.
    while keys or not values.skip("}"):
        key = values.value()
        if not isinstance(key, str):
            raise values.fault("is not JSON: a key is no string")
        if key in keys:
            raise values.fault(f"key {quoted(key)} is given twice")
        keys.add(key)
        if len(keys) > _MOST_MEMBERS:
            raise values.fault(f"has more than {_MOST_MEMBERS} members")
        values.expect(":")
        if key == large and values.skip("["):
            yield from ((key, entry) for entry in _entries(values))
        else:
            value = values.value()
            if key == large and value is not None:
                raise values.fault(f'"{large}" must be an array')
            yield key, value
        if values.skip("}"):
            break
        values.expect(",")
    if not values.at_end():
        raise values.fault("is not JSON: something follows its end")


def _entries(values: Values) -> Iterator[object]:
    """What an array holds whose bracket has been passed."""
    if values.skip("]"):
        return
    while True:
        yield values.value()
        if values.skip("]"):
            return
        values.expect(",")
