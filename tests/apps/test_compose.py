import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.apps import compose
from layerscan.errors import ComposeError
from tests.builders.compose_apps import HEX, fault, image_texts, one_app, only


def test_the_image_of_each_service(tmp_path: Path) -> None:
    text = f"""
version: "3.8"
x-base: &base
  restart: always
  image: base:1
services:
  web:
    image: nginx:1.25
    build: .
    command: ["echo", "${{NOT_LOOKED_AT:?}}"]
  merged:
    <<: *base
  own:
    <<: [*base, {{image: never}}]
    image: own:2
  variable: {{image: "${{NAME:-none}}:$TAG"}}
  pinned: {{image: 'a/b@sha256:{HEX}'}}
  tagged: {{image: !override over:1, ports: !reset []}}
  gone: !reset null
  sixty: {{image: 1:20}}
  bool: {{image: yes}}
  quoted: {{image: '12'}}
  number: {{image: !!str 12}}
"""
    app = one_app(tmp_path, text)
    assert image_texts(app, {"TAG": "7"}) == {
        "bool": "yes",
        "merged": "base:1",
        "number": "12",
        "own": "own:2",
        "pinned": f"a/b@sha256:{HEX}",
        "quoted": "12",
        "sixty": "1:20",
        "tagged": "over:1",
        "variable": "none:7",
        "web": "nginx:1.25",
    }


def test_merges_have_the_precedence_of_yaml(tmp_path: Path) -> None:
    text = """
x-a: &a {image: a}
x-b: &b {image: b}
x-ab: &ab {<<: [*a, *b]}
x-empty: &empty {restart: always}
x-services: &more {merged: {image: m}, web: {image: never}}
services:
  <<: *more
  web: {image: w}
  first: {<<: [*a, *b]}
  second: {<<: [*empty, *b, *a]}
  deep: {<<: [*ab, *b]}
"""
    assert image_texts(one_app(tmp_path, text)) == {
        "deep": "a",
        "first": "a",
        "merged": "m",
        "second": "b",
        "web": "w",
    }


