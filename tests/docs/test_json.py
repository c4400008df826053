"""The JSON of the reference is what the program writes, and each of its fields is described."""

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from tests.docs.reader import code, command_page, documented, fields, read, tables
from tests.docs.workbench import Workbench, workbench
from tests.requirements import require

__all__ = ["workbench"]  # a fixture


@pytest.fixture
def sample(workbench: Workbench) -> Workbench:
    """A workbench with the whole sample store."""
    done = workbench.run("python", "-m", "tests.builders.sample", "/tmp/sample")
    require(done.returncode == 0 and not done.stdout, f"it needs root: {done.stdout}")
    return workbench


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


def test_every_schema_is_listed() -> None:
    (table,) = tables(read("docs/reference/documents.md"), "schema")
    shipped = [file.name for file in resources.files("layerscan").joinpath("schemas").iterdir()]
    assert sorted(code(row[0]) for row in table.rows) == sorted(shipped)


@pytest.mark.slow
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


def test_every_field_of_the_report_is_described() -> None:
    (table,) = tables(read(command_page("scan")), "field")
    report = documented("report") | {"problems": [{"where": "", "what": ""}]}
    assert [code(row[0]) for row in table.rows] == list(fields(report, ""))
    (table,) = tables(read(command_page("stores")), "field")
    assert [code(row[0]) for row in table.rows] == list(fields(documented("stores"), ""))
    (table,) = tables(read(command_page("du")), "field")
    (entry,) = documented("du")
    entry["errors"] = [{"path": "", "errno": 0}]
    assert [code(row[0]) for row in table.rows] == list(fields(entry, ""))
