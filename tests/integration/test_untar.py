"""The tar scanner held against Docker's own unpacking: what it takes, and what comes of it."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from layerscan.tar._tar import TarFault
from tests.builders import tars
from tests.builders.tar_case import damaged, made_up, scan, some_entries
from tests.builders.tars import Entry, header, tar
from tests.conftest import require_programs
from tests.engines.untar import MOST_FILE, PROGRAMS, untar
from tests.oracles.tar import found, shape
from tests.requirements import require_root

if TYPE_CHECKING:
    from layerscan.tar.tree import LayerTree

pytestmark = [pytest.mark.root, pytest.mark.engine]


def check(data: bytes, root: bytes) -> LayerTree | None:
    """Unpack with Docker too: both refuse, or both have the same. None if they refuse."""
    try:
        tree = scan(data)
    except TarFault:
        tree = None
    if tree is not None and tree.sizes.max() > MOST_FILE:
        return tree
    root_path = os.fsdecode(root)
    os.mkdir(root_path)
    told = untar(data, root_path)
    assert (told is None) == (tree is not None), told
    if tree is not None:
        assert shape(tree) == found(root)
    return tree


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    require_root()
    require_programs(*PROGRAMS)
    return os.fsencode(tmp_path_factory.mktemp("untar") / "root")


@pytest.mark.parametrize("seed", range(25))
def test_entries_that_meet(seed: int, root: bytes) -> None:
    check(tar(*some_entries(random.Random(seed))), root)  # noqa: S311


@pytest.mark.parametrize("seed", range(30))
def test_damaged_streams(seed: int, root: bytes) -> None:
    dice = random.Random(seed)  # noqa: S311
    check(damaged(made_up(dice), dice), root)


CAPABLE = ((b"security.capability", b"\1\0\0\2" + bytes(16)),)
LOOP = [Entry(b"l0", tars.DIR)]
LOOP += [Entry(b"l%d" % n, tars.SYMLINK, link=b"l%d" % (n - 1)) for n in range(1, 42)]
ACL = b"\2\0\0\0" + b"".join(
    tag.to_bytes(2, "little") + b"\7\0" + number
    for tag, number in [(1, b"\xff" * 4), (4, b"\xff" * 4), (32, b"\xff" * 4)]
)
ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


@pytest.mark.parametrize(
    ("parts", "is_taken"),
    [
        ([Entry(b"../../up/f"), Entry(b"/abs/f"), Entry(b"..", tars.DIR)], True),
        ([Entry(b".", tars.FIFO), Entry(b"a/..", b"7")], True),
        ([Entry(b"/", tars.FILE)], False),
        ([Entry(b"f", xattrs=CAPABLE), Entry(b"g", tars.LINK, link=b"f")], True),
        ([Entry(b"s", tars.SYMLINK, link=b"x"), Entry(b"t", tars.LINK, link=b"s")], True),
        ([*LOOP, Entry(b"l40/f")], True),
        ([*LOOP, Entry(b"l41/f")], False),
        ([Entry(b".wh." + b"n" * 255), Entry(b"d/.wh..wh..opq")], True),
        ([Entry(b"n" * 256)], False),
        ([Entry(b"d", tars.DIR), Entry(b"d", tars.SYMLINK, link=b"no")], False),
        ([Entry(b"d", tars.DIR), Entry(b"d", tars.SYMLINK, link=b"/")], True),
        ([Entry(b"f", xattrs=((b"user.", b"1"),))], False),
        ([Entry(b"f", xattrs=((b"com.apple.x", b"1"),))], True),
        ([Entry(b"f", tars.FIFO, xattrs=((b"user.a", b"1"),))], True),
        ([Entry(b"f", xattrs=((b"security.capability", b"1"),))], False),
        ([Entry(b"f", xattrs=((ACCESS, ACL),)), Entry(b"d", tars.DIR)], True),
        ([Entry(b"d", tars.DIR, xattrs=((DEFAULT, ACL),))], True),
        ([Entry(b"f", xattrs=((DEFAULT, ACL),))], False),
        ([header(b"f", type=b"S", magic=tars.GNU)], False),
        ([header(b"f", type=b"7")], False),
        ([header(b"d", type=tars.DIR, size=-1)], True),
        ([tars.sparse_0(b"s", 9000, ((0, 5), (100, 5)))], True),
        ([tars.sparse_0_1(b"s", 9000, ((0, 5), (100, 5)))], True),
        ([tars.sparse_1(b"s", 9000, ((0, 5), (100, 5)))], True),
        ([tars.sparse_1(b"s", 90, ((0, 5), (100, 5)))], False),
    ],
)
def test_what_docker_takes(parts: list[Entry | bytes], is_taken: bool, root: bytes) -> None:  # noqa: FBT001
    assert (check(tar(*parts), root) is not None) == is_taken


def test_the_longest_path(root: bytes) -> None:
    longest = (b"n" * 200 + b"/") * 20 + b"n" * 74
    assert len(longest) == 4094
    assert check(tar(Entry(longest + b"n")), root) is None
    # Its files are beyond the longest path from here: so only whether it is taken.
    assert untar(tar(Entry(longest)), os.fsdecode(root)) is None
    assert len(scan(tar(Entry(longest))).kinds) == 22
