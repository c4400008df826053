"""Tars that have a path twice, and such that only look so: who keeps a tar-split refuses the first.

What is said of each here, `tests/integration/test_predict_repeated.py` has from real engines.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.builders import tars
from tests.builders.tars import Entry, record, special


class Case(NamedTuple):
    """A tar.

    Attributes:
        parts: what it is of, see `tars.tar`.
        repeated: the path that comes twice, as a message shows it; None if none does.
    """

    parts: tuple[bytes | Entry, ...]
    repeated: str | None = None


def shared(path: bytes) -> bytes:
    """Records for all entries, which have a path of their own."""
    return special(b"g", record(b"path", path))


D = tars.DIR

CASES = {
    "files": Case((Entry(b"a/b"), Entry(b"a/b")), "a/b"),
    "folders": Case((Entry(b"d", D), Entry(b"d", D)), "d"),
    "a slash at the end": Case((Entry(b"d", D), Entry(b"d/", D)), "d"),
    "a file and a folder": Case((Entry(b"a"), Entry(b"a/", D)), "a"),
    "a dot in front": Case((Entry(b"./a"), Entry(b"a")), "a"),
    "two slashes": Case((Entry(b"d/a"), Entry(b"d//a")), "d/a"),
    "there and back": Case((Entry(b"a/../b"), Entry(b"b")), "b"),
    "a hard link": Case((Entry(b"a"), Entry(b"b"), Entry(b"a", tars.LINK, link=b"b")), "a"),
    "the root": Case((Entry(b"./", D), Entry(b"", D)), "/"),
    "the root with a slash": Case((Entry(b"/", D), Entry(b"//", D)), "/"),
    "above the root": Case((Entry(b"../b"), Entry(b"a/../../b")), "b"),
    "above the root with a slash": Case((Entry(b"/../b"), Entry(b"/b")), "b"),
    "opaque": Case((Entry(b"d/.wh..wh..opq"), Entry(b"d/.wh..wh..opq")), "d/.wh..wh..opq"),
    "no UTF-8": Case((Entry(b"caf\xe9"), Entry(b"caf\xe9")), r"caf\xe9"),
    "a long name": Case((Entry(b"n" * 150), Entry(b"n" * 150)), "n" * 150),
    "records for all": Case((shared(b"g"), shared(b"g"), Entry(b"a")), "g"),
    "records for all and a file": Case((shared(b"a"), Entry(b"a")), "a"),
    # What follows is taken.
    "a slash in front": Case((Entry(b"/a"), Entry(b"a"))),
    "the root in both ways": Case((Entry(b"/", D), Entry(b"./", D))),
    "above and not": Case((Entry(b"../b"), Entry(b"b"))),
    "above and further": Case((Entry(b"../b"), Entry(b"../../b"))),
    "a folder that was made": Case((Entry(b"d/a"), Entry(b"d", D))),
    "a folder that was replaced": Case((Entry(b"d/a"), Entry(b"d"))),
    "through a symlink": Case(
        (Entry(b"l", tars.SYMLINK, link=b"d"), Entry(b"d", D), Entry(b"d/x"), Entry(b"l/x"))
    ),
    "a whiteout and a file": Case((Entry(b".wh.x"), Entry(b"x"))),
    "other records for all": Case((shared(b"g"), shared(b"h"), Entry(b"a"))),
    "other names that are no UTF-8": Case((Entry(b"caf\xe9"), Entry(b"caf\xe8"))),
}


def note(owner: str, digest: str, path: str) -> str:
    """What the user is told."""
    return (
        f"{owner}: layer {digest}: has a path twice, {path}: Docker and Podman refuse such a "
        "layer; have it built again, or give --store containerd if that is what will unpack it"
    )
