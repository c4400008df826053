"""bbolt databases that are damaged: nothing but a Fault, whatever the file is like."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.files.safefs import Fault
from layerscan.stores.containerd.bolt import Bucket
from tests.builders.bolt import PAGE_SIZE, Tree, branch, database, leaf, reseal
from tests.builders.bolt_case import chance, fault, plain, read
from tests.builders.bolt_contents import get, items
from tests.builders.bolt_pages_case import with_root

if TYPE_CHECKING:
    import random
    from pathlib import Path

FUZZ_ROUNDS = 4000


# Pages that lie.


def changed(page: bytes, at: int, form: str, *values: int) -> bytes:
    data = bytearray(page)
    struct.pack_into(form, data, at, *values)
    return bytes(data)


LEAF = leaf(3, [(0, b"a", b"1"), (0, b"b", b"2")])
BRANCH = branch(3, [(b"a", 4), (b"m", 5)])
LEFT, RIGHT = leaf(4, [(0, b"a", b"1")]), leaf(5, [(0, b"m", b"2")])
IN_PAGE = "page 3 has an element that is not in it"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_root(LEAF, root=0), "refers to page 0 of 4"),
        (with_root(LEAF, root=4), "refers to page 4 of 4"),
        (with_root(LEAF, root=1 << 63), f"refers to page {1 << 63} of 4"),
        (
            with_root(LEAF, root=(1 << 64) - 2, count=(1 << 64) - 1),
            f"it ends before its page {(1 << 64) - 2}",
        ),
        (with_root(leaf(9, [])), "page 3 says that it is page 9"),
        (with_root(changed(LEAF, 8, "<H", 0x10)), "page 3 is neither a leaf nor a branch"),
        (with_root(changed(LEAF, 8, "<H", 3)), "page 3 is neither a leaf nor a branch"),
        (with_root(branch(3, [])), "page 3 is neither a leaf nor a branch"),
        (with_root(changed(LEAF, 12, "<I", 1)), "page 3 is too long"),
        (with_root(changed(LEAF, 12, "<I", 0xFFFFFFFF)), "page 3 is too long"),
        (with_root(changed(LEAF, 10, "<H", 0xFFFF)), "page 3 has more elements than fit into it"),
        (with_root(changed(LEAF, 20, "<I", 0xFFFFFFFF)), IN_PAGE),
        (with_root(changed(LEAF, 20, "<I", 0)), IN_PAGE),
        (with_root(changed(LEAF, 24, "<I", 0xFFFFFFFF)), IN_PAGE),
        (with_root(changed(LEAF, 28, "<I", 4096)), IN_PAGE),
        # Each in the page, both together longer than it.
        (with_root(changed(changed(LEAF, 28, "<I", 4000), 44, "<I", 4000)), IN_PAGE),
        (
            with_root(leaf(3, [(0, b"b", b""), (0, b"a", b"")])),
            "page 3 has keys that are out of order",
        ),
        (
            with_root(leaf(3, [(0, b"a", b""), (0, b"a", b"")])),
            "page 3 has keys that are out of order",
        ),
        (with_root(branch(3, [(b"a", 3)])), "page 3 is in a bucket twice"),
        (with_root(BRANCH, LEFT, branch(5, [(b"m", 4)])), "page 4 is in a bucket twice"),
        (with_root(BRANCH, LEFT), "refers to page 5 of 5"),
        (with_root(changed(BRANCH, 16, "<I", 5000), LEFT, RIGHT), IN_PAGE),
        (with_root(leaf(3, [(1, b"a", b"short")])), "bucket b'a' is cut off"),
        (with_root(leaf(3, [(1, b"a", bytes(20))])), "bucket b'a' is cut off"),
        (with_root(leaf(3, [(1, b"a", bytes(32))])), "bucket b'a' is neither a leaf nor a branch"),
        (
            with_root(leaf(3, [(1, b"a", bytes(16) + changed(LEAF, 10, "<H", 9))])),
            "bucket b'a' has more elements than fit into it",
        ),
        (with_root(leaf(3, [(1, b"a", struct.pack("<QQ", 77, 0))])), "refers to page 77 of 4"),
    ],
)
def test_page_that_lies(tmp_path: Path, content: bytes, expected: str) -> None:
    assert fault(tmp_path, content) == f"is damaged: {expected}"


def test_file_that_ends_too_early(tmp_path: Path) -> None:
    # Read in one go, all of it is missed; page by page, only what is asked for.
    ends = pytest.raises(Fault, match="is damaged: it ends before its page 89")
    with ends as caught, read(tmp_path, with_root(LEAF, count=90)):
        pass
    assert caught.value.gone
    pages = with_root(branch(3, [(b"a", 80)]), count=90)
    ends = pytest.raises(Fault, match="is damaged: it ends before its page 80")
    with ends, read(tmp_path, pages, copied=False) as found:
        plain(found.root)


def test_pages_that_overlap_are_not_read_over_and_over(tmp_path: Path) -> None:
    # Each page claims all that follow as its own.
    count = 40
    top = branch(3, [(b"%03d" % number, number) for number in range(4, count)])
    pages = [
        changed(leaf(number, [(0, b"%03d" % number, b"")]), 12, "<I", count - number - 1)
        for number in range(4, count)
    ]
    assert fault(tmp_path, with_root(top, *pages)) == "is damaged: its pages overlap"


def test_endless_depth(tmp_path: Path) -> None:
    pages = [branch(number, [(b"a", number + 1)]) for number in range(3, 60)]
    content = with_root(*pages, leaf(60, [(0, b"a", b"")]))
    assert fault(tmp_path, content) == "is damaged: a bucket is nested too deeply"
    # A loop without end is deep, too.
    for deep in (content, with_root(branch(3, [(b"a", 3)]))):
        refused = pytest.raises(Fault, match="a bucket is nested too deeply")
        with refused, read(tmp_path, deep) as found:
            get(found.root, b"a")


# Fuzzing: nothing but a Fault, whatever the file is like.

SAMPLE: Tree = {
    b"v1": {
        b"default": {
            b"images": {b"name %d" % n: {b"target": {b"digest": bytes(71)}} for n in range(30)},
            b"snapshots": {
                b"overlayfs": {
                    b"sha256:%064d" % n: {b"name": b"default/%d" % n, b"parent": bytes(71)}
                    for n in range(200)
                }
            },
            b"long": bytes(range(256)) * 50,
        },
        b"version": b"\x06",
    }
}


def survive(folder: Path, content: bytes, *, copied: bool = True) -> str:
    """Read it all, and look for what may be there. Returns how it ended."""
    try:
        with read(folder, content, copied=copied) as database:
            for key, value in walk(database.root, 0):
                if isinstance(value, bytes):
                    get(database.root, key)
                else:
                    database.root.bucket(key)
    except Fault as found:
        return found.what
    return "read"


def walk(bucket: Bucket, depth: int) -> list[tuple[bytes, object]]:
    # A damaged file may have buckets that lead to themselves: that is the caller's to guard.
    found: list[tuple[bytes, object]] = list(items(bucket))
    for _, value in found[:5000]:
        if isinstance(value, Bucket) and depth < 6:
            walk(value, depth + 1)
    return found


def flips(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice([1, 1, 2, 5, 50])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def hostile_numbers(data: bytearray, dice: random.Random) -> None:
    """Numbers in the headers of pages and elements that lead somewhere else."""
    for _ in range(dice.choice([1, 2, 4])):
        page = dice.randrange(len(data) // PAGE_SIZE) * PAGE_SIZE
        at = page + 4 * dice.randrange(24)
        value = dice.choice([0, 1, 2, 3, 5, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, dice.randrange(5000)])
        struct.pack_into("<I", data, at, value)


def swapped_pages(data: bytearray, dice: random.Random) -> None:
    pages = len(data) // PAGE_SIZE
    one, two = (dice.randrange(2, pages) * PAGE_SIZE for _ in range(2))
    first = data[one : one + PAGE_SIZE]
    data[one : one + PAGE_SIZE] = data[two : two + PAGE_SIZE]
    data[two : two + PAGE_SIZE] = first
    # With the right number, it is found out later.
    for start in (one, two):
        struct.pack_into("<Q", data, start, start // PAGE_SIZE)


@pytest.mark.slow
def test_fuzz(tmp_path: Path) -> None:
    sound = database(SAMPLE)
    outcomes = {"fault": 0, "read": 0}
    for seed in range(FUZZ_ROUNDS):
        dice = chance(seed)
        data = bytearray(sound)
        dice.choice([flips, hostile_numbers, swapped_pages, cut])(data, dice)
        if len(data) >= 2 * PAGE_SIZE and dice.random() < 0.7:
            reseal(data)
        outcome = survive(tmp_path, bytes(data), copied=seed % 3 > 0)
        assert outcome.isprintable()
        outcomes["read" if outcome == "read" else "fault"] += 1
    # Both happen, or the fuzzing has no teeth.
    assert min(outcomes.values()) > FUZZ_ROUNDS // 20


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=3 * PAGE_SIZE))
def test_pages_of_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = with_root(content, count=7).ljust(7 * PAGE_SIZE, b"\0")
    survive(folder, whole)
    survive(folder, content)
