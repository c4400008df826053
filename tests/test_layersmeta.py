import json
import os
import random
import tracemalloc
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from layerscan import layersmeta
from layerscan.digest import NO_DIGEST
from layerscan.errors import DocumentError
from layerscan.layersmeta import LayerMeta, LayersMeta, of_images

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
MAX = 2**63 - 1


def schema(name: str) -> dict[str, Any]:
    text = resources.files("layerscan").joinpath("schemas", name).read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


ONE = schema("layers-meta.schema.json")
BY_ARCH = schema("layers-meta-by-arch.schema.json")

figures = st.integers(0, MAX)
digests = st.integers(0, 15).map(lambda number: f"sha256:{number:064x}")
layers_of = st.dictionaries(
    digests, st.builds(LayerMeta, figures, figures, st.none() | figures), max_size=8
)
metas = st.builds(
    LayersMeta,
    st.integers(1, MAX),
    layers_of,
    st.none() | st.text(),
    st.dictionaries(digests, figures, max_size=8),
)
architectures = st.sampled_from(["amd64", "arm", "arm64", "386", "mips64_le", "riscv64"])
metas_by_arch = st.dictionaries(architectures, metas)


def document(**changes: object) -> dict[str, Any]:
    layer = {"size": 1, "usage": 2}
    return {"fs_block_size": 4096, "layers": {A: layer}} | changes


# Reading and writing


def test_the_document_is_that_of_the_contract() -> None:
    meta = LayersMeta(4096, {B: LayerMeta(3, 4, 5), A: LayerMeta(1, 2)})
    assert layersmeta.dumps(meta).decode() == (
        "{\n"
        '  "fs_block_size": 4096,\n'
        '  "layers": {\n'
        f'    "{A}": {{\n'
        '      "size": 1,\n'
        '      "usage": 2\n'
        "    },\n"
        f'    "{B}": {{\n'
        '      "archive_size": 5,\n'
        '      "size": 3,\n'
        '      "usage": 4\n'
        "    }\n"
        "  }\n"
        "}\n"
    )
    by_arch = json.loads(layersmeta.dumps_by_arch({"arm": meta, "amd64": LayersMeta(512, {})}))
    assert list(by_arch) == ["amd64", "arm"]
    assert by_arch["arm"] == json.loads(layersmeta.dumps(meta))


@given(metas)
def test_one_architecture_round_trip(meta: LayersMeta) -> None:
    written = layersmeta.dumps(meta)
    assert layersmeta.loads(written, "x") == meta
    assert layersmeta.loads(written.decode(), "x") == meta
    Draft202012Validator(ONE).validate(json.loads(written))


@given(metas_by_arch)
def test_several_architectures_round_trip(by_arch: dict[str, LayersMeta]) -> None:
    written = layersmeta.dumps_by_arch(by_arch)
    assert layersmeta.loads_by_arch(written, "x") == by_arch
    Draft202012Validator(BY_ARCH).validate(json.loads(written))


@given(metas, st.randoms(use_true_random=False))
def test_equal_content_gives_equal_bytes(meta: LayersMeta, rng: random.Random) -> None:
    items = list(meta.layers.items())
    rng.shuffle(items)
    assert layersmeta.dumps(meta._replace(layers=dict(items))) == layersmeta.dumps(meta)


def test_inodes_are_beside_the_layers() -> None:
    meta = LayersMeta(4096, {A: LayerMeta(1, 2)}, inodes={B: 7, A: 5})
    written = json.loads(layersmeta.dumps(meta))
    assert written == document(inodes={A: 5, B: 7})
    assert list(written["inodes"]) == [A, B]
    assert "inodes" not in json.loads(layersmeta.dumps(meta._replace(inodes={})))


def test_unknown_keys_are_accepted() -> None:
    layer = {"size": 1, "usage": 2, "files": 1.5, "big": 10**400}
    content = json.dumps(document(layers={A: layer}, note={"by": ["x"]}))
    assert layersmeta.loads(content, "x") == LayersMeta(4096, {A: LayerMeta(1, 2)})
    Draft202012Validator(ONE).validate(json.loads(content))


# What is refused, and where

