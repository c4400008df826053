"""``layerscan merge`` as CI runs it; the rules themselves are in test_layersmeta."""

import itertools
import json
import os
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from layerscan.digest import NO_DIGEST
from tests.cli_runner import Result, error, open_to_all, run_as_nobody
from tests.cli_runner import run_here as run
from tests.requirements import require_root

ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")
Layers = dict[str, tuple[int, int]]


def document(layers: Layers, block_size: int = 4096) -> dict[str, object]:
    return {
        "fs_block_size": block_size,
        "layers": {
            digest: {"size": size, "usage": usage} for digest, (size, usage) in layers.items()
        },
    }


def put(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_documents_become_one_whatever_their_order(tmp_path: Path) -> None:
    contents = {
        "amd64": document({TWO: (20, 4096), ONE: (10, 4096)}),
        "arm": document({ONE: (11, 8192)}, 1024),
        "arm64": document({}),
    }
    arguments = [f"{name}={put(tmp_path / name, content)}" for name, content in contents.items()]
    results = [run("merge", *order) for order in itertools.permutations(arguments)]
    assert results == [results[0]] * 6
    assert (results[0].status, results[0].lines) == (0, [])
    merged = json.loads(results[0].out)
    assert merged == contents
    assert list(merged) == ["amd64", "arm", "arm64"]
    assert list(merged["amd64"]["layers"]) == [ONE, TWO]
    schema = json.loads(
        files("layerscan").joinpath("schemas", "layers-meta-by-arch.schema.json").read_text()
    )
    jsonschema.Draft202012Validator(schema).validate(merged)


def test_architecture_given_twice_is_one_entry_if_both_agree(tmp_path: Path) -> None:
    first = put(tmp_path / "1", document({ONE: (10, 4096), TWO: (20, 4096)}))
    second = put(tmp_path / "2", document({TWO: (20, 4096), THREE: (30, 4096)}))
    result = run("merge", f"arm={first}", f"arm={second}", f"arm={first}")
    assert (result.status, result.lines) == (0, [])
    assert json.loads(result.out) == {
        "arm": document({ONE: (10, 4096), TWO: (20, 4096), THREE: (30, 4096)})
    }


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (document({ONE: (11, 4096)}), f'$.layers["{ONE}"].size: 11 contradicts 10'),
        (document({ONE: (10, 8192)}), f'$.layers["{ONE}"].usage: 8192 contradicts 4096'),
        (document({}, 1024), "$.fs_block_size: 1024 contradicts 4096"),
    ],
)
def test_contradiction_names_both_files_and_the_place(
    tmp_path: Path, other: dict[str, object], fault: str
) -> None:
    first = put(tmp_path / "1", document({ONE: (10, 4096)}))
    second = put(tmp_path / "2", other)
    out = tmp_path / "out"
    out.write_text("what was there")
    result = run("merge", f"arm={first}", f"arm={second}", "-o", out)
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [error(f"{second}: {fault} in {first} (both are given as arm)")]
    assert out.read_text() == "what was there"
    # Of different architectures they do not contradict each other.
    assert run("merge", f"arm={first}", f"arm64={second}").status == 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is not JSON: Expecting value at line 1 column 1"),
        ('{"layers": {}', "is not JSON: Expecting ',' delimiter at line 1 column 14"),
        ("[]", "$: must be an object"),
        ("{}", '$: key "fs_block_size" is missing'),
        ('{"fs_block_size": 4096}', '$: key "layers" is missing'),
        ('{"fs_block_size": 0, "layers": {}}', "$.fs_block_size: must be positive"),
        ('{"fs_block_size": 1, "layers": []}', "$.layers: must be an object"),
        (
            '{"fs_block_size": 1, "layers": {"sha256:1": {}}}',
            f'$.layers["sha256:1"]: {NO_DIGEST}',
        ),
        (
            f'{{"fs_block_size": 1, "layers": {{"{ONE}": {{"size": 1}}}}}}',
            f'$.layers["{ONE}"]: key "usage" is missing',
        ),
        (
            f'{{"fs_block_size": 1, "layers": {{"{ONE}": {{"size": -1, "usage": 1}}}}}}',
            f'$.layers["{ONE}"].size: must not be negative',
        ),
        (
            f'{{"fs_block_size": 1, "layers": {{"{ONE}": {{"size": 1, "usage": 1.0}}}}}}',
            f'$.layers["{ONE}"].usage: must be an integer',
        ),
        (
            '{"fs_block_size": 1, "fs_block_size": 1, "layers": {}}',
            '$: key "fs_block_size" is given twice',
        ),
        ("\udcff", "is not UTF-8 at byte 0"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_malformed_document_is_named_with_the_place(
    tmp_path: Path, content: str, fault: str
) -> None:
    good = put(tmp_path / "good", document({}))
    bad = tmp_path / "bad"
    bad.write_bytes(content.encode(errors="surrogateescape"))
    out = tmp_path / "out"
    result = run("merge", f"arm={good}", f"arm64={bad}", "-o", out)
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [error(f"{bad}: {fault}")]
    assert not out.exists()


@pytest.mark.parametrize(
    "argument", ["amd64", "amd64=", "=file", "AMD64=file", "linux/amd64=file", "a b=file", "="]
)
def test_argument_that_is_not_arch_and_file(argument: str) -> None:
    result = run("merge", argument)
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [error(f"{argument!r}: expected ARCH=FILE, such as arm64=arm64.json")]


def test_file_may_have_an_equals_sign(tmp_path: Path) -> None:
    path = put(tmp_path / "a=b", document({}))
    assert json.loads(run("merge", f"arm={path}").out) == {"arm": document({})}


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        result = run("merge", f"arm={path}")
        assert (result.status, result.out) == (2, b"")
        assert result.lines == [error(f"{path}: cannot be read: {why}")]


def test_file_without_permission() -> None:
    require_root()
    with open_to_all() as folder:
        path = put(folder / "secret", document({}))
        os.chmod(path, 0)
        result = run_as_nobody("merge", f"arm={path}")
        assert result == Result(2, b"", [error(f"{path}: cannot be read: Permission denied")])


def test_document_of_several_architectures_is_no_input(tmp_path: Path) -> None:
    path = put(tmp_path / "merged", {"arm": document({})})
    result = run("merge", f"arm={path}")
    assert (result.status, result.lines) == (
        2,
        [error(f'{path}: $: key "fs_block_size" is missing')],
    )


def test_output_file_is_written_whole_and_may_be_an_input(tmp_path: Path) -> None:
    path = put(tmp_path / "arm", document({ONE: (1, 2)}))
    expected = run("merge", f"arm={path}").out
    assert run("merge", f"arm={path}", "-o", "-").out == expected
    assert run("merge", f"arm={path}", "--out-file", path) == Result(0, b"", [])
    assert Path(path).read_bytes() == expected
    assert list(tmp_path.iterdir()) == [Path(path)]


def test_output_that_cannot_be_written_is_said_before_the_input_is_read(tmp_path: Path) -> None:
    result = run("merge", f"arm={tmp_path}/none", "-o", f"{tmp_path}/away/out")
    assert result.status == 2
    assert result.lines == [
        error(f"{tmp_path}/away/out: there is no folder {tmp_path}/away; make it first")
    ]


def test_escapes_in_a_document_and_its_name_are_not_printed(tmp_path: Path) -> None:
    path = put(tmp_path / "\x1b[31m\n", {"fs_block_size": 1, "layers": {"\x1b]0;x\x07\u202e": {}}})
    for argument in (f"arm={path}", f"\x1b[31m={path}"):
        result = run("merge", argument)
        assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
        assert result.lines[0].isprintable()
