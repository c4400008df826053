"""Pages of bbolt's trees and Go's varints, as the compiled part takes them apart."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.stores.containerd._bolt import Page, PageError, Value, uvarint, varint
from tests.builders.bolt import Element, branch, leaf
from tests.builders.containerd import uvarint as written_uvarint
from tests.builders.containerd import varint as written_varint

KEYS = st.binary(max_size=12)
ELEMENTS = st.dictionaries(KEYS, st.binary(max_size=12), max_size=9).map(
    lambda items: [(0, key, value) for key, value in sorted(items.items())]
)
NUMBERS = st.integers(0, (1 << 64) - 1)


@given(elements=ELEMENTS, before=st.binary(max_size=9), after=st.binary(max_size=9), key=KEYS)
def test_leaf_has_what_was_written(
    elements: list[Element], before: bytes, after: bytes, key: bytes
) -> None:
    raw = leaf(7, elements)
    page = Page(before + raw + after, len(before), len(before) + len(raw))
    assert (page.is_leaf, page.number, page.overflow) == (True, 7, 0)
    there = {key: value for _, key, value in elements}
    assert [(key, value.content()) for key, value in page.elements()] == list(there.items())
    for one in (key, *there):
        found = page.find(one)
        assert (found.content() if found else None) == there.get(one)
    assert page.record((key, *there, b"absent")) == (
        there.get(key, b""),
        *there.values(),
        there.get(b"absent", b""),
    )
    with pytest.raises(PageError, match="is no branch"):
        page.children()
    with pytest.raises(PageError, match="is no branch"):
        page.child(key)


@given(children=st.dictionaries(KEYS, NUMBERS, min_size=1, max_size=9), key=KEYS)
def test_branch_has_what_was_written(children: dict[bytes, int], key: bytes) -> None:
    items = sorted(children.items())
    page = Page(branch(7, items))
    assert not page.is_leaf
    assert page.children() == [number for _, number in items]
    at_or_before = [number for first, number in items if first <= key]
    assert page.child(key) == (at_or_before or [items[0][1]])[-1]
    assert page.find(items[0][0]) is None
    with pytest.raises(PageError, match="is no leaf"):
        page.elements()
    with pytest.raises(PageError, match="is no leaf"):
        page.record((key,))


@pytest.mark.parametrize("size", [32_767, 32_768, 32_769, 65_536])
def test_key_has_at_most_32768_bytes(size: int) -> None:
    key = b"k" * size
    for raw in (leaf(7, [(0, key, b"v")]), branch(7, [(key, 5)])):
        if size > 32_768:
            with pytest.raises(PageError, match="has an element that is not in it"):
                Page(raw)
        elif (page := Page(raw)).is_leaf:
            assert [found for found, _ in page.elements()] == [key]
        else:
            assert page.child(key) == 5


@pytest.mark.slow
@settings(max_examples=500)
@given(elements=ELEMENTS, data=st.data())
def test_damaged_page_is_refused_or_read(elements: list[Element], data: st.DataObject) -> None:
    raw = bytearray(leaf(7, elements))
    if data.draw(st.booleans()) and elements:
        raw = bytearray(branch(7, [(key, 5) for _, key, _ in elements]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from([0, 1, 2, 16, 255])
        )
    whole = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(PageError):
        page = Page(whole)
        if not page.is_leaf:
            assert len(page.children()) * 16 < len(whole)
            page.child(b"a")
            return
        found = page.elements()
        # No byte is in two of them.
        assert sum(len(key) + len(value.content()) for key, value in found) < len(whole)
        assert all(page.find(key) is not None for key, _ in found)
        page.record(tuple(key for key, _ in found))
        for _, value in found:
            with contextlib.suppress(PageError):
                value.page()


@pytest.mark.parametrize(("start", "end"), [(0, 15), (30, 40), (40, 30), (1 << 63, 1 << 64)])
def test_page_that_is_not_there(start: int, end: int) -> None:
    refused = pytest.raises((PageError, OverflowError))
    with refused:
        Page(leaf(7, [(0, b"a", b"1")]), start, end)


def test_value_is_only_found() -> None:
    with pytest.raises(TypeError):
        Value()


@given(NUMBERS)
def test_varint_is_go_s(number: int) -> None:
    assert uvarint(written_uvarint(number)) == number
    assert varint(written_varint(number // 2)) == number // 2
    with pytest.raises(ValueError, match=r"b['\x22]"):
        varint(written_varint(-1 - number // 2))
    with pytest.raises(ValueError, match=r"b['\x22]"):
        uvarint(written_uvarint(number + (1 << 64)))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x01\x01", b"\xff" * 9 + b"\x02", b"\x80" * 11])
def test_no_varint(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"b['\x22]"):
        uvarint(raw)
