"""The pinned Compose file, against two readers that are not ours."""

import hashlib
import io
import random
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from layerscan.apps import yamltree
from layerscan.apps.pinning import CONFIG_HASH_LABEL, pin
from layerscan.errors import ComposeError
from tests.builders.compose_apps import HEX

IMAGE = f"registry.example/acme/web@sha256:{HEX}"
RICH = """\
# Comments go.
version: "3.8"
x-logging: &logging
  driver: json-file
  options: {max-size: 10m, max-file: "3"}
x-base: &base
  build: {context: ., args: [A=1]}
  restart: unless-stopped
  labels: &labels
    team: fleet
    io.compose-spec.config-hash: old
  environment: &environment {A: 1, B: yes, C: 0o14, D: 014, E: 1e3, F: ~, G: , H: "no"}
services:
  web:
    <<: *base
    image: "acme/web:${TAG:-7}"
    logging: *logging
    ports: [22:22, "8080:80", 3000-3005, 127.0.0.1:53:53/udp, 1:30]
    volumes:
      - ./conf:/etc/conf:ro
      - type: bind
        source: ${DATA?where}
        target: /data
    env_file: [.env, {path: more.env, required: false}]
    profiles: [debug]
    command: >
      sh -c "exec
      web --quiet"
    entrypoint: |
      one
        two

    healthcheck: {test: ["CMD", "true"], interval: 1m30s, start_period: 1_0}
    environment:
      <<: [*environment, {Z: 2001-12-14, A: lower}]
      A: 'it''s "mine" # not a comment'
    x-unknown: {"key: odd": [[1, [2]], {}, [], -, '?', "- x", "é 😀 \\t \\u2028", .5, 0x1F]}
    deploy: {resources: {limits: {cpus: '0.50', memory: 50M}}}
  db:
    image: acme/db
    build: .
    labels: ["a=b", "io.compose-spec.config-hash=old", "a=c"]
    ports: !reset []
    networks: !override [back]
    tmpfs: !!str 10
  gone: !reset
    image: acme/gone
networks:
  back:
secrets: {key: {file: ./key}}
"""


