"""``layerscan check`` as a user runs it: what it prints, and what it ends with."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File
from tests.cli_runner import Result, error, warning
from tests.cli_runner import run_here as run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

ONE = Layer("one", archive_size=1024, usage=4096)
SCHEMA = Draft202012Validator(
    json.loads(resources.files("layerscan").joinpath("schemas", "check.schema.json").read_text())
)
POLICIES = ("aktualizr-lite", "composectl", "aktualizr-lite-skopeo", "exact")
SKOPEO = ("--policy", "aktualizr-lite-skopeo")
NO_MORE = "the client takes a layer to need no more than its blob"
ALONE = "metadata alone; the App's other blobs are not counted"


def write_device(path: Path, free: int, *, block_size: int = 1024, **more: object) -> Path:
    disk = {
        "block_size": block_size,
        "blocks": 100_000,
        "free_blocks": free,
        "available_blocks": free // 2,
    }
    document = {
        "architecture": ARCH,
        "volumes": {"data": disk},
        "store_root": "data",
        "docker_root": "data",
        "blobs": [],
    }
    path.write_text(json.dumps(document | more))
    return path


def write_metadata(path: Path, *layers: Layer) -> Path:
    path.write_bytes(encode({ARCH: metadata_of(layers)}))
    return path


def report(*arguments: object, status: int = 0) -> dict[str, Any]:
    done = run("check", *arguments, "--format", "json")
    assert done.status == status, done.lines
    found: dict[str, Any] = json.loads(done.out)
    SCHEMA.validate(found)
    assert found["fits"] == (status == 0)
    assert done.lines == [warning(text) for text in found["warnings"]]
    return found


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    return write_metadata(tmp_path / "meta.json", ONE)


# The answer.


def test_it_fits(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 20_005)
    done = run("check", "--layers-meta", meta, "--device", device)
    assert (done.status, done.lines) == (0, [warning(f"{meta}: {ALONE}")])
    assert [" ".join(line.split()) for line in done.text.splitlines()] == [
        "REQUIRED AVAILABLE RESERVED TOTAL FITS FOR VOLUME",
        "5.0 KiB 5.0 KiB 19.5 MiB 97.7 MiB yes blobs and layers data",
        "0.01 % 0.01 % 20.00 %",
        "",
        "ARCHIVE SIZE USAGE RULE MISSING LAYER",
        f"1.0 KiB 4.0 KiB metadata {ONE.digest[7:19]}",
        "",
        "layers missing: 1, download: 1.0 KiB",
        f"fits: {meta} for arm64 (aktualizr-lite, watermark 80 %)",
    ]


def test_it_does_not_fit(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 20_004)
    done = run("check", "--layers-meta", meta, "--device", device)
    assert done.status == 1
    assert done.text.splitlines()[-2:] == [
        "data: 1.0 KiB would have to be freed",
        f"does not fit: {meta} for arm64 (aktualizr-lite, watermark 80 %)",
    ]


def test_json_has_all_facts(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 20_004)
    found = report("--layers-meta", meta, "--device", device, status=1)
    assert found == {
        "fits": False,
        "policy": "aktualizr-lite",
        "architecture": "arm64",
        "watermark": 80,
        "reserved_storage": None,
        "device": str(device),
        "apps": [{"app": str(meta), "rule": "metadata"}],
        "volumes": [
            {
                "volume": "data",
                "app": None,
                "purposes": ["store", "docker"],
                "fits": False,
                "required": {"bytes": 5120, "percent": 0.01},
                "required_at_least": {"bytes": 5120, "percent": 0.01},
                "free": {"bytes": 20_484_096, "percent": 20.0},
                "reserved": {"bytes": 20_480_000, "percent": 20.0},
                "available": {"bytes": 4096, "percent": 0.0},
                "total": {"bytes": 102_400_000, "percent": 100.0},
                "left": {"bytes": 0, "percent": 0.0},
                "to_free": {"bytes": 1024, "percent": 0.0},
                "inodes": None,
            }
        ],
        "bundles": [],
        "missing_layers": [
            {"digest": ONE.digest, "archive_size": 1024, "usage": 4096, "rule": "metadata"}
        ],
        "missing_others": {"blobs": 0, "size": 0},
        "download": 1024,
        "delete": None,
        "warnings": [f"{meta}: {ALONE}"],
    }


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("place", ["store", "dry run", "registry"])
def test_app_of_every_source_by_every_policy(
    tmp_path: Path, open_registry: OpenRegistry, policy: str, place: str
) -> None:
    app = app_of(ONE, index=True)
    name = app.push(open_registry)
    if place != "registry":
        name = app.store(tmp_path / "s") if place == "store" else app.dry_run(tmp_path / "d")
    device = write_device(tmp_path / "device.json", 90_000)
    found = report("--app", name, "--device", device, "--policy", policy)
    assert [one["rule"] for one in found["apps"]] == ["metadata"]
    assert [layer["digest"] for layer in found["missing_layers"]] == [ONE.digest]
    assert (found["missing_others"] is None) == (policy == "aktualizr-lite-skopeo")
    assert len(found["bundles"]) == (policy == "aktualizr-lite-skopeo")
    full = write_device(tmp_path / "full.json", 0)
    assert not report("--app", name, "--device", full, "--policy", policy, status=1)["fits"]


def test_several_apps_and_files(tmp_path: Path) -> None:
    two = write_metadata(tmp_path / "two.json", ONE, Layer("two", 1024, 1024))
    one = write_metadata(tmp_path / "one.json", ONE)
    device = write_device(tmp_path / "device.json", 20_007)
    for arguments in (
        ("--layers-meta", one, two),
        ("--layers-meta", one, "--layers-meta", two),
    ):
        for policy in ("aktualizr-lite-skopeo", "composectl"):
            options = ("--watermark", "80", "--policy", policy)
            found = report(*arguments, "--device", device, *options)
            assert found["volumes"][0]["required"]["bytes"] == 7168
        found = report(*arguments, "--device", device)
        needed = [(one["app"], one["required"]["bytes"]) for one in found["volumes"]]
        assert needed == [(str(one), 5120), (str(two), 2048)]
    name = App({"web": {ARCH: [ONE]}}).store(tmp_path / "a")
    other = App({"db": {ARCH: [ONE]}}).store(tmp_path / "b")
    found = report("--app", name, other, "--device", device, "--watermark", "95")
    assert [one["app"] for one in found["apps"]] == [name, other]
    assert len(found["missing_layers"]) == 1


def test_names_are_shown_on_one_line(tmp_path: Path) -> None:
    odd = tmp_path / "od\nd"
    odd.mkdir()
    meta = write_metadata(odd / "meta.json", ONE)
    device = write_device(tmp_path / "device.json", 90_000, docker_root="x\ty")
    document = json.loads(device.read_text())
    document["volumes"]["x\ty"] = document["volumes"]["data"]
    device.write_text(json.dumps(document))
    done = run("check", "--layers-meta", meta, "--device", device)
    assert done.status == 0
    assert "x\ty" not in done.text
    assert "od\nd" not in done.text
    assert all("\n" not in line for line in done.lines)


# The options.


def test_watermark(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 5_005)
    assert run("check", "--layers-meta", meta, "--device", device).status == 1
    assert report("--layers-meta", meta, "--device", device, "--watermark", "95")["watermark"] == 95


def test_client_that_is_not_root(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 30_000)
    options = ("--layers-meta", meta, "--device", device)
    # composectl counts them whoever asks.
    assert report(*options, "--unprivileged")["volumes"][0]["free"]["percent"] == 30
    assert report(*options, *SKOPEO)["volumes"][0]["free"]["percent"] == 30
    found = report(*options, *SKOPEO, "--unprivileged", status=1)
    assert found["volumes"][0]["free"]["percent"] == 15


def test_engine_that_pulls(tmp_path: Path) -> None:
    layer = Layer("large", archive_size=100 * 1024, usage=200 * 1024)
    name = app_of(layer).store(tmp_path / "store")
    # More than what stays, less than what may be needed meanwhile.
    device = write_device(tmp_path / "device.json", 225)
    options = ("--app", name, "--device", device, "--policy", "exact", "--engine-pulls")
    found = report(*options, status=1)
    volume = found["volumes"][0]
    assert volume["required_at_least"]["bytes"] < volume["available"]["bytes"]
    done = run("check", *options)
    assert done.status == 1
    assert "would have to be freed; it may also fit, if layers come slowly" in done.text
    device = write_device(tmp_path / "device.json", 150)
    assert re_search(r"to be freed; .*B in the best case", run("check", *options))


def re_search(pattern: str, done: Result) -> bool:
    import re

    return re.search(pattern, done.text) is not None


def test_what_is_installed_is_not_missing(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 20_000)
    both = write_metadata(tmp_path / "both.json", ONE, Layer("two"))
    options = ("--layers-meta", both, "--device", device)
    found = report(*options, "--installed", meta, status=1)
    assert [layer["digest"] for layer in found["missing_layers"]] == [Layer("two").digest]
    app = app_of(ONE, Layer("two")).store(tmp_path / "store")
    assert report(*options, "--installed", app)["missing_layers"] == []
    described = write_device(tmp_path / "described.json", 20_000, installed=["both.json"])
    assert report("--layers-meta", both, "--device", described)["missing_layers"] == []


def test_installed_app_is_whole_for_composectl(tmp_path: Path) -> None:
    name = app_of(ONE, index=True, bundle_index=True).store(tmp_path / "store")
    device = write_device(tmp_path / "device.json", 0)
    options = ("--app", name, "--device", device, "--policy", "composectl")
    assert report(*options, status=1)["missing_others"]["blobs"] == 7
    found = report(*options, "--installed", name)
    assert (found["missing_others"], found["download"]) == ({"blobs": 0, "size": 0}, 0)


def test_architecture(tmp_path: Path) -> None:
    name = App({"web": {"arm64": [ONE], "amd64": [Layer("two")]}}, index=True).store(tmp_path / "s")
    device = write_device(tmp_path / "device.json", 90_000)
    assert report("--app", name, "--device", device)["architecture"] == "arm64"
    found = report("--app", name, "--device", device, "--arch", "amd64")
    assert found["missing_layers"][0]["digest"] == Layer("two").digest
    assert found["warnings"] == [f"{device}: is arm64; the answer is for amd64"]
    bare = json.loads(device.read_text())
    del bare["architecture"]
    device.write_text(json.dumps(bare))
    assert report("--app", name, "--device", device, "--arch", "arm64")["fits"]
    done = run("check", "--app", name, "--device", device)
    message = f"{device}: does not say its architecture; give it with --arch"
    assert (done.status, done.lines) == (2, [error(message)])


def test_this_machine(tmp_path: Path) -> None:
    meta = tmp_path / "meta.json"
    meta.write_bytes(encode({name: metadata_of([ONE]) for name in ("amd64", "arm64")}))
    store = tmp_path / "store" / "blobs" / "sha256"
    options = (
        *("--layers-meta", meta, "--store-root", tmp_path / "store"),
        *("--docker-root", tmp_path / "docker"),
    )
    found = report(*options)
    assert found["device"] == "this machine"
    assert "there is no such folder yet" in found["warnings"][0]
    assert len(found["missing_layers"]) == 1
    store.mkdir(parents=True)
    (store / ONE.digest[7:]).write_bytes(b"")
    assert report(*options, *SKOPEO)["missing_layers"] == []
    assert len(report(*options)["missing_layers"]) == 1


def test_exact_asks_the_engine_of_this_machine(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "docker")
    layer = store.layer(None, File("a", size=10))
    digest = Layer("one").digest
    store.image([layer], names=["x:1"], pushed={"docker.io/library/x": [digest]})
    meta = tmp_path / "meta.json"
    meta.write_bytes(encode({name: metadata_of([ONE]) for name in ("amd64", "arm64")}))
    found = report(
        *("--layers-meta", meta, "--store-root", tmp_path, "--policy", "exact"),
        *("--docker-root", tmp_path / "docker"),
    )
    assert [(one["archive_size"], one["usage"]) for one in found["missing_layers"]] == [(1024, 0)]


# What cannot be told.


def refused(*arguments: object) -> str:
    done = run("check", *arguments)
    assert (done.status, done.out) == (2, b"")
    (line,) = (line for line in done.lines if line.startswith("layerscan: error: "))
    return line.removeprefix("layerscan: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--watermark", "96"), "--watermark 96: this policy takes 20 to 95 percent"),
        (("--watermark", "19"), "--watermark 19: this policy takes 20 to 95 percent"),
        (
            ("--watermark", "100", "--policy", "composectl"),
            "--watermark 100: this policy takes 20 to 99 percent",
        ),
        (
            ("--watermark", "0", "--policy", "exact"),
            "--watermark 0: this policy takes 1 to 100 percent",
        ),
        (("--arch", "ARM 64"), "--arch 'ARM 64' is no architecture name: amd64, arm64, …"),
        (("--quick",), "--quick is for --policy composectl, not aktualizr-lite"),
        (
            ("--client-store-root", "/x"),
            "--device describes the disks: say it there, without --client-store-root",
        ),
        (("--engine-pulls",), "--engine-pulls is for --policy exact, not aktualizr-lite"),
        (
            ("--store-root", "/x"),
            "--device describes the disks: say it there, without --store-root",
        ),
        (
            ("--insecure-registry", "http://x"),
            "'http://x' is no registry: expected HOST or HOST:PORT, as image names begin",
        ),
    ],
)
def test_wrong_options(
    tmp_path: Path, meta: Path, arguments: tuple[str, ...], message: str
) -> None:
    device = write_device(tmp_path / "device.json", 90_000)
    assert refused("--layers-meta", meta, "--device", device, *arguments) == message


def test_wrong_usage(meta: Path) -> None:
    assert "one of the arguments --app --layers-meta is required" in refused()
    assert "not allowed with argument" in refused("--layers-meta", meta, "--app", "x")
    assert "'8o' is no whole number of percent" in refused("--app", "x", "--watermark", "8o")
    assert "invalid choice: 'guess'" in refused("--app", "x", "--policy", "guess")


def test_wrong_files(tmp_path: Path, meta: Path) -> None:
    device = write_device(tmp_path / "device.json", 90_000)
    options = ("--layers-meta", meta, "--device")
    assert (
        refused(*options, tmp_path / "no")
        == f"{tmp_path}/no: cannot be read: No such file or directory"
    )
    bad = tmp_path / "bad.json"
    bad.write_text('{"volumes": []}')
    assert refused(*options, bad) == f"{bad}: $.volumes: must be an object"
    bad.write_text("{")
    assert "is not JSON" in refused("--layers-meta", bad, "--device", device)
    bad.write_bytes(encode({"amd64": metadata_of([ONE])}))
    message = f'{bad}: has no arm64; it has: "amd64"'
    assert refused("--layers-meta", bad, "--device", device) == message
    document = {ARCH: metadata_of([ONE])}
    del document[ARCH]["layers"][ONE.digest]["archive_size"]
    bad.write_bytes(encode(document))
    message = f'{bad}: layer {ONE.digest}: key "archive_size" is missing; publishing an App adds it'
    assert refused("--layers-meta", bad, "--device", device) == message
    assert report("--layers-meta", bad, "--device", device, *SKOPEO)["download"] == 0
    described = write_device(tmp_path / "described.json", 20_000, installed=["gone.json"])
    assert refused(*options, described).startswith(f"{tmp_path}/gone.json: cannot be read")


def test_app_that_is_not_there(tmp_path: Path, open_registry: OpenRegistry) -> None:
    device = write_device(tmp_path / "device.json", 90_000)
    message = refused("--app", f"{open_registry.address}/fleet/app:1", "--device", device)
    assert f"{open_registry.address}/fleet/app:1" in message
    assert "has neither manifest.json" in refused("--app", tmp_path, "--device", device)
