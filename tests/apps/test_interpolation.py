import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.apps import interpolation
from layerscan.apps.interpolation import interpolate
from layerscan.errors import ComposeError

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "other", "_u1": "under", "DOLLAR": "$SET"}

FORMS = [
    ("plain", "plain"),
    ("", ""),
    ("$SET", "value"),
    ("${SET}", "value"),
    ("a$SET-b", "avalue-b"),
    ("$SET.$OTHER/$_u1", "value.other/under"),
    ("$SETx", ""),
    ("${SET}x", "valuex"),
    ("$EMPTY", ""),
    # Values are put in as they are.
    ("$DOLLAR", "$SET"),
    ("${DOLLAR:-x}", "$SET"),
    # :- and -
    ("${SET:-d}", "value"),
    ("${SET-d}", "value"),
    ("${EMPTY:-d}", "d"),
    ("${EMPTY-d}", ""),
    ("${UNSET:-d}", "d"),
    ("${UNSET-d}", "d"),
    ("${UNSET:-}", ""),
    ("${UNSET-}", ""),
    ("${UNSET:-/a:-b?c+d}", "/a:-b?c+d"),
    ("${UNSET-a:-b}", "a:-b"),
    ("${UNSET:-two words\nand lines}", "two words\nand lines"),
    # :? and ?
    ("${SET:?m}", "value"),
    ("${SET?m}", "value"),
    ("${EMPTY?m}", ""),
    # :+ and +
    ("${SET:+a}", "a"),
    ("${SET+a}", "a"),
    ("${EMPTY:+a}", ""),
    ("${EMPTY+a}", "a"),
    ("${UNSET:+a}", ""),
    ("${UNSET+a}", ""),
    # within each other
    ("${UNSET:-${SET}}", "value"),
    ("${UNSET:-$SET}", "value"),
    ("${UNSET:-${NONE:-c}}", "c"),
    ("${UNSET:-${NONE:-${EMPTY:-deep}}}-x", "deep-x"),
    ("${UNSET:-${SET} ${OTHER}}", "value other"),
    ("${SET:+<${OTHER}>}", "<other>"),
    ('${UNSET:-{"a":{"b":1}}}', '{"a":{"b":1}}'),
    # An operand that is not used is not looked into.
    ("${SET:-${NONE:?m}}", "value"),
    ("${SET-${!}}", "value"),
    ("${UNSET:+${NONE:?m}}", ""),
    # dollar signs that begin no variable
    ("$$", "$"),
    ("$$SET", "$SET"),
    ("$${SET}", "${SET}"),
    ("$$$SET", "$value"),
    ("$$$$", "$$"),
    ("${UNSET:-$$SET}", "$SET"),
    ("$", "$"),
    ("a$", "a$"),
    ("$1", "$1"),
    ("$ SET", "$ SET"),
    ("$}", "$}"),
    ("$é", "$é"),
]

INVALID = [
    ("${", 1, "no closing brace for this ${"),
    ("x ${SET", 3, "no closing brace for this ${"),
    ("${UNSET:-${SET}", 1, "no closing brace for this ${"),
    ("${}", 3, "no variable's name after ${"),
    ("${ }", 3, "no variable's name after ${"),
    ("${ SET}", 3, "no variable's name after ${"),
    ("${1A}", 3, "no variable's name after ${"),
    ("${É}", 3, "no variable's name after ${"),
    ("${SET }", 6, "no operator (:- - :? ? :+ +) after SET"),
    ("${SET!}", 6, "no operator (:- - :? ? :+ +) after SET"),
    ("${SET:}", 6, "no operator (:- - :? ? :+ +) after SET"),
    ("${SET/a/b}", 6, "no operator (:- - :? ? :+ +) after SET"),
    ("$SET ${UNSET:-${!}}", 17, "no variable's name after ${"),
]

