"""What the tables of the documents say of the library is so."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest

import layerscan
from layerscan import Kind, file_table, walk, walk_many
from layerscan.walking.table import ROW
from layerscan.walking.walker import Usage
from tests.docs.reader import code, read, section, tables

PAGE = "docs/reference/library.md"


def test_every_figure_of_the_walk_is_described() -> None:
    (table,) = tables(read("docs/explanation/accounting.md"), "field of `Usage`")
    properties = [name for name, value in vars(Usage).items() if isinstance(value, property)]
    exist = {*Usage._fields, *properties}
    assert sorted(code(row[0]) for row in table.rows) == sorted(exist)


def test_rows_of_a_file_table_are_described() -> None:
    (table,) = tables(read(PAGE), "field of a row")
    assert [(code(row[0]), np.dtype(code(row[1]))) for row in table.rows] == [
        (name, ROW[name]) for name in ROW.names or ()
    ]
    assert f"{ROW.itemsize} bytes a row" in read(PAGE)
    (table,) = tables(read(PAGE), "`Kind`")
    assert {code(row[0]): int(row[1]) for row in table.rows} == dict(Kind.__members__)


def test_every_name_of_the_library_is_described() -> None:
    (table,) = tables(read(PAGE), "names")
    described = [name for row in table.rows for name in row[0].replace("`", "").split()]
    assert sorted(described) == layerscan.__all__


def test_names_are_listed_once_whatever_is_loaded() -> None:
    assert layerscan.walk is walk
    assert dir(layerscan) == sorted([*layerscan.__all__, "__version__"])


@pytest.mark.parametrize("function", [walk, walk_many, file_table])
def test_every_argument_of_the_walk_is_described(function: Callable[..., object]) -> None:
    (table,) = tables(section(PAGE, "walk"), "argument")
    arguments = inspect.signature(function).parameters
    for name, default, _ in table.rows:
        if code(name) in arguments and default:
            assert str(arguments[code(name)].default) == code(default)
    if function is walk:
        assert [code(row[0]) for row in table.rows] == list(arguments)
    else:
        text = read(PAGE)
        assert all(f"`{name}`" in text or f"`{name}=" in text for name in [*arguments][1:])
