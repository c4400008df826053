"""``layerscan scan`` as its users run it: data, messages and exit status."""

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from layerscan import cli, scanner
from layerscan.walker import Usage, walk_many
from tests.builders.compose_apps import put
from tests.builders.machine import Machine
from tests.builders.overlay2 import BuiltLayer, StoreBuilder, blob_digest
from tests.builders.tree import File
from tests.cli_runner import (
    Fleet,
    Result,
    error,
    expected_usage,
    let_all_read,
    open_to_all,
    run,
    run_as_nobody,
    undigested,
    warning,
)
from tests.requirements import require_root

SEVERAL = warning(
    "the images are of several architectures: amd64, arm64; choose one with --arch, or tell them "
    "apart with --by-arch"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A store for all tests here, which only read it."""
    return Fleet.build(tmp_path_factory.mktemp("fleet") / "docker")


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


def scan(store: StoreBuilder, *arguments: object, env: dict[str, str] | None = None) -> Result:
    return run("scan", "-d", store.root, *arguments, env=env)


def document(store: StoreBuilder, *layers: BuiltLayer) -> dict[str, Any]:
    return {
        "fs_block_size": os.statvfs(store.root).f_bsize,
        "layers": {
            blob_digest(layer.diff_id): {
                "size": layer.size,
                "usage": expected_usage(store, layer),
            }
            for layer in layers
        },
    }


def validate(content: object, name: str) -> None:
    schema = json.loads(files("layerscan").joinpath("schemas", name).read_text())
    jsonschema.Draft202012Validator(schema).validate(content)


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
    built.image([], names=["x:1"], architecture="[/]")
    result = scan(built, "--by-arch", "-o", tmp_path / "out")
    assert result.status == 2
    assert result.lines == [
        error(
            "image x:1: its config gives the architecture '[/]', which is none; leave it out with "
            "--arch"
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
        scan(fleet.store, *arguments, env={"LAYERSCAN_WALK": "python"}),
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
    assert out.startswith("IMAGE ")
    assert out.endswith(f"in overlay2 store {fleet.store.root}\n")
    assert err.splitlines() == [SEVERAL, fleet.never_pushed]


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


# Which images.


def test_image_by_reference_and_by_id(fleet: Fleet) -> None:
    for text in ("nginx:1.25", "docker.io/library/nginx:1.25"):
        result = scan(fleet.store, "-i", text, "-o", "-")
        assert (result.status, result.lines) == (0, [])
        assert json.loads(result.out) == document(fleet.store, fleet.base, fleet.db)
    image_id = fleet.store.repositories["nginx"]["nginx:1.25"].removeprefix("sha256:")
    assert scan(fleet.store, "-i", image_id[:12], "-o", "-") == result
    both = scan(fleet.store, "-i", image_id, "--image", "acme/web:7", "-o", "-")
    assert both.lines == [SEVERAL]
    assert json.loads(both.out) == document(fleet.store, fleet.base, fleet.db, fleet.web)


def test_image_that_is_not_there(fleet: Fleet, tmp_path: Path) -> None:
    result = scan(fleet.store, "-i", "acme/web:8", "-o", tmp_path / "out")
    assert result.status == 2
    (line,) = result.lines
    there = error(
        "image acme/web:8 is not in the store; of that repository it holds acme/web:7, "
        "acme/web@sha256:"
    )
    assert line.startswith(there)
    assert not (tmp_path / "out").exists()
    result = scan(fleet.store, "-i", "other")
    assert (result.status, result.lines) == (2, [error("image other is not in the store")])


def test_image_id_of_several(built: StoreBuilder) -> None:
    for number in range(17):
        built.image([], names=[f"x:{number}"], extra={"number": number})
    ids = [one for names in built.repositories.values() for one in names.values()]
    digit = next(d for d in "0123456789abcdef" if sum(one[7] == d for one in ids) > 1)
    count = sum(one[7] == digit for one in ids)
    result = scan(built, "-i", f"sha256:{digit}")
    assert (result.status, result.lines) == (
        2,
        [error(f"image id sha256:{digit} is the beginning of {count} images: give more of it")],
    )


def test_architecture_that_no_image_has(fleet: Fleet) -> None:
    result = scan(fleet.store, "--arch", "riscv64")
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [error("no image has architecture riscv64; there are: amd64, arm64")]


def test_images_without_a_name_only_with_all(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x"))
    image_id = built.image([layer])
    result = scan(built, "-o", "-")
    assert result.status == 0
    nameless = f"{built.root}: no image has a name; --all is about the others too"
    assert result.lines == [warning(nameless)]
    assert json.loads(result.out)["layers"] == {}
    result = scan(built, "--all")
    short = image_id.removeprefix("sha256:")[:12]
    assert short in result.text
    assert result.lines == [warning(undigested(short, "", layer.diff_id))]


# Compose Apps.


def test_images_of_apps_by_the_tag_that_ci_gave(fleet: Fleet, tmp_path: Path) -> None:
    apps = put(
        tmp_path,
        {
            "shop/docker-compose.yml": (
                "services:\n"
                "  db: {image: 'docker.io/nginx:${VERSION}'}\n"
                "  web: {image: 'hub.foundries.io/acme/web:latest'}\n"
                "  away: {image: 'acme/away:1'}\n"
                "  odd: {image: 'acme/web:7${SUFFIX}'}\n"
            ),
            "shop/.env": "VERSION=1.25\n",
            "off.disabled/docker-compose.yml": "services: {a: {image: 'acme/off'}}",
        },
    )
    result = scan(fleet.store, "-a", apps, "-t", "7", "--by-arch", "-o", "-")
    assert result.status == 0
    assert result.lines == [
        warning("App shop, service odd: the image's name uses variables that are not set: SUFFIX"),
        warning(
            "image acme/away:1 (App shop, service away) is not in the store: not built for this "
            "architecture? skipped"
        ),
    ]
    assert json.loads(result.out) == {
        "amd64": document(fleet.store, fleet.base, fleet.web),
        "arm64": document(fleet.store, fleet.base, fleet.db),
    }


def test_factory_registry_is_the_one_given(fleet: Fleet, tmp_path: Path) -> None:
    apps = put(
        tmp_path, {"a/docker-compose.yml": "services: {a: {image: 'hub.foundries.io/acme/web'}}"}
    )
    other = scan(
        fleet.store, "-a", apps, "-t", "7", "--factory-registry", "hub.example.com", "-o", "-"
    )
    assert other.status == 0
    absent, nothing = other.lines
    assert nothing == warning(f"{fleet.store.root}: the store holds no image asked for")
    assert absent.startswith(
        warning("image hub.foundries.io/acme/web:latest (App a, service a) is not in the store; of")
    )
    assert absent.endswith(": not built for this architecture? skipped")
    assert json.loads(other.out) == document(fleet.store)


def test_apps_that_cannot_be_read(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        result = scan(fleet.store, "-a", tmp_path / name)
        assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
        assert result.lines[0].startswith(error(f"{tmp_path / name}: "))
    apps = put(tmp_path / "bad", {"a/docker-compose.yml": "services: {a: {image: 'b'}, a: ["})
    result = scan(fleet.store, "-a", apps)
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert result.lines[0].startswith(error(f"{apps}/a/docker-compose.yml"))


# Stores that cannot be opened, or hold nothing.


def test_no_store(tmp_path: Path) -> None:
    result = run("scan", "-d", tmp_path)
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [
        error(
            f"{tmp_path}: no image store here: looked for image/overlay2, "
            "io.containerd.metadata.v1.bolt, overlay-images in it"
        )
    ]
    result = run("scan", "-d", tmp_path / "none")
    assert (result.status, result.lines) == (
        2,
        [error(f"{tmp_path}/none: there is no such folder")],
    )


def test_unknown_graph_driver(tmp_path: Path) -> None:
    (tmp_path / "image" / "vfs").mkdir(parents=True)
    result = run("scan", "-d", tmp_path)
    assert result.status == 2
    assert result.lines == [
        error(f"{tmp_path}: its images are of the graph driver vfs; only overlay2 can be read")
    ]


def test_options_of_another_kind_of_store(fleet: Fleet) -> None:
    for option in (("--namespace", "moby"), ("--platform", "linux/arm64")):
        for kind in ("overlay2", "containers-storage"):
            result = scan(fleet.store, "-s", kind, *option)
            assert result.status == 2
            assert result.lines == [error(f"{option[0]} is for stores of kind containerd only")]


def test_empty_store(built: StoreBuilder) -> None:
    result = scan(built)
    assert result.status == 0
    line = warning(f"{built.root}: the overlay2 image store has no images")
    assert result.lines == [line]
    assert "0 images, 0 layers, 0 files: size 0 B, usage 0 B" in result.text
    written = scan(built, "-o", "-")
    assert written.lines == [line]
    assert json.loads(written.out) == document(built)
    validate(json.loads(written.out), "layers-meta.schema.json")


def test_empty_store_beside_one_of_containerd(built: StoreBuilder) -> None:
    os.mkdir(built.path("containerd"))
    result = scan(built)
    assert result.status == 0
    assert result.lines == [
        warning(
            f"{built.root}: the overlay2 image store has no images; it has a folder containerd, "
            "where Docker 29 and later keep images: --store containerd reads those"
        )
    ]


def test_store_without_permission() -> None:
    require_root()
    with open_to_all() as folder:
        fleet = Fleet.build(folder / "docker")
        result = run_as_nobody("scan", "-d", fleet.store.root)
        assert (result.status, result.out) == (2, b"")
        assert result.lines == [error(f"{fleet.store.root}: permission denied; use sudo")]
        let_all_read(fleet.store)
        result = run_as_nobody("scan", "-d", fleet.store.root, "--arch", "arm64", "-o", "-")
        assert (result.status, result.lines) == (0, [])
        assert json.loads(result.out) == document(fleet.store, fleet.base, fleet.db)


def test_tag_without_apps_is_warned_of(fleet: Fleet) -> None:
    plain, tagged = scan(fleet.store, "-o", "-"), scan(fleet.store, "-t", "1", "-o", "-")
    assert tagged.out == plain.out
    line = "--tag is for the images of Apps: without --apps-root it does nothing"
    assert tagged.lines == [warning(line), *plain.lines]


def test_walk_that_does_not_exist(fleet: Fleet) -> None:
    result = scan(fleet.store, env={"LAYERSCAN_WALK": "bogus"})
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [
        error(
            "LAYERSCAN_WALK='bogus': there is no such walk; unset it, or set it to 'compiled' or "
            "'python'"
        )
    ]
