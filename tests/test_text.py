"""Text that is safe to print: whatever is in it, it is on one line and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.text import LONGEST, is_harmless, printable, printable_path, quoted, shown

ANY = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Zl"]))
VALUES = st.recursive(
    st.none() | st.integers() | ANY | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(ANY, inner),
)


@given(ANY)
def test_whatever_is_in_it_can_be_printed(text: str) -> None:
    for safe in (printable(text), printable(text, longest=None), quoted(text), printable_path("x")):
        assert safe.isprintable()
        safe.encode()


@pytest.mark.slow
@given(VALUES)
def test_any_value_can_be_shown(value: object) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) < 500


@given(st.binary().filter(lambda path: b"\0" not in path))
def test_no_byte_of_a_path_is_lost(path: bytes) -> None:
    told = printable_path(path)
    assert told.isprintable()
    back = told.encode().decode("unicode_escape")
    if path.isascii():
        assert back.encode("latin-1") == path


@pytest.mark.parametrize(
    ("char", "shown_as"),
    [
        ("\udc7f", r"\udc7f"),
        ("\udc80", r"\x80"),
        ("\udcff", r"\xff"),
        ("\udd00", r"\udd00"),
        ("\x7f", r"\x7f"),
        ("\n", r"\n"),
        ("é", "é"),
    ],
)
def test_what_stands_for_a_byte_is_shown_as_the_byte(char: str, shown_as: str) -> None:
    for safe in (printable, printable_path):
        assert safe(f"a{char}b") == f"a{shown_as}b"


@pytest.mark.parametrize(("length", "whole"), [(399, True), (400, True), (401, False)])
def test_so_much_of_a_text_is_printed(length: int, *, whole: bool) -> None:
    text = "x" * length
    assert printable(text) == (text if whole else "x" * 400 + "…")
    assert printable(text, longest=None) == text


def test_bounds() -> None:
    assert printable("x" * LONGEST) == "x" * LONGEST
    assert printable("x" * 1000) == "x" * LONGEST + "…"
    assert quoted("x" * 1000) == '"' + "x" * 100 + '\\u2026"'
    assert shown("x" * 1000) == repr("x" * 100) + "…"
    assert shown([1] * 1000) == repr([1] * 1000)[:100] + "…"
    assert printable_path(b"\xff" * 1000) == "\\xff" * 1000


@pytest.mark.parametrize("text", ["##[add-mask]x", "###[x", "::set-env name=A::b", "::::x"])
def test_no_text_is_a_command_of_a_ci_system(text: str) -> None:
    for safe in (printable(text), printable_path(text)):
        assert "##[" not in safe
        assert not safe.startswith("::")
        assert safe.encode().decode("unicode_escape") == text
    assert not is_harmless(text)


@given(st.lists(ANY))
def test_what_is_harmless_is_printed_as_it_is(parts: list[str]) -> None:
    if is_harmless("".join(parts)):
        assert [printable(part, longest=None) for part in parts] == parts