class Tagged(yaml.SafeLoader):
    """A reader of YAML 1.1 that keeps tags it does not know beside their values."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return suffix, loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return suffix, loader.construct_mapping(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return suffix, loader.construct_scalar(node)


Tagged.add_multi_constructor("!", _tagged)


def old_reader(text: str) -> Any:  # noqa: ANN401 - YAML
    return yaml.load(text, Loader=Tagged)  # noqa: S506 - a safe loader


def new_reader(text: str) -> Any:  # noqa: ANN401 - YAML
    reader = YAML(typ="safe", pure=True)
    # Resets and overrides are tags that it must be told of.
    reader.constructor.add_multi_constructor("!", lambda _, tag, node: (tag, _plain(node)))
    return reader.load(io.StringIO(text))


def _plain(node: Any) -> object:  # noqa: ANN401 - ruamel's node
    if isinstance(node.value, str):
        return node.value
    return [
        [_plain(part) for part in entry] if isinstance(entry, tuple) else _plain(entry)
        for entry in node.value
    ]


READERS = [old_reader, new_reader]


def pinned(text: str, *services: str) -> str:
    names = services or tuple(old_reader(text)["services"])
    return pin(text, "f.yml", dict.fromkeys(names, IMAGE)).decode()


def expected(document: Any) -> Any:  # noqa: ANN401 - YAML
    """What is left of a document as a reader has it, but for images and hashes."""
    for name, service in document["services"].items():
        if not isinstance(service, dict):  # one that is reset
            continue
        service.pop("build", None)
        service.pop("image")
        labels = service.pop("labels", None) or {}
        kept: list[str] | dict[str, str]
        if isinstance(labels, list):
            kept = [label for label in labels if not label.startswith(CONFIG_HASH_LABEL + "=")]
        else:
            kept = {key: value for key, value in labels.items() if key != CONFIG_HASH_LABEL}
        document["services"][name] = service | ({"labels": kept} if kept else {})
    return document


@pytest.mark.parametrize("reader", READERS)
def test_all_but_image_build_and_label_is_as_before(reader: Any) -> None:  # noqa: ANN401
    assert expected(reader(pinned(RICH))) == expected(reader(RICH))


@pytest.mark.parametrize("reader", READERS)
def test_image_and_hash_are_there_and_no_build(reader: Any) -> None:  # noqa: ANN401
    services = reader(pinned(RICH))["services"]
    for name in ("web", "db"):
        assert services[name]["image"] == IMAGE
        assert "build" not in services[name]
    (config_hash,) = [
        label.partition("=")[2] for label in services["db"]["labels"] if label.startswith("io.")
    ]
    assert services["db"]["labels"][:2] == ["a=b", "a=c"]
    for found in (config_hash, services["web"]["labels"][CONFIG_HASH_LABEL]):
        assert re.fullmatch("[0-9a-f]{64}", found)


def test_the_hash_is_that_of_the_service_as_it_is_written() -> None:
    text = pinned("services: {web: {image: a, ports: [22:22], build: .}}")
    service = f"image: {IMAGE}\nports:\n  - 22:22\n"
    config_hash = hashlib.sha256(service.encode()).hexdigest()
    indented = "".join(f"    {line}\n" for line in service.splitlines())
    before, _, ports = indented.partition("    ports")
    labels = f'    labels:\n      {CONFIG_HASH_LABEL}: "{config_hash}"\n'
    assert text == f"services:\n  web:\n{before}{labels}    ports{ports}"


def test_images_are_written_plain_of_services_and_of_volumes() -> None:
    # A name that begins with a digit.
    images = {name: f"127.0.0.1:5000/{name[-1]}@sha256:{HEX}" for name in ("web", "web volume 1")}
    volumes = "[./a:/a, {type: image, source: x, target: /b}]"
    text = pin(f"services: {{web: {{image: y, volumes: {volumes}}}}}", "f", images).decode()
    assert f"    image: {images['web']}\n" in text
    assert (
        f"    volumes:\n      - ./a:/a\n      - source: {images['web volume 1']}\n"
        "        target: /b\n        type: image\n"
    ) in text


def test_pinning_twice_is_pinning_once() -> None:
    once = pinned(RICH)
    assert pinned(once, "web", "db") == once


def test_a_service_keeps_its_hash_when_another_changes() -> None:
    def config_hash(text: str) -> str:
        return str(old_reader(pinned(text))["services"]["a"]["labels"][CONFIG_HASH_LABEL])

    one = "services: {a: {image: x, user: '1'}, b: {image: y}}"
    assert config_hash(one) == config_hash(one.replace("y", "y, cap_add: [ALL]"))
    assert config_hash(one) != config_hash(one.replace("'1'", "'2'"))
    labelled = one.replace("user: '1'", "labels: {x: '1'}")
    assert config_hash(labelled) != config_hash(labelled.replace("'1'", "'2'"))


@pytest.mark.parametrize("labels", ["", "labels: {}", "labels: []", "labels:", "labels: ~"])
def test_no_labels_in_any_form_are_the_same(labels: str) -> None:
    text = pinned(f"services:\n  web:\n    image: a\n    {labels}\n")
    found = old_reader(text)["services"]["web"]["labels"]
    hashes = {found[CONFIG_HASH_LABEL]} if isinstance(found, dict) else {found[0].split("=")[1]}
    assert hashes == {hashlib.sha256(f"image: {IMAGE}\n".encode()).hexdigest()}


def test_aliases_and_merges_are_written_out() -> None:
    text = pinned(RICH)
    assert not re.search(r"[&*]\w|<<", text)
    environment = new_reader(text)["services"]["web"]["environment"]
    assert environment == {
        "A": 'it\'s "mine" # not a comment',
        "B": "yes",
        "C": 0o14,
        "D": 14,
        "E": 1000.0,
        "F": None,
        "G": None,
        "H": "no",
        "Z": environment["Z"],
    }


def test_a_key_in_quotes_merges_nothing() -> None:
    text = "services: {web: {image: a, environment: {'<<': b}}}"
    assert new_reader(pinned(text))["services"]["web"]["environment"] == {"<<": "b"}


def test_what_is_interpolated_on_the_device_stays() -> None:
    assert "source: ${DATA?where}" in pinned(RICH)


def test_a_file_that_says_it_is_yaml_1_1_still_does() -> None:
    text = pinned("%YAML 1.1\n---\nservices: {web: {image: a, x: yes}}")
    assert new_reader(text)["services"]["web"]["x"] is True


# Files that differ in form only.


def shuffled(value: Any, seed: int) -> Any:  # noqa: ANN401 - YAML
    if isinstance(value, dict):
        entries = [(key, shuffled(inner, seed)) for key, inner in value.items()]
        random.Random(seed).shuffle(entries)  # noqa: S311 - no secret
        return dict(entries)
    return [shuffled(inner, seed) for inner in value] if isinstance(value, list) else value


@pytest.mark.slow
@given(st.integers(0, 2**32))
def test_order_of_keys_and_services_does_not_count(seed: int) -> None:
    document = yaml.safe_load(re.sub("!reset|!override", "", RICH))
    one, other = (
        yaml.safe_dump(version, sort_keys=False, default_style='"')
        for version in (document, shuffled(document, seed))
    )
    assert pinned(one) == pinned(other)


def test_quotes_that_mean_nothing_do_not_count() -> None:
    plain = "services:\n  web: {image: a, x: text, z: '1', k: 'yes'}\n"
    quoted = 'services:\n  "web": {"image": "a", "x": \'text\', z: "1", k: "yes"}\n'
    assert pinned(plain) == pinned(quoted)
    assert pinned(plain) != pinned(plain.replace("'1'", "1"))
    assert pinned(plain) != pinned(plain.replace("'yes'", "yes"))


def test_layout_comments_and_anchors_do_not_count() -> None:
    one = "services:\n  web: {image: a, ports: ['1:1'], x: &a [p], z: *a}\n"
    other = (
        "# c\nservices:\n  'web':\n    \"z\": [p] # c\n    x:\n    - p\n"
        '    ports:\n    - "1:1"\n    image:\n      a\n'
    )
    assert pinned(one) == pinned(other)


# Property: whatever the values are, both readers see what they saw before.

WORDS = st.sampled_from(
    """yes no on off null ~ true False 1 014 0o14 0x1f 1_000 1:30 22:22 1e3 .5 .inf -.nan
    2001-12-14 - -- --- ... ? : = << < a:b a: :a -x ?x #a a#b @a `a % %a | > { } [ ] ,
    a,b""".split()  # noqa: SIM905 - easier to read
) | st.sampled_from(["", " ", " a", "a ", "a: b", "a #b", "- a", "a\nb", "a\n\nb\n", "\n", "\t"])
TEXTS = WORDS | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"),
    max_size=20,
)
SCALARS = TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4), st.booleans())
def test_any_value_survives(values: dict[str, object], flow: bool) -> None:  # noqa: FBT001
    document = {"services": {"web": {"image": "a", "x": values}}, "x": values}
    text = yaml.dump(document, Dumper=yaml.SafeDumper, default_flow_style=flow, allow_unicode=True)
    for reader in READERS:
        try:
            before = reader(text)
        except Exception:  # noqa: BLE001, S112 - what no reader of this version takes says nothing
            continue
        assert reader(pinned(text, "web"))["x"] == before["x"]


@given(st.lists(WORDS.filter(lambda word: word.isprintable()), min_size=1, max_size=6))
def test_any_plain_scalar_survives(words: list[str]) -> None:
    """As an author types it: what the readers take at all, they take for the same again."""
    for text in (
        f"services: {{web: {{image: a}}}}\nx:\n{''.join(f'  - {word}{chr(10)}' for word in words)}",
        f"services: {{web: {{image: a}}}}\nx: [{', '.join(words)}]\n",
        f"services: {{web: {{image: a}}}}\nx:\n  {words[0]}: {words[-1]}\n",
    ):
        for reader in READERS:
            try:
                before, after = reader(text), pinned(text, "web")
            except Exception:  # noqa: BLE001, S112 - no YAML to one of them
                continue
            assert reader(after)["x"] == before["x"]


# What is refused.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: &a [*a]", "f.yml:2: *a refers to no earlier value"),
        ("x: &a {b: *a}", "f.yml:2: *a refers to no earlier value"),
        ("x: {<<: [1]}", "f.yml:2: << takes mappings only"),
        ("x: {<<: text}", "f.yml:2: << takes mappings only"),
        ("x: {[a]: b}", "f.yml:2: a key must be text"),
        ("x: " + "[" * 101 + "]" * 101, "f.yml:2: is nested too deeply"),
    ],
)
def test_what_cannot_be_written_again(text: str, message: str) -> None:
    with pytest.raises(ComposeError) as caught:
        pinned(f"services: {{web: {{image: a}}}}\n{text}\n", "web")
    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["l", "<<"])
def test_a_billion_laughs_are_refused(key: str) -> None:
    lines = ["services: {web: {image: a}}", "x0: &a0 {l: lol}"]
    for level in range(1, 30):
        before = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"x{level}: &a{level} {{{key}: [{before}]}}")
    with pytest.raises(ComposeError, match="its aliases make too much of it"):
        pinned("\n".join(lines), "web")


def test_much_text_by_aliases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltree, "LONGEST_TEXT", 1000)
    text = f"services: {{web: {{image: a}}}}\na: &a {'x' * 600}\nb: *a\n"
    with pytest.raises(ComposeError, match="its aliases make too much of it"):
        pinned(text, "web")


@pytest.mark.parametrize("labels", ["text", "1"])
def test_labels_that_are_neither_mapping_nor_list(labels: str) -> None:
    with pytest.raises(ComposeError) as caught:
        pinned(f"services:\n  web:\n    image: a\n    labels: {labels}\n")
    assert str(caught.value) == "f.yml:4: service web: labels must be a mapping or a list"


def test_a_long_or_odd_key_is_written_so_that_it_can_be_read() -> None:
    odd = {key: [1, {"a": 2}] for key in ("k" * 3000, "", "a\nb", ": ", "é" * 2000)}
    text = yaml.safe_dump({"services": {"web": {"image": "a"}}, "x": odd, "y": [odd]})
    for reader in READERS:
        after = reader(pinned(text, "web"))
        assert (after["x"], after["y"]) == (odd, [odd])
