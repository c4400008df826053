"""What the documents say of the project is so: which module imports which, and why a package."""

import ast
import re
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from layerscan.extras import PACKAGES
from tests.docs.reader import PROJECT, ROOT, SOURCES, blocks, code, read, section, tables

PAGE = "docs/explanation/development.md"

EXTRAS: dict[str, list[str]] = dict(PROJECT["project"]["optional-dependencies"])
# The others together.
ALL = EXTRAS.pop("all")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "layerscan":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("layerscan."):
            yield str(node.module).split(".")[1]


def test_modules_import_what_the_house_map_says() -> None:
    (table,) = tables(read(PAGE), "room or module")
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
    # Each stands above all that it imports, so there are no circles.
    names = [*allowed]
    for place, name in enumerate(names):
        assert allowed[name] <= set(names[place + 1 :]), name


def test_the_picture_of_the_house_is_that_of_the_imports() -> None:
    (table,) = tables(read(PAGE), "room or module")
    allowed = {code(row[0]): set(row[2].replace("`", "").split()) for row in table.rows}
    rooms = [name for name in allowed if (SOURCES / name).is_dir()]
    (picture,) = [block for block in blocks(PAGE) if block.language == "mermaid"]
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", picture.text, re.MULTILINE)
    below: dict[str, set[str]] = {}
    for room in reversed(rooms):
        drawn = [end for start, end in arrows if start == room]
        below[room] = {*drawn}.union(*(below[end] for end in drawn))
        imported_rooms = allowed[room] & {*rooms}
        assert below[room] == imported_rooms.union(*(below[one] for one in imported_rooms)), room
        # None that goes without saying.
        assert not {*drawn} & set().union(*(below[end] for end in drawn)), room


def test_the_house_is_seen_at_a_glance() -> None:
    top = [
        path.name
        for path in SOURCES.iterdir()
        if path.suffix != ".so" and path.name != "__pycache__"
    ]
    rooms = [name for name in top if name != "schemas" and (SOURCES / name).is_dir()]
    assert len(top) - len(rooms) <= 16
    folders = (SOURCES, ROOT / "tests", ROOT / "benchmarks")
    sources = [
        path for folder in folders for path in folder.rglob("*.p[yx]*") if path.suffix != ".pyc"
    ]
    lines = {str(path): len(path.read_text().splitlines()) for path in sources}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_file_imports_one_that_imports_it() -> None:
    files = {}
    for path in SOURCES.rglob("*.py"):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    imports = {name: {*imported_files(path, files)} - {name} for name, path in files.items()}
    # Raises CycleError.
    assert len(list(TopologicalSorter(imports).static_order())) >= len(files)


@pytest.mark.parametrize("command", ["scan", "predict", "publish", "check"])
def test_a_command_is_read_file_by_file_without_looking_back(command: str) -> None:
    walk = section(PAGE, "Four commands, file by file")
    (table,) = tables(walk, command)
    names = [code(row[0]) for row in table.rows]
    everything = {str(path.relative_to(SOURCES)): path for path in SOURCES.rglob("*.py*")}
    assert names[0] == f"cli/{command}.py"
    assert set(names) <= everything.keys()
    for place, name in enumerate(names):
        text = everything[name].read_text()
        back = [above for above in names[:place] if mentions(text, above)]
        assert not back, f"{name} leads back to {back}"


def mentions(text: str, file: str) -> bool:
    """Whether a source imports another file, if only for type checkers."""
    package, _, module = ("layerscan/" + file.partition(".")[0]).replace("/", ".").rpartition(".")
    return bool(
        re.search(rf"^ *from {package}\.{module} import", text, re.MULTILINE)
        or re.search(rf"^ *from {package} import .*\b{module}\b", text, re.MULTILINE)
    )


def imported_files(path: Path, files: Container[str]) -> Iterator[str]:
    """What a file imports when it runs, not for type checkers alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("layerscan"):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in files else str(node.module) for name in names)


def test_modules_of_each_kind_of_store_are_those_described() -> None:
    (table,) = tables(read(PAGE), "package of `stores`")
    described = {code(row[0]): set(re.findall(r"`(\w+)`", row[1])) for row in table.rows}
    common = {"__init__", "store", "reading", "footprint"}
    found = {
        package.name: {path.stem for path in package.glob("*.py")}
        for package in (SOURCES / "stores").iterdir()
        if list(package.glob("*.py"))
    }
    assert found.keys() == described.keys()
    for name, modules in found.items():
        # Compiled modules stand above the packages.
        own = {module for module in described[name] if not module.startswith("_")}
        assert modules == own | common, name


@pytest.mark.parametrize(
    ("heading", "packages"),
    [
        ("At run time", [one for extra in EXTRAS.values() for one in extra]),
        ("At build time", PROJECT["build-system"]["requires"]),
        ("For tests", PROJECT["dependency-groups"]["test"]),
        ("For lint", PROJECT["dependency-groups"]["lint"]),
        ("For fuzzing", PROJECT["dependency-groups"]["fuzz"]),
        ("For small faults", PROJECT["dependency-groups"]["mutate"]),
    ],
)
def test_every_dependency_has_a_reason(heading: str, packages: list[str]) -> None:
    (table,) = tables(section("docs/reference/dependencies.md", heading), "package")
    named = [re.split("[^a-z0-9-]", package)[0] for package in packages]
    assert sorted(code(row[0]) for row in table.rows) == sorted(named)
    assert all(row[1] for row in table.rows)


def test_every_extra_is_said_to_be_what_it_is() -> None:
    (table,) = tables(section("docs/reference/dependencies.md", "At run time"), "package")
    described = {(code(row[1]), code(row[0])) for row in table.rows}
    packages = {
        (extra, re.split("[^a-z0-9-]", package)[0])
        for extra, listed in EXTRAS.items()
        for package in listed
    }
    assert described == packages
    assert PROJECT["project"]["dependencies"] == []
    assert [f"layerscan[{','.join(EXTRAS)}]"] == ALL
    # What a message says to install has what it says is missing.
    for extra, need in PACKAGES.values():
        assert (extra, need.rpartition(" ")[2]) in packages, need
    named = {need.rpartition(" ")[2] for _, need in PACKAGES.values()}
    # zlib stands in for it.
    assert {package for _, package in packages} - named == {"isal"}
    (table,) = tables(section("README.md", "Install"), "extra")
    assert [row[0].strip("`") for row in table.rows] == ["none", *EXTRAS]
