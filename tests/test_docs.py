"""The documents are true: their commands and snippets run, their tables hold.

What the test does with a fenced block is said in docs/development.md, "Rules of
the documents".
"""

import argparse
import ast
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import layerscan
from layerscan import Kind, file_table, walk, walk_many
from layerscan.apps.compose import read_services
from layerscan.apps.interpolation import interpolate
from layerscan.cli.parser import build_parser
from layerscan.cli.status import ExitStatus
from layerscan.errors import ComposeError
from layerscan.table import ROW
from layerscan.walker import Usage
from tests.docs_reader import (
    DOCUMENTS,
    ROOT,
    Block,
    anchors,
    blocks,
    code,
    commands,
    links,
    read,
    section,
    tables,
)
from tests.docs_workbench import Workbench
from tests.requirements import require

SOURCES = ROOT / "src" / "layerscan"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Commands that are looked up instead of run, each with the reason.
NOT_RUN = {
    "make": "a target builds, tests or measures everything",
    "pip": "it installs packages",
    "python -m benchmarks.report": "it shows what `make bench` measured",
    "python -m pytest": "it runs the tests that this one is among",
    "tests/engines/install": "it installs packages",
}

_FIGURE = r"\d[\d,]*(?:\.\d+)? (?:B|KiB|MiB|GiB)"
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@pytest.fixture
def workbench(tmp_path: Path) -> Iterator[Workbench]:
    built = Workbench.build(tmp_path)
    yield built
    built.registry.close()


@pytest.fixture
def sample(workbench: Workbench) -> Workbench:
    """A workbench with the whole sample store."""
    done = workbench.run("python", "-m", "tests.builders.sample", "/tmp/sample")
    require(done.returncode == 0 and not done.stdout, f"it needs root: {done.stdout}")
    return workbench


# Commands and snippets.