WRONG = [
    ("", ": is empty"),
    ("# nothing", ": is empty"),
    ("[]", ":1: the file: must be a mapping"),
    ("text", ":1: the file: must be a mapping"),
    ("name: x", ": has no services"),
    ("~", ": is empty"),
    ("services:", ": has no services"),
    ("services: {}", ": has no services"),
    ("services: {a: !reset null}", ": has no services"),
    ("services: [a]", ":1: services: must be a mapping"),
    ("services: &a [*a]", ":1: *a refers to no earlier value"),
    ("services: {a: &a {<<: *a}}", ":1: *a refers to no earlier value"),
    ("services:\n  a: x", ":2: service a: must be a mapping"),
    ("services:\n  a:", ":2: service a has no image"),
    ("services:\n  a: {}", ":2: service a has no image"),
    ("services:\n  a: {image: }", ":2: service a has no image"),
    (
        "services:\n  a: {build: .}",
        ":2: service a has no image: name the image that its build gives",
    ),
    (
        "services:\n  a: {extends: b}",
        ":2: service a has no image: extends is not followed, name the image here",
    ),
    ("services:\n  a:\n    image: [x]", ":3: service a: image must be a string"),
    ("services:\n  a:\n    image: 5", ":3: service a: image must be a string"),
    ("services:\n  a:\n    image: true", ":3: service a: image must be a string"),
    ("services:\n  a: {<<: x}", ":2: << takes mappings only"),
    ("services:\n  a: {<<: [[]]}", ":2: << takes mappings only"),
    (
        'services:\n  "a\\nb": {image: x}',
        ":2: 'a\\nb' is no service name (letters, digits, . _ -)",
    ),
    ('services:\n  "": {image: x}', ":2: '' is no service name (letters, digits, . _ -)"),
    ("services: {a: {provider: ~}}", ":1: service a has no image"),
    ("services: {a: {provider: {type: x}}}", ": has no services"),
    (
        "services:\n  a:\n    image: x\n    volumes:\n    - type: image",
        ":5: service a: a volume that is an image must have it as its source",
    ),
    ("a: 1\nb: {c: 1, c: 2}", ":2: key 'c' is there already, at line 2"),
    ("services:\n  a: {image: x}\n  a: {image: y}", ":3: key 'a' is there already, at line 2"),
    ("a: &a {}\nb: {<<: *a, <<: *a}", ":2: key '<<' is there already, at line 2"),
    ("? [a]\n: {b: 1, 'b': 2}", ":2: key 'b' is there already, at line 2"),
    ("services:\n  a: {image: *none}", ":2: *none refers to no earlier value"),
    ("a: 1\n---\nb: 1", ":2: has a second document"),
    ("a: [\nb: }", ":2: is no YAML: did not find expected node content"),
    ("a: \x01", ": is no YAML: control characters are not allowed"),
    (b"a: \xff", ": is not UTF-8 at byte 3"),
    (
        "services:\n  web:\n    image: a:${TAG:?set TAG}",
        (
            ":3: service web: image 'a:${TAG:?set TAG}', character 3:"
            " required variable TAG is not set: set TAG"
        ),
    ),
    (
        "services:\n  web:\n    image: a:${TAG",
        ":3: service web: image 'a:${TAG', character 3: no closing brace for this ${",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_compose_file_is_named_with_line_and_service(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert fault(one_app(tmp_path, text)) == "docker-compose.yml" + message


@pytest.mark.parametrize("length", [79, 80, 81])
@pytest.mark.parametrize(
    ("more", "service", "message"),
    [
        ("!", "{image: x}", "{name!r} is no service name (letters, digits, . _ -)"),
        ("", "", "service {name} has no image"),
        ("", "{}", "service {name} has no image"),
        ("", "x", "service {name}: must be a mapping"),
        ("", "{image: 5}", "service {name}: image must be a string"),
    ],
)
def test_so_much_of_a_service_s_name_is_shown(
    length: int, more: str, service: str, message: str
) -> None:
    name = "n" * (length - len(more)) + more
    with pytest.raises(ComposeError) as caught:
        compose.read_services(f"services:\n  {name}: {service}\n", "f")
    assert str(caught.value) == f"f:2: {message.format(name=name[:80])}"


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    assert image_texts(one_app(tmp_path, b"\xef\xbb\xbf" + only("x").encode())) == {"web": "x"}


def many_merges() -> str:
    chain = "".join(f"b{n}: &b{n} {{<<: *b{n - 1}}}\n" for n in range(1, 20_000))
    services = "".join(f"  s{n}: *b19999\n" for n in range(20_000))
    return f"b0: &b0 {{}}\n{chain}services:\n{services}"


def wide_merges() -> str:
    wide = ", ".join(f"k{n}: 1" for n in range(30_000))
    services = "".join(f"  s{n}: {{<<: *b}}\n" for n in range(20_000))
    return f"b: &b {{{wide}, image: x}}\nservices:\n{services}"


TOO_MUCH = "its aliases make too much of it"
DOUBLING_MERGES = "\n".join(
    ["b0: &b0 {image: x}"]
    + [f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, 60)]
    + ["services: {web: {<<: [*b59, *b59]}}"]
)
DOUBLING_ALIASES = "\n".join(
    ["b0: &b0 [x]"]
    + [f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}]" for n in range(1, 60)]
    + ["services: {web: {image: x, environment: *b59}}"]
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(DOUBLING_MERGES, TOO_MUCH, id="doubling merges"),
        pytest.param(DOUBLING_ALIASES, TOO_MUCH, id="doubling aliases"),
        pytest.param(wide_merges(), TOO_MUCH, id="wide mapping merged often"),
        pytest.param(many_merges(), "is nested too deeply", id="long chain"),
        pytest.param("[" * 900_000, "exceeded maximum nesting depth", id="deep flow"),
        pytest.param("- " * 400_000, "is nested too deeply", id="deep block"),
        pytest.param("a" * 2**20 + "a", "is longer than 1048576 bytes", id="long"),
    ],
)
def test_a_bomb_takes_little_time(tmp_path: Path, text: str, expected: str) -> None:
    app = one_app(tmp_path, text)
    begin = time.process_time()
    assert expected in fault(app)
    assert time.process_time() - begin < 10


def test_without_libyaml_deep_nesting_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("yaml.CSafeLoader")
    assert fault(one_app(tmp_path, "[" * 5_000)) == "docker-compose.yml:1: is nested too deeply"
    app = one_app(tmp_path, "services:\n  a: {image: x}\n  a: {image: y}")
    assert fault(app) == "docker-compose.yml:3: key 'a' is there already, at line 2"


# fmt: off
yaml_pieces = st.sampled_from([
    "services:", "web:", "image:", "x", "\n", "  ", " ", "{", "}", "[", "]", ",", "&a ", "*a",
    "<<:", "!reset ", "!!binary ", "'", '"', "${A", "$", "|", "- ", "? ", "\x00", "é", "%", "#",
])
# fmt: on


@given(st.lists(yaml_pieces, max_size=30).map("".join) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        services = compose.read_services(text, "file.yml")
    except ComposeError as error:
        message = str(error)
    else:
        message = "file.yml:"
        assert services
    assert message.startswith("file.yml:")
    assert message.isprintable()