REQUIRED = [
    ("${UNSET:?set it}", "required variable UNSET is not set: set it"),
    ("${UNSET?set it}", "required variable UNSET is not set: set it"),
    ("${EMPTY:?fill it}", "required variable EMPTY is empty: fill it"),
    ("${UNSET:?}", "required variable UNSET is not set"),
    ("${UNSET?}", "required variable UNSET is not set"),
    ("${UNSET:?needs ${SET}}", "required variable UNSET is not set: needs value"),
    ("${UNSET:?a\nb}", "required variable UNSET is not set: 'a\\nb'"),
    ("x${NONE:-${UNSET?inner}}", "required variable UNSET is not set: inner"),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_each_form(text: str, expected: str) -> None:
    assert interpolate(text, VARIABLES).text == expected


@pytest.mark.parametrize(("text", "character", "what"), INVALID)
def test_an_invalid_form_is_named_with_its_place(text: str, character: int, what: str) -> None:
    with pytest.raises(ComposeError) as caught:
        interpolate(text, VARIABLES)
    assert str(caught.value) == f"{text!r}, character {character}: {what}"


@pytest.mark.parametrize(("text", "what"), REQUIRED)
def test_a_required_variable_that_is_missing(text: str, what: str) -> None:
    with pytest.raises(ComposeError) as caught:
        interpolate(text, VARIABLES)
    assert str(caught.value).endswith(f": {what}")


@pytest.mark.parametrize(
    ("text", "variables", "unset"),
    [
        ("plain $$ $1", (), ()),
        ("$B${A}$B", ("B", "A"), ("B", "A")),
        ("$SET ${A:-x} ${A-x} ${A:+x} ${A+x}", ("SET", "A"), ()),
        ("${A:-$B}", ("A", "B"), ("B",)),
        ("${SET:-$B}", ("SET",), ()),
        ("$EMPTY", ("EMPTY",), ()),
    ],
)
def test_names_what_was_looked_up_and_what_is_unset(
    text: str, variables: tuple[str, ...], unset: tuple[str, ...]
) -> None:
    result = interpolate(text, VARIABLES)
    assert result.variables == variables
    assert result.unset == unset


def test_a_long_text_is_cut_around_the_fault() -> None:
    with pytest.raises(ComposeError) as caught:
        interpolate("a" * 1000 + "\n${!}" + "b" * 1000, {})
    message = str(caught.value)
    assert "\\n${!}b" in message
    assert message.endswith("…, character 1004: no variable's name after ${")
    assert message.isprintable()
    assert len(message) < 250


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (38, 78, "{whole}"),
        (39, 78, "…{but_the_first}"),
        (38, 79, "{but_the_last}…"),
        (39, 79, "…{but_both}…"),
    ],
)
def test_so_much_is_shown_around_a_fault(before: int, after: int, shown: str) -> None:
    text = "<" + "a" * (before - 1) + "${!}" + "b" * (after - 1) + ">"
    with pytest.raises(ComposeError) as caught:
        interpolate(text, {})
    excerpt = shown.format(
        whole=repr(text),
        but_the_first=repr(text[1:]),
        but_the_last=repr(text[:-1]),
        but_both=repr(text[1:-1]),
    )
    assert str(caught.value) == f"{excerpt}, character {before + 3}: no variable's name after ${{"


@pytest.mark.parametrize("length", [199, 200, 201])
def test_so_much_of_a_message_is_shown(length: int) -> None:
    with pytest.raises(ComposeError) as caught:
        interpolate("${UNSET?$M}", {"M": "m" * length})
    told = "required variable UNSET is not set: " + "m" * min(length, 200)
    assert str(caught.value) == f"'${{UNSET?$M}}', character 1: {told}"


@pytest.mark.parametrize("depth", [49, 50, 51])
def test_depth_of_messages_is_bounded(depth: int) -> None:
    text = "${A?" * depth + "m" + "}" * depth
    told = "required variable A is not set: m" if depth <= 50 else "more than 50 expressions within"
    with pytest.raises(ComposeError, match=f": {told}"):
        interpolate(text, {})


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> str:
        return "${A:-" * depth + "x" + "}" * depth

    assert interpolate(nested(interpolation.DEEPEST), {}).text == "x"
    for depth in (interpolation.DEEPEST + 1, 20_000):
        with pytest.raises(ComposeError, match="more than 50 expressions within each other"):
            interpolate(nested(depth), {})


def test_length_is_bounded() -> None:
    value = "x" * 1000
    fits = interpolation.LONGEST_RESULT // 1000
    assert len(interpolate("$A" * fits, {"A": value}).text) == fits * 1000
    with pytest.raises(ComposeError, match="more than 1048576 characters result"):
        interpolate("$A" * (fits + 2), {"A": value})
    most = "x" * interpolation.LONGEST_RESULT
    assert interpolate("$A", {"A": most}).text == most
    assert interpolate("$A$B", {"A": most[1:], "B": "x"}).text == most
    for text in ("$A$B", "$A.", "$B$A"):
        with pytest.raises(ComposeError, match="more than 1048576 characters result"):
            interpolate(text, {"A": most, "B": "x"})


@pytest.mark.parametrize("text", ["${A}" * 250_000, "{" * 10**6, "${A:-" + "{}" * 500_000 + "}"])
def test_time_is_linear_in_the_text(text: str) -> None:
    begin = time.process_time()
    interpolate(text, {})
    assert time.process_time() - begin < 5


pieces = st.sampled_from(
    ["$", "$$", "${", "}", "{", "A", "_B", "1", ":", "-", "?", "+", ":-", ":?", " ", "\n", "é"]
)
texts = st.lists(pieces, max_size=25).map("".join) | st.text()
variables = st.dictionaries(st.sampled_from(["A", "_B", "A1"]), st.text(max_size=5))


@given(texts, variables)
def test_any_text_is_interpolated_or_refused(text: str, variables: dict[str, str]) -> None:
    try:
        result = interpolate(text, variables)
    except ComposeError as error:
        message = str(error)
    else:
        message = ""
        assert set(result.unset) <= set(result.variables) - set(variables)
    assert message.isprintable()


@given(st.text().filter(lambda text: "$" not in text), variables)
def test_text_without_dollar_is_unchanged(text: str, variables: dict[str, str]) -> None:
    assert interpolate(text, variables) == interpolation.Interpolated(text, (), ())


@given(st.text())
def test_doubled_dollars_give_any_text_back(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), {}).text == text
