"""A table of contents in JSON, turned back into the headers of its layer's tar.

Owns the JSON that eStargz and zstd:chunked have in common: an object of
``version`` and ``entries``, each of which is a tar header with other names
(stargz-snapshotter, docs/estargz.md, "TOC and TOCEntries").
"""

import base64
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from layerscan import jsondoc
from layerscan.jsondoc import Place
from layerscan.sources import toc_headers as headers
from layerscan.sources.toc_headers import Header
from layerscan.sources.toc_json import Values, chunks, members
from layerscan.sources.toc_model import MAX_TABLE, NAME, Content, Part
from layerscan.text import quoted

VERSION = 1  # the one version of the table that there is

MOST_ENTRIES = MAX_TABLE // 128
"""Most entries of a table. An entry of a file is more than twice as long as this allows for."""

_CHUNK = "chunk"
_TYPES = {
    "dir": headers.FOLDER,
    "reg": headers.FILE,
    "symlink": headers.SYMLINK,
    "hardlink": headers.LINK,
    "char": headers.CHARACTER,
    "block": headers.DEVICE,
    "fifo": headers.FIFO,
}
_OTHER_TIMES = {"accesstime": "atime", "changetime": "ctime"}
_LOST = "\ufffd"  # what Go writes into JSON in place of bytes that are no UTF-8
_DIGITS = 16  # hex digits of a digest that are as long as a checksum
_NO_TIME = "0001-01-01T00:00:00Z"
_FRACTION = re.compile(r"\.\d*?[1-9](?=0*\D)", re.ASCII)


def table_members(table: bytes) -> Iterator[tuple[str, object]]:
    """The members of the table, its entries one by one."""
    version = None
    for key, value in members(Values(chunks(table), NAME, MOST_ENTRIES), "entries"):
        if key == "version":
            version = value
        yield key, value
    if version != VERSION:
        raise Place(NAME).key("version").fault(f"must be {VERSION}")


def parts(table: bytes) -> Iterator[Part]:
    """The tar stream that the table describes, without its end.

    Raises DocumentError, from the iterator, also if it has not all that the tar has.
    """
    number, padding = -1, b""
    for key, value in table_members(table):
        # An empty layer's table has null there.
        if key != "entries" or value is None:
            continue
        number += 1
        place = Place(NAME).key("entries").key(number)
        entry = jsondoc.mapping(value, place)
        kind = jsondoc.text(entry, "type", place)
        if kind == _CHUNK:
            continue
        if kind not in _TYPES:
            raise place.key("type").fault(f"is {quoted(kind)}, which is no type")
        header = _header(entry, place, _TYPES[kind])
        try:
            yield padding + headers.encoded(header)
        except ValueError:
            raise place.fault("does not fit into a tar header") from None
        if header.size:
            yield Content(header.size, _checksum(entry, place))
        padding = bytes(-header.size % headers.BLOCK)
    yield padding


def _header(entry: dict[str, object], place: Place, kind: bytes) -> Header:
    size = 0
    # Only files have content; what others say of theirs is not in the tar.
    if kind == headers.FILE:
        size = jsondoc.integer(entry, "size", place, 0)
    records = _xattrs(entry, place) if "xattrs" in entry else {}
    mtime, modified = _time(entry, "modtime", place)
    if "." in modified:
        records["mtime"] = modified.encode()
    for key, record in _OTHER_TIMES.items():
        time = _time(entry, key, place)[1]
        if time:
            records[record] = time.encode()
    return Header(
        _text(entry, "name", place),
        kind,
        size,
        jsondoc.integer(entry, "mode", place, 0),
        jsondoc.integer(entry, "uid", place, 0),
        jsondoc.integer(entry, "gid", place, 0),
        mtime,
        _text(entry, "linkName", place, ""),
        _text(entry, "userName", place, ""),
        _text(entry, "groupName", place, ""),
        (
            jsondoc.integer(entry, "devMajor", place, 0),
            jsondoc.integer(entry, "devMinor", place, 0),
        ),
        records,
    )


def _checksum(entry: dict[str, object], place: Place) -> int | None:
    """Bits of the digest of all that is in the file, also where it has several chunks.

    They take the place of the checksum, and repeat where that would.
    """
    if jsondoc.text(entry, "digest", place, "") == "":
        return None
    return int(jsondoc.digest(entry, "digest", place).removeprefix("sha256:")[:_DIGITS], 16)


def _text(entry: dict[str, object], key: str, place: Place, default: str | None = None) -> str:
    """A name; one that is not as it is in the tar is refused."""
    found = jsondoc.text(entry, key, place, default)
    if _LOST in found:
        raise place.key(key).fault("is a name that JSON cannot hold")
    if "\0" in found or not _is_utf8(found):
        raise place.key(key).fault("is no name")
    return found


def _is_utf8(text: str) -> bool:
    # JSON can have one half of a surrogate pair.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(entry: dict[str, object], key: str, place: Place) -> tuple[int, str]:
    """A time in whole seconds since 1970, and with all its digits; 0 and empty for none."""
    text = jsondoc.text(entry, key, place, "")
    # The year 1 is Go's way to say none.
    if not text or text == _NO_TIME:
        return 0, ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise place.key(key).fault("is no time") from None
    if moment.tzinfo is None:
        raise place.key(key).fault("is no time: it has no zone")
    seconds = int(moment.replace(microsecond=0).timestamp())
    fraction = _FRACTION.search(text)
    if fraction is None:
        return seconds, str(seconds)
    return seconds, str(Decimal(seconds) + Decimal(fraction[0]))


def _xattrs(entry: dict[str, object], place: Place) -> dict[str, bytes]:
    """The PAX records of the entry's extended attributes."""
    if entry["xattrs"] is None:
        return {}
    at = place.key("xattrs")
    found = jsondoc.mapping(entry["xattrs"], at)
    records = {}
    for name in found:
        if not name or "=" in name or "\0" in name or _LOST in name or not _is_utf8(name):
            raise at.key(name).fault("is no name of an extended attribute")
        try:
            value = base64.b64decode(jsondoc.text(found, name, at), validate=True)
        except ValueError:
            raise at.key(name).fault("is no base64") from None
        records[headers.xattr(name)] = value
    return records
