"""The documents' commands and snippets run, and their links lead somewhere.

What the test does with a fenced block is said in docs/explanation/development.md,
"Rules of the documents". What their JSON and tables say is held by the files beside it.
"""

import configparser
import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from layerscan.apps.compose import read_services
from layerscan.cli.budget import load_budgets
from layerscan.cli.parser import build_parser
from tests.docs.reader import (
    COMMANDS,
    DOCUMENTS,
    KINDS,
    PAGES,
    PROJECT,
    ROOT,
    Block,
    anchors,
    blocks,
    code,
    commands,
    links,
    read,
    tables,
)
from tests.docs.workbench import Workbench, workbench
from tests.requirements import require

__all__ = ["workbench"]  # a fixture

# Commands that are looked up instead of run, each with the reason.
NOT_RUN = {
    "make": "a target builds, tests or measures everything",
    "pip": "it installs packages",
    "python -m benchmarks.report": "it shows what `make bench` measured",
    "python -m tests.mutate": "it runs the tests again and again",
    "python -m pytest": "it runs the tests that this one is among",
    "python -m tests.fuzz": "it needs what `make fuzz` builds",
    "tests/engines/install": "it installs packages",
}

# A page of ours, not one of another project.
_PAGE = r"(?<!stargz-snapshotter, )\bdocs/[\w./-]+\.(?:md|svg|json)\b"
_FIGURE = r"\d[\d,]*(?:\.\d+)? (?:B|KiB|MiB|GiB)"
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


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
        place = re.fullmatch(r"\.(?:\[([\w,]+)\])?", arguments[-1])
        assert groups or place
        extras = place[1].split(",") if place and place[1] else []
        assert {*extras} <= set(PROJECT["project"]["optional-dependencies"])
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_cython_snippet_compiles_and_walks(workbench: Workbench) -> None:
    for package in ("Cython", "setuptools"):
        require(importlib.util.find_spec(package), f"{package} is not installed")
    page = blocks("docs/reference/library.md")
    (snippet,) = [block.text for block in page if block.language == "pyx"]
    (workbench.folder / "snippet.pyx").write_text(snippet)
    done = workbench.run("python", "-m", "Cython.Build.Cythonize", "-i", "-3", "snippet.pyx")
    assert done.returncode == 0, done.stdout
    done = workbench.run("python", "-c", "import snippet; print(snippet.kib(b'apps'))")
    assert done.stdout.split() == workbench.run("du", "-skx", "apps").stdout.split()[:1]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_of_a_kind_that_is_tested(document: str) -> None:
    (table,) = tables(read("docs/explanation/development.md"), "fence")
    kinds = {code(row[0]).split()[0] for row in table.rows}
    assert {block.language for block in blocks(document)} <= kinds


def test_the_compose_file_can_be_read() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "yaml":
                assert read_services(block.text, document)


def test_the_budgets_can_be_read(tmp_path: Path) -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "toml":
                (tmp_path / "budget.toml").write_text(block.text)
                assert load_budgets(str(tmp_path / "budget.toml"))


def test_the_units_run_what_the_program_takes() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "ini":
                unit = configparser.ConfigParser(interpolation=None)
                unit.read_string(block.text)
                assert "Unit" in unit
                command = unit.get("Service", "ExecStart", fallback="layerscan du .")
                program, *arguments = shlex.split(command)
                assert program.rpartition("/")[2] == "layerscan"
                build_parser().parse_args(arguments)


def test_every_page_is_of_a_kind() -> None:
    assert {path.name for path in (ROOT / "docs").iterdir()} == {"README.md", *KINDS}


@pytest.mark.parametrize("document", ["README.md", "docs/README.md"])
def test_every_page_is_listed(document: str) -> None:
    listed = linked(document)
    if document == "README.md":
        listed |= linked(f"{COMMANDS}/README.md")
    assert {*PAGES} <= listed | {document}


def linked(document: str) -> set[str]:
    """The files that a document links to, as paths in the project."""
    paths = (target.partition("#")[0] for target in links(document) if "//" not in target)
    return {os.path.normpath(os.path.join(os.path.dirname(document), path)) for path in paths}


def test_pages_that_sources_name_are_there() -> None:
    files = [ROOT / name for name in ("setup.py", "pyproject.toml", "Makefile")]
    for folder in ("src", "tests", "benchmarks"):
        files += [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.p[xy][xdi]")]
    for file in files:
        for page in re.findall(_PAGE, file.read_text()):
            assert (ROOT / page).exists(), (file, page)


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