WRONG: list[tuple[object, str]] = [
    ([], "$: must be an object"),
    (None, "$: must be an object"),
    ({"layers": {}}, '$: key "fs_block_size" is missing'),
    ({"fs_block_size": 1}, '$: key "layers" is missing'),
    (document(fs_block_size=0), "$.fs_block_size: must be positive"),
    (document(file_system=None), "$.file_system: must be a string"),
    (document(file_system=["ext4"]), "$.file_system: must be a string"),
    (document(inodes=[]), "$.inodes: must be an object"),
    (document(inodes=None), "$.inodes: must be an object"),
    (document(inodes={"sha256:12": 1}), f'$.inodes["sha256:12"]: {NO_DIGEST}'),
    (document(inodes={A: -1}), f'$.inodes["{A}"]: must not be negative'),
    (document(inodes={A: 1.5}), f'$.inodes["{A}"]: must be an integer'),
    (document(inodes={A: None}), f'$.inodes["{A}"]: must be an integer'),
    (document(inodes={A: MAX + 1}), f'$.inodes["{A}"]: must be at most {MAX}'),
    (document(fs_block_size=-1), "$.fs_block_size: must not be negative"),
    (document(fs_block_size=True), "$.fs_block_size: must be an integer"),
    (document(fs_block_size="4096"), "$.fs_block_size: must be an integer"),
    (document(fs_block_size=4096.5), "$.fs_block_size: must be an integer"),
    (document(fs_block_size=MAX + 1), f"$.fs_block_size: must be at most {MAX}"),
    (document(layers=[]), "$.layers: must be an object"),
    (document(layers={A: 1}), f'$.layers["{A}"]: must be an object'),
    (document(layers={A: {"usage": 1}}), f'$.layers["{A}"]: key "size" is missing'),
    (document(layers={A: {"size": 1}}), f'$.layers["{A}"]: key "usage" is missing'),
    (
        document(layers={A: {"size": -1, "usage": 1}}),
        f'$.layers["{A}"].size: must not be negative',
    ),
    (
        document(layers={A: {"size": 1, "usage": None}}),
        f'$.layers["{A}"].usage: must be an integer',
    ),
    (
        document(layers={A: {"size": 1, "usage": 1, "archive_size": None}}),
        f'$.layers["{A}"].archive_size: must be an integer',
    ),
    (
        document(layers={A.upper(): {}}),
        f'$.layers["{A.upper()}"]: {NO_DIGEST}',
    ),
    (
        document(layers={A + "\n": {"size": 1, "usage": 1}}),
        f'$.layers["{A}\\n"]: {NO_DIGEST}',
    ),
]


@pytest.mark.parametrize(("content", "fault"), WRONG)
def test_a_fault_is_named_with_its_json_path(content: object, fault: str) -> None:
    # The schemas refuse it too; only a line's end after a digest escapes them,
    # because "$" matches before it in Python.
    if "\\n" not in fault:
        assert not Draft202012Validator(ONE).is_valid(content)
        assert not Draft202012Validator(BY_ARCH).is_valid({"arm64": content})
    text = json.dumps(content)
    with pytest.raises(DocumentError) as caught:
        layersmeta.loads(text, "a.json")
    assert str(caught.value) == f"a.json: {fault}"
    with pytest.raises(DocumentError) as caught:
        layersmeta.loads_by_arch(f'{{"arm64": {text}}}', "a.json")
    assert str(caught.value) == f"a.json: {fault.replace('$', '$.arm64', 1)}"


@pytest.mark.parametrize(
    ("literal", "fault"),
    [
        ("9" * 5000, f"must be at most {MAX}"),
        ("9" * 20, f"must be at most {MAX}"),
        (str(MAX + 1), f"must be at most {MAX}"),
        ("-" + "9" * 5000, "must not be negative"),
        ("1e400", "must be an integer"),
        ("4096.0", "must be an integer"),
    ],
)
def test_numbers_that_no_client_could_hold(literal: str, fault: str) -> None:
    with pytest.raises(DocumentError) as caught:
        layersmeta.loads(f'{{"layers": {{}}, "fs_block_size": {literal}}}', "a.json")
    assert str(caught.value) == f"a.json: $.fs_block_size: {fault}"


def test_the_largest_number_is_read() -> None:
    content = json.dumps(document(fs_block_size=MAX, layers={}))
    assert layersmeta.loads(content, "a.json").fs_block_size == MAX


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"\xff\xfe{", "is not UTF-8 at byte 0"),
        (b"", "is not JSON: Expecting value at line 1 column 1"),
        (b'{\n"a" 1}', "is not JSON: Expecting ':' delimiter at line 2 column 5"),
        (b"{} {}", "is not JSON: Extra data at line 1 column 4"),
        (b'{"a": NaN}', "$.a: NaN is no JSON number"),
        (b'{"a": [1, -Infinity]}', "$.a[1]: -Infinity is no JSON number"),
        (b"Infinity", "$: Infinity is no JSON number"),
        (b'{"x": {"a": 1, "b": 2, "a": 1}}', '$.x: key "a" is given twice'),
        (b'{"layers": {"": [{"b": 1, "b": NaN}]}}', '$.layers[""][0]: key "b" is given twice'),
        (b'{"x\\n": NaN}', '$["x\\n"]: NaN is no JSON number'),
    ],
)
def test_what_json_forbids_is_refused_anywhere(text: bytes, fault: str) -> None:
    for read in (layersmeta.loads, layersmeta.loads_by_arch):
        with pytest.raises(DocumentError) as caught:
            read(text, "a.json")
        assert str(caught.value) == f"a.json: {fault}"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(DocumentError, match=r"^a\.json: is nested too deeply$"):
        layersmeta.loads(opening * 10_000, "a.json")


