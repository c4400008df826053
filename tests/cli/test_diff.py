"""``layerscan diff`` and ``layerscan device`` as a user runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from layerscan.fit import device_file
from layerscan.fit.difference import compare, of_metadata
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of
from tests.builders.overlay2 import StoreBuilder
from tests.builders.rendered import rendered
from tests.builders.tree import File
from tests.cli_runner import error, warning
from tests.cli_runner import run_here as run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

SCHEMAS = resources.files("layerscan").joinpath("schemas")
KEPT, ADDED, REMOVED = (
    Layer("kept", 1000, 5000),
    Layer("added", 200, 3000),
    Layer("removed", 30, 2000),
)


def report(*arguments: object) -> list[dict[str, Any]]:
    done = run("diff", *arguments, "--format", "json")
    assert done.status == 0, done.lines
    found: list[dict[str, Any]] = json.loads(done.out)
    schema = json.loads(SCHEMAS.joinpath("diff.schema.json").read_text())
    Draft202012Validator(schema).validate(found)
    return found


@pytest.fixture
def old(tmp_path: Path) -> str:
    return app_of(KEPT, REMOVED).store(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> str:
    return app_of(KEPT, ADDED).store(tmp_path / "new")


def test_what_an_update_changes(old: str, new: str) -> None:
    def plain(layer: Layer) -> dict[str, object]:
        return {
            "digest": layer.digest,
            "archive_size": layer.archive_size,
            "usage": layer.usage,
            "inodes": None,
        }

    assert report(old, new) == [
        {
            "architecture": ARCH,
            "kept": [plain(KEPT)],
            "added": [plain(ADDED)],
            "removed": [plain(REMOVED)],
            "download": 200,
            "peak": {"layers": 3, "archive_size": 1230, "usage": 10_000, "inodes": None},
            "after": {"layers": 2, "archive_size": 1200, "usage": 8000, "inodes": None},
        }
    ]


def test_report_for_people(old: str, new: str) -> None:
    done = run("diff", old, new)
    assert (done.status, done.lines) == (0, [])
    assert [" ".join(line.split()) for line in done.text.splitlines()] == [
        "ARCHIVE SIZE USAGE LAYER ARM64",
        f"1000 B 4.9 KiB {KEPT.digest[7:19]} kept",
        f"200 B 2.9 KiB {ADDED.digest[7:19]} added",
        f"30 B 2.0 KiB {REMOVED.digest[7:19]} removed",
        "",
        "LAYERS ARCHIVE SIZE USAGE ARM64",
        "1 1000 B 4.9 KiB kept",
        "1 200 B 2.9 KiB added",
        "1 30 B 2.0 KiB removed",
        "3 1.2 KiB 9.8 KiB both are there",
        "2 1.2 KiB 7.8 KiB the old one is removed",
        "",
        "arm64: download 200 B",
    ]


def test_report_for_a_pull_request(old: str, new: str, tmp_path: Path) -> None:
    done = run("diff", old, new, "--format", "markdown", "-o", tmp_path / "summary.md")
    assert (done.status, done.out, done.lines) == (0, b"", [])
    text = (tmp_path / "summary.md").read_text()
    figures = "download 200 B, at its peak 9.8 KiB of disk, after it 7.8 KiB"
    assert text.startswith(f"**arm64**: {figures}\n")
    cells = rendered(text).cells
    assert cells[:4] == ["arm64", "Archive size", "Usage", "Layer"]
    assert cells[4:8] == ["added", "200 B", "2.9 KiB", ADDED.digest]
    assert cells[8:] == ["removed", "30 B", "2.0 KiB", REMOVED.digest]


def test_layers_come_by_what_they_take(tmp_path: Path) -> None:
    layers = [Layer(name, 1, usage) for name, usage in (("a", 10), ("b", 30), ("c", 20))]
    old = app_of(*layers[:1], *layers[2:]).store(tmp_path / "old")
    new = app_of(*layers).store(tmp_path / "new")
    lines = [" ".join(line.split()) for line in run("diff", old, new).text.splitlines()]
    assert lines[:4] == [
        "ARCHIVE SIZE USAGE LAYER ARM64",
        f"1 B 20 B {layers[2].digest[7:19]} kept",
        f"1 B 10 B {layers[0].digest[7:19]} kept",
        f"1 B 30 B {layers[1].digest[7:19]} added",
    ]


def counted(*layers: Layer) -> bytes:
    return encode({ARCH: metadata_of(layers)})


def test_inodes_are_shown_where_they_are_known(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    kept, added, removed = (
        replace(layer, inodes=inodes)
        for layer, inodes in ((KEPT, 40), (ADDED, 3000), (REMOVED, 20))
    )
    old.write_bytes(counted(kept, removed))
    new.write_bytes(counted(kept, added))
    (found,) = report(old, new)
    assert [found[part][0]["inodes"] for part in ("kept", "added", "removed")] == [40, 3000, 20]
    assert (found["peak"]["inodes"], found["after"]["inodes"]) == (3060, 3040)
    lines = [" ".join(line.split()) for line in run("diff", old, new).text.splitlines()]
    assert f"200 B 2.9 KiB 3,000 {ADDED.digest[7:19]} added" in lines
    assert {"ARCHIVE SIZE USAGE INODES LAYER ARM64", "LAYERS ARCHIVE SIZE USAGE INODES ARM64"} < {
        *lines
    }
    assert "3 1.2 KiB 9.8 KiB 3,060 both are there" in lines
    # One that does not say them makes the sums unknown, and no figure 0.
    new.write_bytes(counted(kept, ADDED))
    (found,) = report(old, new)
    assert [found[part]["inodes"] for part in ("peak", "after")] == [None, None]
    assert found["added"][0]["inodes"] is None
    lines = [" ".join(line.split()) for line in run("diff", old, new).text.splitlines()]
    assert f"200 B 2.9 KiB unknown {ADDED.digest[7:19]} added" in lines
    assert "1 30 B 2.0 KiB 20 removed" in lines


@pytest.mark.slow
def test_apps_of_every_source(
    tmp_path: Path, open_registry: OpenRegistry, old: str, new: str
) -> None:
    expected = report(old, new)
    before = app_of(KEPT, REMOVED).push(open_registry, "1")
    after = app_of(KEPT, ADDED).push(open_registry, "2")
    dry = app_of(KEPT, ADDED).dry_run(tmp_path / "dry")
    assert report(before, after) == report(before, dry) == expected
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, layers in zip(files, ([KEPT, REMOVED], [KEPT, ADDED]), strict=True):
        path.write_bytes(encode({ARCH: metadata_of(layers)}))
    assert report(*files) == expected
    assert report(before, files[1]) == expected


@pytest.mark.slow
def test_architectures_that_both_have(tmp_path: Path) -> None:
    old = App({"web": {"arm64": [KEPT], "amd64": [KEPT], "arm": [KEPT]}}, index=True)
    new = App({"web": {"arm64": [ADDED], "amd64": [KEPT]}}, index=True)
    names = old.store(tmp_path / "old"), new.store(tmp_path / "new")
    assert [one["architecture"] for one in report(*names)] == ["amd64", "arm64"]
    assert [one["download"] for one in report(*names)] == [0, 200]
    assert [one["architecture"] for one in report(*names, "--arch", "arm64")] == ["arm64"]
    done = run("diff", *names, "--arch", "arm")
    assert done.status == 2
    assert 'has no arm; it has: "amd64", "arm64"' in done.lines[0]


@pytest.mark.slow
def test_documents_of_scan(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    for path, layers in ((old, [KEPT]), (new, [KEPT, ADDED])):
        document = metadata_of(layers)
        for layer in document["layers"].values():
            del layer["archive_size"]
        path.write_bytes(encode(document))
    (found,) = report(old, new, "--arch", "arm64")
    assert found["download"] is None
    peak = {"layers": 2, "archive_size": None, "usage": 8000, "inodes": None}
    assert found["peak"] == peak
    done = run("diff", old, new, "--arch", "arm64")
    message = "arm64: the download is not known: the metadata lacks archive_size"
    assert done.lines == [warning(message)]
    assert done.text.splitlines()[-1] == "arm64: download unknown"
    done = run("diff", old, new)
    assert done.status == 2
    assert done.lines == [
        error("neither document says its architecture; give one with --arch, for the report")
    ]


def test_what_cannot_be_compared(tmp_path: Path, old: str) -> None:
    bare = app_of(ADDED, metadata=None).store(tmp_path / "bare")
    done = run("diff", old, bare)
    assert (done.status, done.lines) == (2, [error(f"{bare}: the App has no layers metadata")])
    other = tmp_path / "other.json"
    other.write_bytes(encode({"amd64": metadata_of([KEPT])}))
    done = run("diff", old, other)
    assert done.lines == [error(f"{old} and {other} have no architecture in common")]
    gone = f"{tmp_path}/gone.json"
    message = error(f"{gone}: cannot be read: No such file or directory")
    assert run("diff", old, gone).lines == [message]
    other.write_text("[]")
    assert run("diff", other, old).lines == [error(f"{other}: $: must be an object")]


FAULTS = {
    "no size": ({"size": ...}, 'key "size" is missing'),
    "usage below nothing": ({"usage": -1}, "must not be negative"),
    "usage with a point": ({"usage": 4096.0}, "must be an integer"),
    "usage is null": ({"usage": None}, "must be an integer"),
    "archive_size in quotes": ({"archive_size": "7"}, "must be an integer"),
}


@pytest.mark.parametrize(("values", "message"), FAULTS.values(), ids=list(FAULTS))
def test_what_merge_refuses_is_refused(
    tmp_path: Path, old: str, values: dict[str, object], message: str
) -> None:
    one = metadata_of([KEPT])
    figures = one["layers"][KEPT.digest] | values
    one["layers"][KEPT.digest] = {key: value for key, value in figures.items() if value is not ...}
    single, several = tmp_path / "one.json", tmp_path / "several.json"
    single.write_bytes(encode(one))
    several.write_bytes(encode({ARCH: one}))
    published = app_of(KEPT, metadata=encode({ARCH: one})).store(tmp_path / "app")
    (refused,) = run("merge", f"{ARCH}={single}").lines
    assert refused.endswith(message)
    for new in (single, several, published):
        done = run("diff", old, new, "--arch", ARCH)
        assert (done.status, done.out, len(done.lines)) == (2, b"", 1)
        assert done.lines[0].endswith(message)


@pytest.mark.parametrize("text", ['{"arm64": {}, "arm64": {}}', '{"ARM 64": {}}', "{"])
def test_no_document_is_refused(tmp_path: Path, old: str, text: str) -> None:
    path = tmp_path / "new.json"
    path.write_text(text)
    assert run("diff", old, path).status == 2


layers = st.lists(
    st.sampled_from([Layer(str(n), n * 7, n * 4096, inodes=n * 3) for n in range(9)]), unique=True
)


@given(layers, layers)
def test_parts_add_up(old: list[Layer], new: list[Layer]) -> None:
    before, after = (of_metadata(encode({ARCH: metadata_of(one)}), "m") for one in (old, new))
    there, back = compare(before, after, ARCH), compare(after, before, ARCH)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert there.peak == back.peak
    assert there.after == there.sums(after.meta(ARCH).layers)
    assert there.peak.usage == there.after.usage + there.sums(there.removed).usage
    inodes = there.after.inodes, there.peak.inodes, there.sums(there.removed).inodes
    assert inodes[1] == (inodes[0] or 0) + (inodes[2] or 0)
    assert set(there.kept) | set(there.added) == {layer.digest for layer in new}


def test_reader_of_the_new_one_has_its_figures() -> None:
    old = of_metadata(encode({ARCH: metadata_of([Layer("a", usage=1)])}), "old")
    new = of_metadata(encode({ARCH: metadata_of([Layer("a", usage=2)])}), "new")
    assert [one.usage for one in compare(old, new, ARCH).kept.values()] == [2]


# device


def test_device_file_of_this_machine(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "docker")
    layer = store.layer(None, File("a", size=10))
    store.image([layer], names=["x:1"], pushed={"docker.io/library/x": None})
    blobs = tmp_path / "store" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / KEPT.digest[7:]).write_bytes(b"")
    options = ("--store-root", tmp_path / "store", "--docker-root", tmp_path / "docker")
    out = tmp_path / "device.json"
    done = run("device", *options, "-o", out)
    assert (done.status, done.out, done.lines) == (0, b"", [])
    schema = json.loads(SCHEMAS.joinpath("device.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(out.read_text()))
    device, _ = device_file.load(str(out))
    assert device.blobs == {KEPT.digest: None}
    assert device.engine is not None
    assert device.engine.chain_ids == {layer.chain_id}
    document = json.loads(run("device", *options).out)
    assert list(document) == sorted(document)
    assert document["blobs"] == [KEPT.digest]


def test_device_without_folders_says_so(tmp_path: Path) -> None:
    done = run("device", "--store-root", tmp_path / "s", "--docker-root", tmp_path / "d")
    assert done.status == 0
    there = f"there is no such folder yet; its disk is that of {tmp_path}"
    assert done.lines == [warning(f"{tmp_path}/s: {there}"), warning(f"{tmp_path}/d: {there}")]
    assert "engine" not in json.loads(done.out)


def test_device_that_cannot_be_written(tmp_path: Path) -> None:
    done = run("device", "-o", tmp_path)
    assert (done.status, done.lines) == (2, [error(f"{tmp_path}: is a directory; -o takes a file")])
