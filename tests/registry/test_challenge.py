"""The header WWW-Authenticate: which challenges it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.registry.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ('Bearer realm="https://a/t",service="b",scope="r:x:pull,push"',
         [("bearer", {"realm": "https://a/t", "service": "b", "scope": "r:x:pull,push"})]),
        ("Basic", [("basic", {})]),
        ("BASIC realm=x", [("basic", {"realm": "x"})]),
        ('Negotiate abc==, Basic realm="a \\"b\\", c=d" , Bearer Realm = "e"',
         [("negotiate", {}), ("basic", {"realm": 'a "b", c=d'}), ("bearer", {"realm": "e"})]),
        ("Negotiate, Basic", [("negotiate", {}), ("basic", {})]),
        ('Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
         [("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
          ("basic", {"realm": "simple"})]),
        (',, Bearer  realm="a", ,service=b ,', [("bearer", {"realm": "a", "service": "b"})]),
        ('Bearer realm="a', [("bearer", {}), ("realm", {})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ("", []),
        ("   ", []),
        ("{}", []),
    ],
)  # fmt: skip
def test_challenges_are_read_as_rfc_9110_has_them(
    header: str, challenges: list[tuple[str, dict[str, str]]]
) -> None:
    found = parse_challenges([header])
    if header.count('"') % 2:
        found, challenges = found[:1], challenges[:1]
    assert found == [Challenge(scheme, parameters) for scheme, parameters in challenges]


def test_several_headers_are_several_challenges() -> None:
    found = parse_challenges(["Basic", "Bearer realm=x"])
    assert [one.scheme for one in found] == ["basic", "bearer"]


NAMES = st.from_regex(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(
    st.lists(
        st.tuples(NAMES, st.dictionaries(NAMES.map(str.lower), VALUES, min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_as_challenges_is_read_as_them(
    challenges: list[tuple[str, dict[str, str]]],
) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges([header]) == [
        Challenge(scheme.lower(), parameters) for scheme, parameters in challenges
    ]


@given(st.text(max_size=60))
def test_any_header_is_read_without_an_error(header: str) -> None:
    assert all(challenge.scheme for challenge in parse_challenges([header]))
