import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.errors import ReferenceSyntaxError
from layerscan.reference import Reference, parse

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

# What was typed, its full form, its familiar form.
READ = [
    ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
    ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
    ("docker.io/nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
    ("docker.io/library/nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
    ("library/nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
    ("index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
    ("index.docker.io/org/x:1", "docker.io/org/x:1", "org/x:1"),
    (f"org/x@{DIGEST}", f"docker.io/org/x@{DIGEST}", f"org/x@{DIGEST}"),
    (f"org/x:1@{DIGEST}", f"docker.io/org/x:1@{DIGEST}", f"org/x:1@{DIGEST}"),
    ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
    ("hub.foundries.io/f/app:7", "hub.foundries.io/f/app:7", "hub.foundries.io/f/app:7"),
    ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
    ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
    # Without a slash there is no registry: the colon begins a tag.
    ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ("example.com", "docker.io/library/example.com:latest", "example.com:latest"),
    ("Upper/x", "Upper/x:latest", "Upper/x:latest"),
    ("under_score/x", "docker.io/under_score/x:latest", "under_score/x:latest"),
    ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
    ("[2001:db8::1]/x:1", "[2001:db8::1]/x:1", "[2001:db8::1]/x:1"),
    ("a__b/c-d--e.f_g:T.a-g_", "docker.io/a__b/c-d--e.f_g:T.a-g_", "a__b/c-d--e.f_g:T.a-g_"),
    # Dropping docker.io here would name another registry, or an image id.
    ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
    ("docker.io/a.b/x", "docker.io/a.b/x:latest", "docker.io/a.b/x:latest"),
    (f"docker.io/{HEX}", f"docker.io/library/{HEX}:latest", f"{HEX}:latest"),
]

REFUSED = [
    ("", "it is empty"),
    (HEX, "64 hex digits are an image id"),
    ("org/Name", "'org/Name' must be lower case"),
    ("Name", "must be lower case"),
    ("x:", "'' is no tag"),
    ("x:" + "t" * 129, "is no tag"),
    ("x:-t", "'-t' is no tag"),
    ("x:a b", "'a b' is no tag"),
    ("x:é", "'é' is no tag"),
    ("x@", "'' is no digest"),
    (f"x@{DIGEST}0", "is no digest"),
    (f"x@{DIGEST.upper()}", "is no digest"),
    ("x@sha512:" + HEX, "is no digest"),
    (f"x@{DIGEST}@{DIGEST}", "is no digest"),
    (f"@{DIGEST}", "it has no repository name"),
    (":tag", "it has no repository name"),
    ("docker.io/", "it has no repository name"),
    ("a..b/c", "'a..b' is no registry name"),
    ("a//b", "'a//b' is no repository name"),
    ("/a", "'/a' is no repository name"),
    ("a/", "'a/' is no repository name"),
    ("-a", "is no repository name"),
    ("a___b", "is no repository name"),
    ("a b", "is no repository name"),
    ("http://host/x", "'http:' is no registry name"),
    ("host:port/x", "'host:port' is no registry name"),
    ("[::1/x", "is no registry name"),
    ("a.b/" + "x" * 256, "its repository is longer than 255 characters"),
    ("a." * 128 + "b/x", "its registry is longer than 255 characters"),
    ("nginx\n", "is no repository name"),
    ("nginx:1\n", "is no tag"),
    ("nginx\x1b[31m", "is no repository name"),
    ("host.io\n/x", "is no registry name"),
]


@pytest.mark.parametrize(("text", "full", "familiar"), READ)
def test_reads_as_docker_does(text: str, full: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert reference.repository == full.removesuffix(reference._suffix)


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_refuses_with_the_reason_on_one_bounded_line(text: str, why: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        parse(text)
    message = str(caught.value)
    assert why in message
    assert message.startswith(f"no image reference: {text[:100]!r}")
    assert message.isprintable()
    assert len(message) < 450


def test_default_tag_is_optional_and_only_for_bare_names() -> None:
    assert parse("nginx", default_tag=False) == Reference("docker.io", "library/nginx", None, None)
    assert parse("nginx:1", default_tag=False) == parse("nginx:1")
    assert parse(f"nginx@{DIGEST}").tag is None
    assert parse(f"docker.io/library/{HEX}", default_tag=False).familiar == (
        f"docker.io/library/{HEX}"
    ).replace("library/", "")


def test_with_tag_keeps_the_rest_and_checks_the_tag() -> None:
    assert str(parse("nginx:1").with_tag("2")) == "docker.io/library/nginx:2"
    assert str(parse(f"a/b@{DIGEST}").with_tag("2")) == f"docker.io/a/b:2@{DIGEST}"
    with pytest.raises(ReferenceSyntaxError, match=r"'a\\nb' is no tag"):
        parse("nginx").with_tag("a\nb")


@pytest.mark.parametrize(
    "parts",
    [
        ("docker.io", "library/nginx\n", None, None),
        ("docker.io\n", "library/nginx", None, None),
        ("", "nginx", None, None),
        ("docker.io", "", None, None),
        ("docker.io", "nginx", "", None),
        ("docker.io", "nginx", None, ""),
    ],
)
def test_the_constructor_checks_too(parts: tuple[str, str, str | None, str | None]) -> None:
    with pytest.raises(ReferenceSyntaxError):
        Reference(*parts)


def test_order_is_total_with_missing_parts_first() -> None:
    expected = [
        parse("a/a", default_tag=False),
        parse(f"a/a@{DIGEST}"),
        parse("a/a:1"),
        parse(f"a/a:1@{DIGEST}"),
        parse("a/b", default_tag=False),
        parse("z.io/a"),
    ]
    for order in itertools.permutations(expected):
        assert sorted(order) == expected
    for first, second in itertools.combinations(expected, 2):
        assert first < second
        assert second >= first
        assert first != second
    with pytest.raises(TypeError):
        sorted([expected[0], "text"])  # type: ignore[type-var]


names = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,5}){0,2}", fullmatch=True)
registries = st.sampled_from(["docker.io", "localhost", "a.io:5000", "[::1]:80", "UP"])
references = st.builds(
    Reference,
    registries,
    # Docker has no one-part names on docker.io: "x" there means "library/x".
    st.lists(names, min_size=2, max_size=3).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    st.none() | st.just(DIGEST),
)


@given(references)
def test_both_forms_read_back_as_the_same_reference(reference: Reference) -> None:
    assert parse(str(reference), default_tag=False) == reference
    assert parse(reference.familiar, default_tag=False) == reference


@given(st.text() | st.text("aA0:/@._-[]\n\x00 ", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except ReferenceSyntaxError as error:
        message = str(error)
    else:
        message = ""
        assert str(reference).isascii()
        assert str(reference).isprintable()
        assert parse(str(reference)) == reference
    assert message.isprintable()
