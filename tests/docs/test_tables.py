"""What the tables of the documents say of commands, Apps and messages, the program bears out."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerscan.apps.interpolation import interpolate
from layerscan.cli.parser import build_parser
from layerscan.cli.status import ExitStatus
from layerscan.errors import ComposeError
from tests.docs.reader import COMMANDS, PAGES, SOURCES, code, command_page, read, section, tables


def parsers() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    (commands_of,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return {"General options": parser, **commands_of.choices}


GENERAL = {"--help", "--help-all", "--quiet", "--verbose", "--no-color"}
"""Options of every command, which the docs have once."""


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
    general = name == "General options"
    text = section(f"{COMMANDS}/README.md", name) if general else read(command_page(name))
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
        and (general or not GENERAL & {*action.option_strings})
    )
    assert described == exists


@pytest.mark.parametrize("name", parsers())
def test_help_names_the_default(name: str) -> None:
    for action in parsers()[name]._actions:
        found = re.search(r"\(default: (.*)\)", (action.help or "") % {"default": action.default})
        if isinstance(action.default, str) and action.default != argparse.SUPPRESS:
            assert found
            said = {"stdout": "-"}.get(found[1], found[1])
            assert said.split(",")[0] == action.default
        elif found:
            # In words what is done then.
            assert not {"None", "False", "[]"} & set(found[1].split())


def test_every_command_is_documented() -> None:
    names = [*parsers()][1:]
    (table,) = tables(read(f"{COMMANDS}/README.md"), "command")
    assert [row[0] for row in table.rows] == [f"[`{name}`]({name}.md)" for name in names]
    pages = {path for path in PAGES if path.startswith(COMMANDS)}
    assert pages == {*map(command_page, [*names, "README"])}


@pytest.mark.parametrize("document", ["README.md", "docs/reference/exit-status.md"])
def test_every_exit_status_is_documented(document: str) -> None:
    (table,) = tables(read(document), "status")
    assert [int(code(row[0])) for row in table.rows] == sorted(ExitStatus)


def test_interpolation_is_as_the_table_says() -> None:
    (table,) = tables(read("docs/reference/apps.md"), "text")
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
        for document in PAGES
        for table in tables(read(document), "message")
        for row in table.rows
    ]
    assert messages
    for message in messages:
        for piece in filter(None, (part.strip(" :;,") for part in message.split("…"))):
            assert any(piece in text for text in texts), (message, piece)
