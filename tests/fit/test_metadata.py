"""Layers metadata as the two clients read it: what their decoders make of odd documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.errors import DocumentError
from layerscan.fit import go_metadata, jsoncpp, skopeo_metadata
from layerscan.fit.figures import ClientLayer as Found
from layerscan.fit.figures import Metadata, archive_sizes
from layerscan.fit.verdict import Missing
from tests.builders.bounds_case import refused_if
from tests.builders.fit_apps import Layer

NOTHING = Found()
A, B = (Layer(name).digest for name in "ab")

# Go's decoder.


def test_what_is_not_said_of_a_layer() -> None:
    assert NOTHING == (0, None)
    assert archive_sizes({A: Found(5, 0), B: Found(0, 7)}, "m") == {A: 0, B: 7}


def one(text: str) -> dict[str, Found] | None:
    """What is read of the layers of arm64, None where nothing is; and no fault."""
    found = go_metadata.read(text.encode(), "m")
    assert found.fault is None
    return dict(found.architectures["arm64"]) if "arm64" in found.architectures else None


def layer(text: str) -> str:
    return f'{{"arm64": {{"fs_block_size": 4096, "layers": {{"{A}": {text}}}}}}}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (layer('{"usage": 7, "archive_size": 3, "size": 1}'), {A: Found(7, 3)}),
        (layer("{}"), {A: NOTHING}),
        (layer("null"), {A: NOTHING}),
        (layer('{"usage": null, "archive_size": null}'), {A: NOTHING}),
        (layer('{"usage": -7}'), {A: Found(-7)}),
        (layer('{"usage": -0}'), {A: NOTHING}),
        (layer(f'{{"usage": {-(2**63)}}}'), {A: Found(-(2**63))}),
        (layer('{"USAGE": 7, "Archive_Size": 3}'), {A: Found(7, 3)}),
        # Letters that fold to s and k.
        (layer('{"u\\u017fage": 7, "archive_\\u017fize": 3}'), {A: Found(7, 3)}),
        # The last counts, but for null, which leaves what is there.
        (layer('{"usage": 7, "usage": 8}'), {A: Found(8)}),
        (layer('{"usage": 7, "Usage": 8}'), {A: Found(8)}),
        (layer('{"usage": 7, "usage": null}'), {A: Found(7)}),
        (layer(f'{{"usage": 7}}, "{A}": {{}}'), {A: NOTHING}),
        ('{"arm64": null}', {}),
        ('{"arm64": {}}', {}),
        ('{"arm64": {"layers": null}}', {}),
        ('{"arm64": {"layers": {"no digest": {"usage": 1}}}}', {"no digest": Found(1)}),
        # A map that is given twice is filled twice; null empties it.
        (f'{{"arm64": {{"layers": {{"{A}": {{}}}}, "Layers": {{"{B}": {{}}}}}}}}',
         {A: NOTHING, B: NOTHING}),
        (f'{{"arm64": {{"layers": {{"{A}": {{}}}}, "layers": null}}}}', {}),
        (f'{{"arm64": {{"layers": {{"{A}": {{}}}}}}, "arm64": {{}}}}', {}),
        ('{"amd64": {}}', None),
        ('{"ARM64": {}}', None),
        ("{}", None),
        ("null", None),
    ],
)  # fmt: skip
def test_what_go_makes_of_a_document(text: str, found: dict[str, Found] | None) -> None:
    assert one(text) == found


@pytest.mark.parametrize(
    ("text", "found", "fault"),
    [
        (layer('{"usage": "7"}'), {A: NOTHING}, "usage: must be an integer"),
        (layer('{"usage": 7.0}'), {A: NOTHING}, "usage: must be an integer"),
        (layer('{"usage": 7e1}'), {A: NOTHING}, "usage: must be an integer"),
        (layer('{"usage": true}'), {A: NOTHING}, "usage: must be an integer"),
        (layer(f'{{"usage": {2**63}}}'), {A: NOTHING}, f"usage: must be at most {2**63 - 1}"),
        (layer('{"usage": 7, "size": "x"}'), {A: Found(7)}, "size: must be an integer"),
        (layer('{"archive_size": [], "usage": 7}'), {A: Found(7)}, "must be an integer"),
        (layer('{"usage": 7, "usage": "8"}'), {A: Found(7)}, "must be an integer"),
        (layer("7"), {A: NOTHING}, "must be an object"),
        (layer(f'7, "{B}": {{"usage": 9}}'), {A: NOTHING, B: Found(9)}, "must be an object"),
        ('{"arm64": {"layers": []}}', {}, "$.arm64.layers: must be an object"),
        ('{"arm64": "x"}', {}, "$.arm64: must be an object"),
        ('{"arm64": {"fs_block_size": 4e3, "layers": {"x": {"usage": 1}}}}', {"x": Found(1)},
         "$.arm64.fs_block_size: must be an integer"),
        # Of another architecture, before and after it.
        ('{"amd64": 7, "arm64": {"layers": {"x": null}}}', {"x": NOTHING}, "$.amd64: must be"),
        ('{"arm64": {"layers": {"x": null}}, "z": {"layers": 7}}', {"x": NOTHING}, "$.z.layers:"),
        ("[]", None, "$: must be an object"),
        ('"x"', None, "$: must be an object"),
        # What is not JSON gives nothing, also what comes before the fault.
        ('{"arm64": {"layers": {}}', None, "is not JSON"),
        ('{"arm64": {"layers": {},}}', None, "is not JSON"),
        ('{"arm64": {"layers": {"x": {"usage": NaN}}}}', None, "is not JSON"),
        ("", None, "is not JSON"),
        ("[" * 100_000, None, "is nested too deeply"),
    ],
)  # fmt: skip
def test_go_keeps_what_it_can_decode(text: str, found: dict[str, Found] | None, fault: str) -> None:
    read = go_metadata.read(text.encode(), "m")
    assert read.fault is not None
    assert fault in str(read.fault)
    assert read.architectures.get("arm64") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "m: $: must be an object"),
        ("{", "m: is not JSON"),
        ('{"amd64": 7}', 'm: has no arm64; it has: "amd64"'),
        ('{"amd64": {}, "386": {}}', 'm: has no arm64; it has: "386", "amd64"'),
        ("{}", "m: has no arm64; it has: none"),
    ],
)
def test_architecture_that_go_does_not_find(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        go_metadata.read(text.encode(), "m").layers("arm64", "m")
    assert str(caught.value).startswith(message)


def test_bytes_that_are_no_text_are_a_letter_to_go() -> None:
    found = go_metadata.read(b'{"arm64": {"layers": {"\xff": {"usage": 1}}}}', "m")
    assert found == ({"arm64": {"\ufffd": Found(1)}}, None)


# jsoncpp.

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=5),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(values, st.booleans())
def test_plain_json_is_what_python_reads(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    text = json.dumps(value, ensure_ascii=ascii_only)
    plain = jsoncpp.decode_until_fault(text.encode(), "m")
    assert plain == value
    # And so by the decoder that is there for what is not plain.
    assert jsoncpp.decode_until_fault(f"/**/{text} // end".encode(), "m") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("nul", None),
        ('{"a": 1', {"a": 1}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": 1, "b"', {"a": 1}),
        ('{"a": 1, "b":', {"a": 1, "b": None}),
        ('{"a": 1, b: 2}', {"a": 1}),
        ('{"a": {"b": [1, 2 3]}, "c": 4}', {"a": {"b": [1, 2]}}),
        ('{"a": 1 "b": 2}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2,]", [1, 2]),
        ('{"a": NaN, "b": 1}', {"a": None}),
        ('{"a": 1} {"b": 2}', {"a": 1}),
        ('{"a": 1, "a": 2,}', {"a": 2}),
        ("\ufeff[1]", [1]),
        ('{"a": "\\x"}', {"a": None}),
        ('{"a": 1, "b": "never ended', {"a": 1, "b": None}),
        ('{"a": 1, "never ended: 2}', {"a": 1}),
        ('{"a": "\n"}', {"a": "\n"}),
        ('{"a": 01, "b": 1., "c": 1e}', {"a": 1, "b": 1.0, "c": None}),
        ("/* never ended", None),
        (f"[{2**64}, {-(2**63) - 1}]", [float(2**64), float(-(2**63) - 1)]),
        (f"[{'9' * 5000}, 1]", [float("inf"), 1]),
    ],
)
def test_what_jsoncpp_makes_of_a_fault(text: str, value: object) -> None:
    assert jsoncpp.decode_until_fault(text.encode(), "m") == value


@pytest.mark.parametrize(
    "number", [0, 1, -1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19, -(10**18)]
)
def test_integers_of_64_bits_are_exact_and_others_are_not(number: int) -> None:
    fits = -(2**63) <= number < 2**64
    # With a comma too many it is the decoder for what is not plain.
    for text in (f"[{number}]", f"[{number},]"):
        found = jsoncpp.decode_until_fault(text.encode(), "m")
        assert repr(found) == repr([number if fits else float(number)])


def levels_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + levels_of(value["a"])
    return 1 + levels_of(value[0]) if isinstance(value, list) else 0


@pytest.mark.parametrize("levels", [399, 400, 401])
@pytest.mark.parametrize("level", ["[", '{"a":'])
def test_levels_until_a_fault_are_bounded(level: str, levels: int) -> None:
    raw = f"/**/{level * levels}".encode()
    with refused_if(levels > 400, DocumentError, "^m: is nested too deeply$"):
        assert levels_of(jsoncpp.decode_until_fault(raw, "m")) == levels


def test_bounds_of_both() -> None:
    for text in ("[" * 100_000, "/**/" + '{"a":' * 100_000, "[" * 200_000 + "]" * 200_000):
        with pytest.raises(DocumentError, match=r"^m: is nested too deeply$|^m: has so many"):
            jsoncpp.decode_until_fault(text.encode(), "m")


@pytest.mark.parametrize(("times", "size", "usage"), [(1, 3, 70), (2, 8, 160), (3, 15, 270)])
def test_figures_of_a_digest_that_is_there_several_times_are_added_up(
    times: int, size: int, usage: int
) -> None:
    # In capitals it is the same digest to the client.
    names = [A, A.upper().replace("SHA", "sha"), A.replace("sha", "SHA")][:times]
    layers = {
        name: {"archive_size": 3 + 2 * number, "usage": 70 + 20 * number}
        for number, name in enumerate(names)
    }
    document = {"arm64": {"layers": layers | {B: {"archive_size": 1, "usage": 2}}}}
    metadata = Metadata(json.dumps(document).encode(), "m")
    found = skopeo_metadata.precise(metadata, "arm64", lambda _: False)
    assert sorted(found) == sorted(
        (Missing(A, size, usage, estimated=False), Missing(B, 1, 2, estimated=False))
    )
