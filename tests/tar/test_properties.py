"""The tar scanner held against the same rules in plain Python, and fed with damage."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from layerscan.tar._tar import TarFault, TarScanner
from tests.builders import tars
from tests.builders.tar_case import (
    SOME_XATTRS,
    TYPES,
    check,
    damaged,
    in_chunks,
    made_up,
    same,
    scan,
    some_entries,
)
from tests.builders.tars import Entry, tar
from tests.oracles.tar import unpacked

if TYPE_CHECKING:
    from layerscan.tar.tree import LayerTree

NAMES = st.sampled_from([b"a", b"b", b"c", b"dd", b"link", b"..", b".", b"", b"n" * 255])
WHITEOUTS = st.sampled_from([b".wh.a", b".wh.b", b".wh..wh..opq", b".wh..", b".wh..wh..wh..opq"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
XATTRS = st.sampled_from([*SOME_XATTRS, (b"user.b", b"")])


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry, of few names: so they meet."""
    kind = draw(st.sampled_from(TYPES))
    path = draw(PATHS)
    if draw(st.integers(0, 5)) == 0:
        path += b"/" + draw(WHITEOUTS)
    return Entry(
        path,
        kind,
        b"x" * draw(st.sampled_from([0, 1, 512, 700])) if kind == tars.FILE else b"",
        draw(PATHS) if kind in (tars.LINK, tars.SYMLINK) else b"",
        tuple(draw(st.lists(XATTRS, max_size=2))),
    )


def scanned(data: bytes, seed: int) -> LayerTree | None:
    """The tree, None if the stream is refused."""
    try:
        return scan(data, seed=seed)
    except TarFault:
        return None


@pytest.mark.slow
@settings(max_examples=300)
@given(parts=st.lists(entries(), max_size=12), seed=st.integers(0, 1 << 30))
@example(parts=[Entry(b"a/link", tars.SYMLINK, link=b".."), Entry(b"a/link/a/b")], seed=0)
@example(parts=[Entry(b"d", tars.DIR), Entry(b"d"), Entry(b"d", tars.DIR)], seed=0)
@example(parts=[Entry(b"a"), Entry(b"b", tars.LINK, link=b"a"), Entry(b"a"), Entry(b"b")], seed=0)
def test_unpacking_is_as_in_plain_python(parts: list[Entry], seed: int) -> None:
    got, expected = scanned(tar(*parts), seed), unpacked(parts)
    assert (got is None) == (expected is None)
    if got is not None and expected is not None:
        assert same(got, expected)


@pytest.mark.parametrize("seed", range(4))
def test_unpacking_many_is_as_in_plain_python(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    accepted = 0
    for _ in range(500):
        parts = some_entries(dice)
        got, expected = scanned(tar(*parts), dice.randrange(1 << 30)), unpacked(parts)
        assert (got is None) == (expected is None), parts
        if got is not None and expected is not None:
            assert same(got, expected), parts
            accepted += 1
    assert 100 < accepted < 450


@pytest.mark.parametrize("seed", range(10))
def test_damage_is_refused_or_harmless(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    refused = 0
    for round_ in range(100):
        data = damaged(made_up(dice), dice)
        whole = scanned(data, dice.randrange(1 << 30))
        again = scanned(data, dice.randrange(1 << 30))
        assert (whole is None) == (again is None), (seed, round_)
        if whole is None or again is None:
            refused += 1
            continue
        check(whole)
        assert same(whole, again)
    assert 10 < refused < 90


@pytest.mark.parametrize("seed", range(3))
def test_every_way_to_cut_a_stream_gives_a_fault_or_a_tree(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    data = made_up(dice)
    places = [*range(0, len(data), 512), *range(1, len(data), 37)]
    for place in places:
        tree = scanned(data[:place], place)
        if tree is not None:
            check(tree)
    # Within the first header there is no other end than none at all.
    first = tars.header(b"f", size=600) + bytes(1024)
    outcomes = [scanned(first[:place], 1) is None for place in range(1113)]
    assert outcomes == [False] + [True] * 1111 + [False]


@settings(max_examples=100)
@given(data=st.binary(max_size=3000), seed=st.integers(0, 1 << 30))
def test_noise_is_refused(data: bytes, seed: int) -> None:
    scanner = TarScanner(tar_split=bool(seed % 2))
    if len(data) < 512 or not any(data[:512]):
        return
    with pytest.raises(TarFault, match="at byte 0: "):
        feed(scanner, data, seed)


def feed(scanner: TarScanner, data: bytes, seed: int) -> None:
    for chunk in in_chunks(data, seed):
        scanner.feed(chunk)