def look_up(command: str) -> bool:
    """Whether `command` is one that is not run; then it must be there."""
    assignments, words = [], shlex.split(command, comments=True)
    while words and re.match(r"\w+=", words[0]):
        assignments.append(words.pop(0).partition("=")[0])
    plain = " ".join([*words, ""])
    prefix = next((known for known in NOT_RUN if plain.startswith(f"{known} ")), "")
    arguments = words[len(prefix.split()) :]
    if not prefix:
        return False
    if prefix == "make":
        wanted = shlex.split(command, comments=True)[1:]
        assert [word for word in wanted if "=" not in word]
        done = subprocess.run(["make", "-n", "-C", ROOT, *wanted], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    elif prefix == "pip":
        assert all(name in (ROOT / "setup.py").read_text() for name in assignments)
        groups = {arguments[i + 1] for i, word in enumerate(arguments) if word == "--group"}
        assert arguments[0] == "install"
        assert groups <= set(PROJECT["dependency-groups"])
        assert groups or arguments[-1] == "."
    else:
        files = [word for word in (prefix, *arguments) if "/" in word]
        assert all((ROOT / file).exists() for file in files), files
    return True


def run_block(workbench: Workbench, block: Block) -> None:
    """Run the commands of a block in one shell and compare what they print."""
    wanted = [(line, printed) for line, printed in commands(block) if not look_up(line)]
    script = "".join(
        f"{workbench.here(line)}\n__status=$?; printf '\\0%d\\0' $__status; (exit $__status)\n"
        for line, _ in wanted
    )
    parts = workbench.run("bash", "-c", script).stdout.split("\0")
    results = list(zip(parts[::2], parts[1::2], strict=False))
    for index, (line, printed) in enumerate(wanted):
        actual, status = results[index]
        asked = index + 1 < len(wanted) and wanted[index + 1][0] == "echo $?"
        assert status == "0" or asked, f"{line}: exit status {status}\n{actual}"
        if printed is not None:
            assert_agrees(workbench, line, printed, workbench.there(actual))


def assert_agrees(workbench: Workbench, line: str, expected: str, actual: str) -> None:
    """Hold what was printed against the document.

    Blanks that align columns do not count, and ``…`` stands for anything. The
    first figure of a line is a size and the same everywhere. The others are
    usage, which is the file system's: near on the ext4 of the documents, where
    a file may get an extent block more, and anything elsewhere.
    """
    pattern, figures, first = "", [], True
    for piece in re.split(rf"({_FIGURE}|…|\s+)", expected.strip()):
        if re.fullmatch(_FIGURE, piece):
            pattern += f"({_FIGURE})"
            figures.append((piece, first))
            first = False
        elif piece.isspace():
            pattern += r"\s+"
            first = first or "\n" in piece
        else:
            pattern += ".*?" if piece == "…" else re.escape(piece)
    match = re.fullmatch(pattern, actual.strip(), re.DOTALL)
    assert match, f"{line} prints\n{actual}\nnot\n{expected}"
    on_ext4 = workbench.run("stat", "-f", "-c", "%t", ".").stdout.strip() == "ef53"
    for (documented, is_size), found in zip(figures, match.groups(), strict=True):
        if is_size:
            assert found == documented, f"{line} prints\n{actual}"
        elif on_ext4:
            near = pytest.approx(in_bytes(documented), rel=0.01, abs=16 << 10)
            assert in_bytes(found) == near, f"{line} prints\n{actual}"


def in_bytes(figure: str) -> float:
    number, unit = figure.split(" ")
    return float(number.replace(",", "")) * _UNITS[unit]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_do_what_is_said(document: str, workbench: Workbench) -> None:
    for block in blocks(document):
        if "tests.builders.sample" in block.text:
            require(os.geteuid() == 0, "it needs root to make the whole sample store")
        if block.language in ("sh", "console"):
            run_block(workbench, block)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_snippets_run(document: str, workbench: Workbench) -> None:
    for block in blocks(document):
        if block.language == "python":
            done = workbench.run("python", "-W", "error", "-c", block.text)
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sessions_are_as_printed(document: str, workbench: Workbench) -> None:
    for block in blocks(document):
        if block.language == "pycon":
            (workbench.folder / "session").write_text(workbench.here(block.text))
            done = workbench.run("python", "-W", "error", "-m", "doctest", "session")
            assert done.returncode == 0, done.stdout


def test_cython_snippet_compiles_and_walks(workbench: Workbench) -> None:
    for package in ("Cython", "setuptools"):
        require(importlib.util.find_spec(package), f"{package} is not installed")
    (snippet,) = [block.text for block in blocks("docs/library.md") if block.language == "pyx"]
    (workbench.folder / "snippet.pyx").write_text(snippet)
    done = workbench.run("python", "-m", "Cython.Build.Cythonize", "-i", "-3", "snippet.pyx")
    assert done.returncode == 0, done.stdout
    done = workbench.run("python", "-c", "import snippet; print(snippet.kib(b'apps'))")
    assert done.stdout.split() == workbench.run("du", "-skx", "apps").stdout.split()[:1]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_of_a_kind_that_is_tested(document: str) -> None:
    (table,) = tables(read("docs/development.md"), "fence")
    kinds = {code(row[0]).split()[0] for row in table.rows}
    assert {block.language for block in blocks(document)} <= kinds


def test_the_compose_file_can_be_read() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "yaml":
                assert read_services(block.text, document)


# JSON.


def documented(title: str) -> Any:  # noqa: ANN401 - JSON
    (text,) = [block.text for block in blocks("docs/commands.md") if block.title == title]
    return json.loads(text)


def without_usage(value: object) -> object:
    """`value` without the figures that are the file system's."""
    if isinstance(value, dict):
        kept = value.keys() - {"usage", "blocks", "shared", "own", "fs_block_size"}
        return {key: without_usage(value[key]) for key in kept}
    return [without_usage(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["layers-meta", "layers-meta-by-arch", "inspect", "stores"])
def test_documents_fit_their_schemas(name: str) -> None:
    schema = resources.files("layerscan").joinpath("schemas", f"{name}.schema.json").read_text()
    Draft202012Validator(json.loads(schema)).validate(documented(name))


def test_json_is_what_the_program_writes(sample: Workbench) -> None:
    for title, image, output in (
        ("layers-meta", "acme/app:1", ["-o", "-"]),
        ("report", "registry.example.com/fleet/db:7", ["--format", "json"]),
    ):
        done = sample.run("layerscan", "-d", "/tmp/sample", "-i", image, *output)
        real = json.loads(sample.there(done.stdout))
        assert without_usage(real) == without_usage(documented(title))
    words = ["registry.example/fleet/web:7", "--platform", "linux/arm64", "--format", "json"]
    done = sample.run("layerscan", "inspect", *words)
    assert json.loads(sample.there(done.stdout)) == documented("inspect")
    done = sample.run("layerscan", "stores", "--format", "json")
    assert json.loads(sample.there(done.stdout)) == documented("stores")
    (sample.folder / "file").write_text("hello")
    real = json.loads(sample.run("layerscan", "du", "--format", "json", "file").stdout)
    assert without_usage(real) == without_usage(documented("du"))


def fields(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from fields(value[0], f"{path}[]")
    else:
        yield path + ("[]" if isinstance(value, list) else "")


def test_every_field_of_the_report_is_described() -> None:
    (table,) = tables(section("docs/commands.md", "scan"), "field")
    report = documented("report") | {"problems": [{"where": "", "what": ""}]}
    assert [code(row[0]) for row in table.rows] == list(fields(report, ""))
    (table,) = tables(section("docs/commands.md", "stores"), "field")
    assert [code(row[0]) for row in table.rows] == list(fields(documented("stores"), ""))
    (table,) = tables(section("docs/commands.md", "du"), "field")
    (entry,) = documented("du")
    entry["errors"] = [{"path": "", "errno": 0}]
    assert [code(row[0]) for row in table.rows] == list(fields(entry, ""))


# Tables that the program must bear out.


def parsers() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    (commands_of,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return {"General options": parser, **commands_of.choices}


def invocation(action: argparse.Action) -> tuple[str, str]:
    """How an argument is given, and its default."""
    value = str(action.metavar) if action.metavar else "|".join(action.choices or [])
    given = ", ".join(action.option_strings)
    takes_value = action.nargs != 0
    default = f"`{action.default}`" if isinstance(action.default, str) and takes_value else ""
    if action.default == argparse.SUPPRESS:
        default = ""
    return " ".join(filter(None, (given, value if takes_value else ""))), default


@pytest.mark.parametrize("name", parsers())
def test_every_option_is_documented_and_every_documented_option_exists(name: str) -> None:
    text = section("docs/commands.md", name)
    described = {}
    for table in tables(text, "option") + tables(text, "argument"):
        for row in table.rows:
            cells = dict(zip(table.head, row, strict=True))
            described[code(row[0])] = cells.get("default", "")
            assert cells["meaning"]
    exists = dict(
        invocation(action)
        for action in parsers()[name]._actions
        if not isinstance(action, argparse._SubParsersAction)
        and (name == "General options" or "--help" not in action.option_strings)
    )
    assert described == exists


def test_every_command_is_documented() -> None:
    (table,) = tables(read("docs/commands.md"), "command")
    assert [row[0] for row in table.rows] == [f"[`{name}`](#{name})" for name in [*parsers()][1:]]


@pytest.mark.parametrize("document", ["README.md", "docs/commands.md"])
def test_every_exit_status_is_documented(document: str) -> None:
    (table,) = tables(section(document, "Exit status"), "status")
    assert [int(code(row[0])) for row in table.rows] == sorted(ExitStatus)


def test_every_figure_of_the_walk_is_described() -> None:
    (table,) = tables(read("docs/accounting.md"), "field of `Usage`")
    properties = [name for name, value in vars(Usage).items() if isinstance(value, property)]
    exist = {*Usage._fields, *properties}
    assert sorted(code(row[0]) for row in table.rows) == sorted(exist)


def test_rows_of_a_file_table_are_described() -> None:
    (table,) = tables(read("docs/library.md"), "field of a row")
    assert [(code(row[0]), np.dtype(code(row[1]))) for row in table.rows] == [
        (name, ROW[name]) for name in ROW.names or ()
    ]
    assert f"{ROW.itemsize} bytes a row" in read("docs/library.md")
    (table,) = tables(read("docs/library.md"), "`Kind`")
    assert {code(row[0]): int(row[1]) for row in table.rows} == dict(Kind.__members__)


def test_every_name_of_the_library_is_described() -> None:
    (table,) = tables(read("docs/library.md"), "names")
    described = [name for row in table.rows for name in row[0].replace("`", "").split()]
    assert sorted(described) == layerscan.__all__


@pytest.mark.parametrize("function", [walk, walk_many, file_table])
def test_every_argument_of_the_walk_is_described(function: Callable[..., object]) -> None:
    (table,) = tables(section("docs/library.md", "walk"), "argument")
    arguments = inspect.signature(function).parameters
    for name, default, _ in table.rows:
        if code(name) in arguments and default:
            assert str(arguments[code(name)].default) == code(default)
    if function is walk:
        assert [code(row[0]) for row in table.rows] == list(arguments)
    else:
        text = read("docs/library.md")
        assert all(f"`{name}`" in text or f"`{name}=" in text for name in [*arguments][1:])


def test_interpolation_is_as_the_table_says() -> None:
    (table,) = tables(read("docs/apps.md"), "text")
    for text, *outcomes in table.rows:
        for variables, outcome in zip(({"NAME": "x"}, {"NAME": ""}, {}), outcomes, strict=True):
            try:
                result = interpolate(code(text), variables)
            except ComposeError:
                actual = "error"
            else:
                actual = f"`{result.text}`" if result.text else "nothing"
                actual += ", warning" if result.unset else ""
            assert actual == outcome, (text, variables)


def templates(path: Path) -> Iterator[str]:
    """Every text in a source file, with … for what is put in but the module's constants."""
    tree = ast.parse(path.read_text())
    constants = {
        ast.unparse(node.targets[0]): str(node.value.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else constants.get(ast.unparse(part).strip("f'{}"), "…")
                for part in node.values
            )
        elif isinstance(node, ast.Constant):
            yield str(node.value)


def test_every_message_is_one_of_the_program() -> None:
    texts = [text for path in SOURCES.rglob("*.py") for text in templates(path)]
    messages = [
        code(row[0])
        for document in ("docs/stores.md", "docs/registry.md", "docs/sources.md")
        for table in tables(read(document), "message")
        for row in table.rows
    ]
    assert messages
    for message in messages:
        for piece in filter(None, (part.strip(" :;,") for part in message.split("…"))):
            assert any(piece in text for text in texts), (message, piece)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "layerscan":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("layerscan."):
            yield str(node.module).split(".")[1]


def test_modules_import_what_the_house_map_says() -> None:
    (table,) = tables(read("docs/development.md"), "module")
    allowed = {code(row[0]): set(row[2].replace("`", "").split()) for row in table.rows}
    # What is compiled imports none of the others.
    found: dict[str, set[str]] = {path.stem: set() for path in SOURCES.glob("_*.pyx")}
    for path in SOURCES.rglob("*.py"):
        home = path.relative_to(SOURCES).parts[0].removesuffix(".py")
        if home not in ("__init__", "__main__"):
            found.setdefault(home, set()).update(imported(path))
    assert found.keys() == allowed.keys()
    for name, rooms in found.items():
        assert rooms & allowed.keys() - {name} == allowed[name], name


@pytest.mark.parametrize(
    ("heading", "packages"),
    [
        ("At run time", PROJECT["project"]["dependencies"]),
        ("At build time", PROJECT["build-system"]["requires"]),
        ("For tests", PROJECT["dependency-groups"]["test"]),
        ("For lint", PROJECT["dependency-groups"]["lint"]),
    ],
)
def test_every_dependency_has_a_reason(heading: str, packages: list[str]) -> None:
    (table,) = tables(section("docs/dependencies.md", heading), "package")
    named = [re.split("[^a-z0-9-]", package)[0] for package in packages]
    assert sorted(code(row[0]) for row in table.rows) == sorted(named)
    assert all(row[1] for row in table.rows)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(os.path.relpath(file.resolve(), ROOT)), target
