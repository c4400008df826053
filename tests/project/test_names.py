"""One name means one thing: two classes never have it, two functions only if they do the same."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.docs.reader import SOURCES

SAME = {
    "add_arguments": "a command of `cli` declares what it takes",
    "run": "and runs",
    "print_report": "a report of `cli`, for programs or for people",
    "check": "a policy of `fit` says whether an App fits",
    "read": "a form of tables of contents is read",
    "layer_paths": "a store's footprint, of a layer",
    "image_paths": "and of an image",
    "read_holdings": "who holds what of a kind of store",
    "load": "a document, from its file",
    "loads": "and from its bytes, as in `json`",
    "dumps": "and back",
}
"""What functions do whose names stand in several modules."""


def defined(kind: type[ast.ClassDef | ast.FunctionDef]) -> dict[str, list[str]]:
    """What is defined at the top of modules: its names, and where each stands."""
    found = defaultdict(list)
    for path in SOURCES.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, kind):
                found[node.name].append(f"{path.relative_to(SOURCES)}:{node.lineno}")
    return found


def test_no_two_classes_have_one_name() -> None:
    # Also where one is private: whoever looks for a name finds both.
    places: dict[str, list[str]] = defaultdict(list)
    for name, found in defined(ast.ClassDef).items():
        places[name.lstrip("_")] += found
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_functions_of_one_name_do_the_same() -> None:
    public = {name: at for name, at in defined(ast.FunctionDef).items() if name[0] != "_"}
    assert {name for name, at in public.items() if len(at) > 1} == SAME.keys(), public
