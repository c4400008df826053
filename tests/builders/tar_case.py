"""What tests of the tar scanner share: scanning, and comparing what came out."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from layerscan.tar._tar import TarFault, TarScanner
from layerscan.tar.tree import InodeKind
from tests.builders import tars
from tests.builders.tars import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerscan.tar.tree import LayerTree

    Column = NDArray[np.integer[Any]]


def in_chunks(data: bytes, seed: int) -> Iterator[memoryview]:
    """The data in pieces: of one byte, of any length, or all at once, as `seed` has it."""
    dice = random.Random(seed)  # noqa: S311
    most = dice.choice([1, 7, 511, 512, 513, 5000, len(data) + 1])
    view = memoryview(data)
    while view:
        length = dice.randint(1, most)
        yield view[:length]
        view = view[length:]


def scan(data: bytes, *, seed: int | None = None) -> LayerTree:
    """The tree of a stream, fed at once or in pieces."""
    scanner = TarScanner()
    for chunk in [data] if seed is None else in_chunks(data, seed):
        scanner.feed(chunk)
    return scanner.finish()


def fault(data: bytes, *, seed: int | None = None) -> str:
    """Why a stream is refused."""
    with pytest.raises(TarFault) as caught:
        scan(data, seed=seed)
    return str(caught.value)


def same(one: LayerTree, other: LayerTree) -> bool:
    """Whether two trees are equal, in the kinds of numbers too."""
    columns: Iterator[tuple[Column, Column]] = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and (a == b).all() for a, b in columns)


def check(tree: LayerTree) -> None:
    """What must hold of every tree, whatever the stream."""
    inodes, names = len(tree.kinds), len(tree.name_inodes)
    assert len(tree.sizes) == inodes
    assert len(tree.name_directories) == len(tree.name_lengths) == names
    assert tree.kinds[0] == InodeKind.DIRECTORY
    assert set(tree.kinds.tolist()) <= set(InodeKind)
    assert (tree.sizes >= 0).all()
    assert (tree.sizes[tree.kinds == InodeKind.DIRECTORY] == 0).all()
    assert (tree.kinds[tree.name_directories] == InodeKind.DIRECTORY).all()
    # Each inode but the root has a name, a folder one.
    counts = np.bincount(tree.name_inodes, minlength=inodes)
    assert counts[0] == 0
    assert (counts[1:] >= 1).all()
    assert (counts[1:][tree.kinds[1:] == InodeKind.DIRECTORY] == 1).all()
    assert ((tree.name_lengths > 0) & (tree.name_lengths <= 255)).all()
    assert len(tree.xattr_inodes) == 0 or tree.xattr_inodes.max() < inodes


TYPES = [tars.FILE, tars.LINK, tars.SYMLINK, tars.CHAR, tars.DIR, tars.DIR, tars.FIFO, b"7"]
SOME_XATTRS = [
    (b"user.a", b"1"),
    (b"user.a", b"333"),
    (b"trusted.overlay.opaque", b"y"),
    (b"security.capability", b"\1\0\0\2" + bytes(16)),
    (b"nothing.known", b"1"),
]
_NAMES = [b"a", b"b", b"c", b"dd", b"link"]
_ODD_NAMES = [b"..", b".", b"", b".wh.a", b".wh.b", b".wh..wh..opq", b".wh..", b".wh..wh..wh..opq"]


def _some_path(dice: random.Random) -> bytes:
    names = dice.choices(_NAMES, k=dice.randint(1, 3))
    if dice.random() < 0.15:
        names.append(dice.choice(_ODD_NAMES))
    dice.shuffle(names)
    return dice.choice([b"", b"", b"./", b"/"]) + b"/".join(names)


def some_entries(dice: random.Random) -> list[Entry]:
    """Entries of few names, so that they meet; most lists can be unpacked."""
    parts: list[Entry] = []
    for _ in range(dice.randint(1, 10)):
        kind = dice.choice([*TYPES[:-1], *TYPES[:-1], tars.DIR, tars.FILE])
        link = b""
        if kind == tars.LINK:
            files = [part.name for part in parts if part.type == tars.FILE]
            if not files:
                continue
            link = dice.choice(files)
        elif kind == tars.SYMLINK:
            link = _some_path(dice)
        content = b"x" * dice.choice([0, 1, 512, 700]) if kind == tars.FILE else b""
        xattrs = tuple(dice.choices(SOME_XATTRS, k=dice.choice([0, 0, 0, 1, 2])))
        parts.append(Entry(_some_path(dice), kind, content, link, xattrs))
    return parts


def made_up(dice: random.Random) -> bytes:
    """A valid stream with something of every format, to be damaged."""
    name = dice.choice([b"a", b"b/c", b"d/e/f", b"n" * 90, b"d/"])
    content = b"y" * dice.choice([0, 3, 512, 1025])
    size, body = len(content), tars.padded(content)
    pieces = ((0, 10), (50, 20), (100, dice.choice([0, 600])))
    star = {508: b"tar\0", 476: tars.number(5, 12), 488: tars.number(6, 12)}
    records = tars.record(b"path", name + b"q") + tars.record(b"size", b"%d" % size)
    records += tars.record(b"mtime", b"1.5") + tars.record(b"uid", b"4")
    base_256 = b"\x80" + size.to_bytes(11, "big")
    parts = [
        tars.header(name, size=size) + body,
        tars.header(name, size=base_256, magic=tars.GNU) + body,
        tars.header(name, size=size, magic=tars.V7, type=b"\0") + body,
        tars.header(name, size=size, prefix=b"p/q") + body,
        tars.header(name, size=size, prefix=b"star", rest=star) + body,
        tars.header(name, size=size, magic=tars.GNU, prefix=b"old prefix") + body,
        tars.special(b"L", b"l" * 150 + b"\0", tars.GNU) + tars.header(name, size=size) + body,
        tars.special(b"K", b"k" * 150 + b"\0", tars.GNU) + tars.header(name, type=tars.SYMLINK),
        tars.special(b"x", records) + tars.header(b"z") + body,
        tars.special(b"g", records),
        tars.sparse_0(name, 5000, pieces),
        tars.sparse_0_1(name, 5000, pieces),
        tars.sparse_1(name, 5000, pieces),
        Entry(name, content=content, xattrs=((b"user.a", b"1"), (b"trusted.t", b"2"))).dump(),
        tars.header(b"s", type=dice.choice(TYPES), link=b"a", size=dice.choice([0, 700])),
    ]
    return b"".join(dice.sample(parts, dice.randint(1, 6))) + tars.END


FIELDS = [0, 100, 107, 108, 124, 135, 136, 148, 156, 257, 263, 329, 345, 357, 476, 508]
VALUES = b"\0 -+0157899=,\n/.xgLKS\x7f\x80\xc0\xff"


def damaged(data: bytes, dice: random.Random) -> bytes:
    """The stream with a few bytes changed, a part missing or twice; sums mostly right."""
    stream = bytearray(data)
    way = dice.randrange(10)
    block = dice.randrange(len(stream) // tars.BLOCK) * tars.BLOCK
    if way == 0:
        del stream[dice.randrange(len(stream)) :]
    elif way == 1:
        del stream[block : block + tars.BLOCK]
    elif way == 2:
        stream[block:block] = stream[: dice.choice([tars.BLOCK, 2 * tars.BLOCK, 100])]
    else:
        for _ in range(dice.randint(1, 4)):
            place = dice.choice([dice.choice(FIELDS) + dice.randint(0, 8), dice.randrange(512)])
            stream[block + place % 512] = dice.choice([dice.choice(VALUES), dice.randrange(256)])
        whole = bytes(stream[block : block + tars.BLOCK])
        if whole[148:156].strip(b"\0 ").isdigit():
            stream[block : block + tars.BLOCK] = tars.with_checksum(whole)
    return bytes(stream)


def kinds(*parts: Entry | bytes) -> list[int]:
    """The kinds of all inodes but the root's."""
    tree = scan(tars.tar(*parts))
    assert tree.kinds[0] == InodeKind.DIRECTORY
    found: list[int] = tree.kinds[1:].tolist()
    return found


def sizes(*parts: Entry | bytes) -> list[int]:
    found: list[int] = scan(tars.tar(*parts)).sizes[1:].tolist()
    return found


def lengths(*parts: Entry | bytes) -> list[int]:
    found: list[int] = scan(tars.tar(*parts)).name_lengths.tolist()
    return found
