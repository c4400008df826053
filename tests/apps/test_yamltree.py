"""YAML as a tree: what a scalar, a key and a tag become when they are written again."""

from __future__ import annotations

import pytest

from layerscan.apps.yamltree import Mapping, Scalar, is_null, read_tree, write_tree
from layerscan.errors import ComposeError


def written(text: str) -> str:
    tree, _ = read_tree(text, "f")
    return write_tree(tree)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        # Tags.
        ("!!str 1", "!!str 1"),
        ("!reset []", "!reset []"),
        ("!re.se_t-2 x", "!re.se_t-2 x"),
        ("! 1", '"1"'),
        ("! [1]", "- 1"),
        ("!a!b x", None),
        ("!a/b x", "!<!a/b> x"),
        ("!<tag:e.org,2000:a/b_c> x", "!<tag:e.org,2000:a/b_c> x"),
        ("!<tag:yaml.org,2002:a/b> x", "!<tag:yaml.org,2002:a/b> x"),
        ("!<tag:e.org,2000:%C3%A9> x", "!<tag:e.org,2000:%C3%A9> x"),
        ("!<t:it's(1)*> x", "!<t:it's(1)*> x"),
        # Scalars: plain where they were, or where each reader has them for text.
        ("'yes'", '"yes"'),
        ("'yess'", "yess"),
        ("yes", "yes"),
        ("'1'", '"1"'),
        ("'a1'", "a1"),
        ("'1a'", '"1a"'),
        ("'éa'", '"éa"'),
        ("é", "é"),
        ("'-'", '"-"'),
        ("[-]", '- "-"'),
        ("-a", "-a"),
        ("?a", "?a"),
        (":a", ":a"),
        ("'a: b'", '"a: b"'),
        ("a:b", "a:b"),
        ("'a #b'", '"a #b"'),
        ("a#b", "a#b"),
        ("'a:'", '"a:"'),
        ("' a'", '" a"'),
        ("'a '", '"a "'),
        ("'---'", '"---"'),
        ("'...'", '"..."'),
        ("''", '""'),
        ("~", "~"),
        # Escapes.
        (r'"a\"\\\n\t\r"', r'"a\"\\\n\t\r"'),
        (r'"a\x07"', r'"a\u0007"'),
        (r'"a\u2028"', r'"a\u2028"'),
        (r'"a\U000E0001"', r'"a\U000e0001"'),
        (r'"a\U0000FFFF"', r'"a\uffff"'),
        (r'"a\U00010000"', "a\U00010000"),
        # Collections.
        ("{}", "{}"),
        ("[]", "[]"),
        ("[[], {}]", "- []\n- {}"),
        ("{b: 1, a: {c: 2}}", "a:\n  c: 2\nb: 1"),
        ("[[1, 2], {a: 3, b: 4}]", "- - 1\n  - 2\n- a: 3\n  b: 4"),
        ("!x {a: 1}", "!x\na: 1"),
        ("[!x [1]]", "- !x\n  - 1"),
        ("{? 'a\n\n  b' : [1]}", '"a\\nb":\n  - 1'),
        ("{? '' : {a: 1}}", '"":\n  a: 1'),
        ("{? : {a: 1}}", "?\n:\n  a: 1"),
        # Merges.
        ("{<<: {a: 1}, b: 2}", "a: 1\nb: 2"),
        ("{<<: [{a: 1}, {a: 2, b: 3}]}", "a: 1\nb: 3"),
        ("{'<<': {a: 1}}", '"<<":\n  a: 1'),
        ("{!!merge m: {a: 1}}", "a: 1"),
        ("{!!str <<: {a: 1}}", "!!str <<:\n  a: 1"),
        # Aliases.
        ("{a: &x [1], b: *x}", "a:\n  - 1\nb:\n  - 1"),
    ],
)
def test_what_is_written_again(text: str, again: str | None) -> None:
    if again is None:
        with pytest.raises(ComposeError, match="f:1: is no YAML"):
            written(text)
    else:
        assert written(text) == f"{again}\n"


@pytest.mark.parametrize("word", ["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
def test_a_text_that_readers_take_for_something_else_keeps_its_quotes(word: str) -> None:
    for text in (word, word.upper(), word.title()):
        assert written(f"'{text}'") == f'"{text}"\n'
        assert written(f"'{text}x'") == f"{text}x\n"


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("~", True),
        ("null", True),
        ("Null", True),
        ("NULL", True),
        ("nULL", False),
        ("''", False),
        ("'~'", False),
        ("!!null x", True),
        ("!!str ~", False),
        ("!!null []", True),
        ("[]", False),
    ],
)
def test_what_is_nothing(text: str, nothing: bool) -> None:  # noqa: FBT001
    tree, _ = read_tree(text, "f")
    assert is_null(tree) is nothing


@pytest.mark.parametrize(("head", "old"), [("", False), ("%YAML 1.1\n---\n", True)])
def test_version_that_a_text_says(head: str, old: bool) -> None:  # noqa: FBT001
    assert read_tree(f"{head}a: 1", "f")[1] is old


def test_lines_count_from_the_first() -> None:
    tree, _ = read_tree("a: x\nb:\n  - y\nc: {}\n", "f")
    assert isinstance(tree, Mapping)
    assert tree.line == 1
    assert {key: (name.line, node.line) for key, (name, node) in tree.entries.items()} == {
        "a": (1, 1),
        "b": (2, 3),
        "c": (4, 4),
    }


@pytest.mark.parametrize("length", [79, 80, 81])
def test_a_key_that_is_there_twice_is_shown_so_far(length: int) -> None:
    with pytest.raises(ComposeError) as caught:
        read_tree(f"{'k' * length}: 1\n{'k' * length}: 2\n", "f")
    shown = "k" * min(length, 80)
    assert str(caught.value) == f"f:2: key '{shown}' is there already, at line 1"


def test_mapping_with_another_entry() -> None:
    tree, _ = read_tree("{'b': 1, c: 2}", "f")
    assert isinstance(tree, Mapping)
    one = Scalar("1", plain=True)
    # The key stays as it was written; a new one is plain.
    assert write_tree(tree.having("b", one).having("1", one)) == "1: 1\nb: 1\nc: 2\n"
    assert write_tree(tree.without("b").without("z")) == "c: 2\n"
    assert (tree.get("b"), tree.get("z")) == (Scalar("1", plain=True, line=1), None)
