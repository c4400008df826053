"""``layerscan scan`` as its users run it: its document, and what it does by default."""

import json
from pathlib import Path

import pytest

from layerscan import cli
from layerscan.scanning import scanner
from layerscan.walking.walker import Usage, walk_many
from tests.builders.cli_scan_case import SEVERAL, built, document, fleet, scan, validate
from tests.builders.compose_apps import put
from tests.builders.machine import Machine
from tests.builders.overlay2 import StoreBuilder
from tests.cli_runner import Fleet, error
from tests.cli_runner import run_here as run

__all__ = ["built", "fleet"]  # fixtures

# The document.


def test_document_is_written_to_the_file_and_nothing_to_stdout(
    fleet: Fleet, tmp_path: Path
) -> None:
    out = tmp_path / "layers_meta.json"
    result = scan(fleet.store, "-o", out)
    assert (result.status, result.out) == (0, b"")
    assert result.lines == [SEVERAL, fleet.never_pushed]
    content = json.loads(out.read_bytes())
    assert content == document(fleet.store, fleet.base, fleet.web, fleet.db)
    validate(content, "layers-meta.schema.json")


def test_document_of_one_architecture(fleet: Fleet) -> None:
    result = scan(fleet.store, "--arch", "arm64", "-o", "-")
    assert (result.status, result.lines) == (0, [])
    assert json.loads(result.out) == document(fleet.store, fleet.base, fleet.db)


def test_document_by_architecture(fleet: Fleet) -> None:
    result = scan(fleet.store, "--by-arch", "-o", "-")
    assert (result.status, result.lines) == (0, [fleet.never_pushed])
    content = json.loads(result.out)
    assert content == {
        "amd64": document(fleet.store, fleet.base, fleet.web),
        "arm64": document(fleet.store, fleet.base, fleet.db),
    }
    validate(content, "layers-meta-by-arch.schema.json")


def test_document_by_architecture_is_that_of_merge(fleet: Fleet, tmp_path: Path) -> None:
    arguments = []
    for name in ("arm64", "amd64"):
        out = tmp_path / name
        assert scan(fleet.store, "--arch", name, "-o", out).status == 0
        arguments.append(f"{name}={out}")
    assert run("merge", *arguments).out == scan(fleet.store, "--by-arch", "-o", "-").out


def test_architecture_that_can_be_no_key(built: StoreBuilder, tmp_path: Path) -> None:
    built.image([], names=["x:1"], architecture="[x]")
    result = scan(built, "--by-arch", "-o", tmp_path / "out")
    assert result.status == 2
    assert result.lines == [
        error(
            "image x:1: its config gives the architecture '[x]', which is not a valid name; "
            "leave it out with --arch"
        )
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["-o", "-"], ["--by-arch", "-o", "-"], ["--format", "json"], []]
)
def test_output_is_the_same_bytes_however_it_was_walked(fleet: Fleet, arguments: list[str]) -> None:
    first = scan(fleet.store, *arguments)
    assert first.out
    for result in (
        scan(fleet.store, *arguments),
        scan(fleet.store, *arguments, "-j", "1"),
        scan(fleet.store, *arguments, "-j", "32"),
    ):
        assert result == first


def test_exact_accounting_promises_more(fleet: Fleet) -> None:
    exact = scan(fleet.store, "--accounting", "exact", "-o", "-")
    assert (exact.status, exact.lines) == (0, [SEVERAL, fleet.never_pushed])
    usual = document(fleet.store, fleet.base, fleet.web, fleet.db)["layers"]
    layers = json.loads(exact.out)["layers"]
    assert {digest: meta["size"] for digest, meta in layers.items()} == {
        digest: meta["size"] for digest, meta in usual.items()
    }
    assert all(layers[digest]["usage"] > meta["usage"] for digest, meta in usual.items())


# The default command, and the options of the script that it replaces.


def test_scan_is_the_default_command(fleet: Fleet, tmp_path: Path) -> None:
    assert run("-d", fleet.store.root, "-o", "-") == scan(fleet.store, "-o", "-")
    apps = put(
        tmp_path / "apps", {"shop/docker-compose.yml": "services: {a: {image: 'acme/web:7'}}"}
    )
    root = fleet.store.root
    expected = document(fleet.store, fleet.base, fleet.web)
    for number, arguments in enumerate(
        (
            ["-d", root, "-a", apps, "-t", "7", "-o"],
            ["--docker-data-root", root, "--apps-root", apps, "--tag", "7", "--out-file"],
            ["--data-root", root, f"--apps-root={apps}", "-t7", "-o"],
        )
    ):
        out = tmp_path / str(number)
        result = run(*arguments, out)
        assert (result.status, result.out, result.lines) == (0, b"", [])
        assert json.loads(out.read_bytes()) == expected


def test_without_arguments_the_store_found_is_scanned(
    fleet: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine = Machine.isolate(tmp_path / "machine", monkeypatch)
    machine.write(machine.daemon_json, json.dumps({"data-root": fleet.store.root}))
    assert cli.main([]) == 0
    out, err = capsys.readouterr()
    assert out.split(maxsplit=1)[0] == "SIZE"
    assert out.splitlines()[-2].endswith(f"in overlay2 store {fleet.store.root}")
    assert err.splitlines() == [SEVERAL]


def test_number_of_threads_is_that_of_the_walk(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def spying(paths: list[str], **options: object) -> list[Usage]:
        given.append(options.pop("threads"))
        return walk_many(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scanner, "walk_many", spying)
    for arguments in ([], ["-j", "7"], ["--threads", "999999999"]):
        assert cli.main(["-d", fleet.store.root, "-o", "/dev/null", *arguments]) == 0
    assert given == [None, 7, 999_999_999]