@pytest.mark.parametrize("value", ["[]", "{}", '{"":{}}', "1.5", '"ab"'])
def test_values_that_take_many_times_their_length_are_refused_before_they_do(value: str) -> None:
    raw = ("[" + f"{value}," * ((16 << 20) // len(value)) + "0]").encode()
    tracemalloc.start()
    try:
        with pytest.raises(DocumentError, match="has so many values for its"):
            layersmeta.loads(raw, "a.json")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_the_densest_real_document_is_read() -> None:
    entries = ",".join(f'"sha256:{n:064x}":{{"size":1,"usage":1}}' for n in range(200_000))
    text = f'{{"fs_block_size":4096,"layers":{{{entries}}}}}'
    assert len(layersmeta.loads(text, "a.json").layers) == 200_000


def test_many_duplicate_keys_take_linear_time() -> None:
    keys = ", ".join(f'"{number}": 0' for number in range(200_000))
    with pytest.raises(DocumentError, match='key "199999" is given twice'):
        layersmeta.loads(f'{{{keys}, "199999": 0}}', "a.json")


@pytest.mark.parametrize("name", ["", "AMD64", "arm64/v8", "-arm", "a b", "a" * 65, "amd64\n"])
def test_an_architecture_has_a_go_name(name: str) -> None:
    meta = layersmeta.loads(json.dumps(document()), "x")
    with pytest.raises(DocumentError, match=r"^a\.json: .*is no architecture name$"):
        layersmeta.loads_by_arch(json.dumps({name: document()}), "a.json")
    with pytest.raises(DocumentError, match=r"^a\.json: .*is no architecture name$"):
        layersmeta.merge([(name, meta, "a.json")])


def test_one_architecture_where_several_are_expected() -> None:
    with pytest.raises(DocumentError, match="is the document of one architecture, not of several"):
        layersmeta.loads_by_arch(json.dumps(document()), "a.json")


READERS: list[Callable[[bytes, str], object]] = [layersmeta.loads, layersmeta.loads_by_arch]
near_json = st.lists(
    st.sampled_from(
        b'{ } [ ] , : " \\u - 1e9 NaN true \xff \n \x00 "layers" 4096 "size"'.split(b" ")
    )
    | st.just(b'"%s"' % A.encode())
).map(b"".join)


@given(st.binary() | near_json | st.text().map(lambda text: text.encode(errors="surrogatepass")))
@example(b'{"\\ud800": NaN}')
@example(b'{"layers": {"\\ud800": 1}, "fs_block_size": 1}')
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for read in READERS:
        message = "a.json: "
        try:
            read(content, "a.json")
        except DocumentError as error:
            message = str(error)
        assert message.startswith("a.json: ")
        assert message.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | digests,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["layers", "fs_block_size", "inodes", "size", "usage", A, "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_judged_as_the_schema_judges_it(value: object) -> None:
    try:
        meta = layersmeta.loads(json.dumps(value), "a.json")
    except DocumentError:
        return
    Draft202012Validator(ONE).validate(value)
    assert layersmeta.loads(layersmeta.dumps(meta), "x") == meta


# Files


def test_files(tmp_path: Path) -> None:
    meta = LayersMeta(4096, {A: LayerMeta(1, 2)})
    path = str(tmp_path / "a.json")
    with open(path, "wb") as file:
        file.write(layersmeta.dumps(meta))
    assert layersmeta.load(path) == meta
    with open(path, "wb") as file:
        file.write(layersmeta.dumps_by_arch({"arm": meta}))
    assert layersmeta.load_by_arch(path) == {"arm": meta}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.json", "missing.json: cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("nul\0", "cannot be read: embedded null byte"),
        ("new\nline", "new\\nline: cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    for read in (layersmeta.load, layersmeta.load_by_arch):
        with pytest.raises(DocumentError) as caught:
            read(os.path.join(tmp_path, name))
        assert str(caught.value).endswith(reason)
        assert "\n" not in str(caught.value)


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(DocumentError, match=r"^/dev/zero: is longer than 67108864 bytes$"):
        layersmeta.load("/dev/zero")


# Schemas


@pytest.mark.parametrize("document_schema", [ONE, BY_ARCH])
def test_a_schema_is_one(document_schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(document_schema)


def test_the_schema_of_several_embeds_that_of_one() -> None:
    assert BY_ARCH["$defs"]["layers-meta"] == ONE


# What blobs cost.


def test_what_one_image_has_several_times_counts_together_and_the_largest_image_counts() -> None:
    one = LayerMeta(10, 4096, 7)
    twice = [(A, one, 2), (A, LayerMeta(10, 8192, 7), 3)]
    found = of_images([twice, [(A, one, 4)], [(A, one, None), (B, one, 9)]], 4096, "ext4")
    layers = {A: LayerMeta(20, 12288, 7), B: one}
    assert found == LayersMeta(4096, layers, "ext4", {A: 5, B: 9})
