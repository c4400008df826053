"""The patterns of ``.composeappignores``, by the rules of ``.dockerignore``."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.apps import ignore
from layerscan.apps.ignore import IgnoreRules
from layerscan.errors import ComposeError


def ignored(text: str, *paths: str) -> list[str]:
    rules = IgnoreRules(text, "f")
    return [path for path in paths if rules.ignores(path)]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        # From the App's folder on.
        ("a", "a a/b a/b/c", "b/a ab A"),
        ("/a", "a a/b", "b/a"),
        ("a/", "a a/b", "b/a"),
        ("./a", "a", "b/a"),
        ("a/../b", "b b/c", "a"),
        ("a//b", "a/b a/b/c", "a b"),
        ("a/b", "a/b a/b/c", "a b a/c/b"),
        ("../a", "", "a"),
        ("  a  ", "a", "b"),
        (".", "", "a"),
        ("/", "", "a"),
        # Within one name.
        ("*", "a a/b .hidden", ""),
        ("*.md", "a.md .md a.md/x", "a.mdx x/a.md"),
        ("a*", "a ab a.b abc/d", "b/a ba"),
        ("*/a", "x/a y/a/b", "a x/y/a"),
        ("*/temp*", "x/temp x/temporary.txt x/temp/y", "temp x/y/temp"),
        ("*/*/temp*", "x/y/temporary.txt", "temp x/temp"),
        ("temp?", "tempa temp1 tempb/c", "temp tempab x/tempa"),
        ("a*b*c", "abc axbxc aXbYcZc a-b-b-c", "ab acb abcd"),
        ("*a*a*b", "aab xaxaxb", "ab aba"),
        # Over any number of folders.
        ("**", "a a/b a/b/c", ""),
        ("**/a", "a x/a x/y/a x/a/z", "xa x/xa"),
        ("**/*.go", "a.go x/a.go x/y/a.go", "a.gox"),
        ("a/**", "a/b a/b/c", "a b a.b"),
        ("a/**/b", "a/b a/x/b a/x/y/b a/x/b/z", "a/xb ab x/a/b"),
        ("**/a/**/b", "a/b x/a/b x/a/y/z/b", "a b b/a"),
        ("**/**/a", "a x/y/a", "b"),
        ("***/a", "a x/y/a", "b"),
        ("a**", "a ab a/b abc/d", "ba"),
        ("a**b", "ab ax/b ax/y/b a/b", "axb"),
        ("**a", "a x/a x/y/a", "xa"),
        # Classes and escapes.
        ("[abc]", "a b c", "d ab"),
        ("[a-c]x", "ax cx", "dx x"),
        ("[^a-c]x", "dx -x", "ax"),
        ("[!a]x", "!x ax", "bx"),
        ("[a\\-c]x", "ax -x cx", "bx"),
        (r"[\]a]x", "]x ax", "bx"),
        ("\\*", "*", "a"),
        ("a\\?", "a?", "ab"),
        ("\\#a", "#a", "a"),
        ("a.b", "a.b", "axb"),
        ("a+(b)|$^", "a+(b)|$^", "aab"),
        # Comments and blanks.
        ("# a", "", "a #"),
        (" # a", "", "a"),
        ("", "", "a"),
        ("\ufeffa", "a", "b"),
    ],
)
def test_a_pattern(pattern: str, matching: str, others: str) -> None:
    yes, no = matching.split(), others.split()
    assert ignored(pattern, *yes, *no) == yes


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("*.md\n!README.md", "a.md", "README.md"),
        ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md README-x.md"),
        ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README.md README-secret.md"),
        ("*\n!a", "b b/a", "a a/b"),
        ("a\n!a/b", "a a/c", "a/b a/b/c"),
        ("a\n! a/b", "a", "a/b"),
        ("!a\na", "a", ""),
        ("!a", "", "a"),
        ("**\n!**/*.yml", "a x/a", "a.yml x/a.yml"),
        ("a\r\nb\r\n", "a b", "c"),
    ],
)
def test_the_last_pattern_that_matches_decides(text: str, matching: str, others: str) -> None:
    yes, no = matching.split(), others.split()
    assert ignored(text, *yes, *no) == yes


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("!", "no pattern after !"),
        ("! ", "no pattern after !"),
        ("[a", "no ] for its ["),
        ("[]", "no ] for its ["),
        ("[a/b]", "no ] for its ["),
        ("[z-a]", "[z-a] is no range of characters"),
        ("a\\", "nothing after \\"),
        ("a**b**c", "more than one ** in one name"),
        ("a**b/" * 9 + "c", "** within too many names"),
    ],
)
def test_a_malformed_pattern_names_its_line(pattern: str, reason: str) -> None:
    with pytest.raises(ComposeError) as caught:
        IgnoreRules(f"a\n{pattern}\n", "f")
    assert str(caught.value) == f"f:2: {pattern}: {reason}"


def test_a_pattern_that_can_be_read_in_many_ways() -> None:
    assert ignored("a**b/" * 8 + "c", "ab/" * 8 + "c", "a/b/" * 8 + "c/d", "ab/" * 7 + "c") == [
        "ab/" * 8 + "c",
        "a/b/" * 8 + "c/d",
    ]


def test_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ignore, "MOST_PATTERNS", 2)
    assert ignored("a\nb", "a", "b", "c") == ["a", "b"]
    with pytest.raises(ComposeError, match="f: has more than 2 lines"):
        IgnoreRules("a\nb\nc", "f")


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "**/a/" * 100 + "b", "a*" * 120 + "[b]"])
def test_no_pattern_takes_long(pattern: str) -> None:
    begun = time.process_time()
    assert ignored(pattern, "a" * 255, "/".join("a" * 1000)) == []
    assert time.process_time() - begun < 2


def plain_rule(pattern: str, path: str) -> bool:
    """The rule as one regular expression, which is what Docker makes of it."""
    expression, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            expression, position = expression + "(?:.*/)?", position + 3
        elif rest == "**":
            expression, position = expression + ".*", position + 2
        elif rest.startswith("**"):
            expression, position = expression + "(?:.*/)?", position + 2
        else:
            piece = {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
            expression, position = expression + piece, position + 1
    parents = itertools.accumulate(path.split("/"), lambda one, other: f"{one}/{other}")
    return any(re.fullmatch(expression, parent) for parent in parents)


NAMES = st.sampled_from(["a", "b", "ab", "*", "?", "a*", "*b", "a*b", "**", "a?", "**a", "b**a"])
PATHS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


@given(st.lists(NAMES, min_size=1, max_size=4).map("/".join), PATHS)
def test_any_pattern_is_read_as_docker_reads_it(pattern: str, path: str) -> None:
    assert IgnoreRules(pattern, "f").ignores(path) == plain_rule(pattern, path), (pattern, path)
