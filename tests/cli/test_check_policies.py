"""``layerscan check`` with what tells its policies apart, as a user runs it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.digest import sha256 as digest_of
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of
from tests.cli.test_check import NO_MORE, SKOPEO, refused, report, write_device, write_metadata
from tests.cli_runner import run_here as run
from tests.cli_runner import warning

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

ONE, TWO = Layer("one", 10_000, 30_000), Layer("two", 20_000, 40_000)
BLOCK = 1024


def required(found: dict[str, Any]) -> list[int]:
    return [one["required"]["bytes"] for one in found["volumes"]]


def available(found: dict[str, Any]) -> list[int]:
    return [one["available"]["bytes"] for one in found["volumes"]]


# One App after another.


def test_apps_are_pulled_one_after_another(tmp_path: Path) -> None:
    names = [
        App({name: {ARCH: [layer]}}).store(tmp_path / name)
        for name, layer in (("a", ONE), ("b", TWO))
    ]
    device = write_device(tmp_path / "device.json", 90_000, block_size=BLOCK)
    options = ("--device", device, "--watermark", "80")
    alone = [report("--app", name, *options) for name in names]
    both = report("--app", *names, *options)
    assert [one["app"] for one in both["volumes"]] == names
    assert required(both) == [*required(alone[0]), *required(alone[1])]
    # Each other blob is counted twice: in the store, and once more to run.
    beside = required(alone[0])[0] - 30_000 - 10 * BLOCK
    assert available(both)[0] - available(both)[1] == 10 * BLOCK + beside // 2
    together = report("--app", *names, *options, "--policy", "composectl")
    assert required(together) == [sum(required(both))]


def test_client_stops_at_the_first_app_that_does_not_fit(tmp_path: Path) -> None:
    files = [
        write_metadata(tmp_path / f"{name}.json", layer)
        for name, layer in (("a", ONE), ("b", Layer("b", 1, 1 << 40)), ("c", TWO))
    ]
    device = write_device(tmp_path / "device.json", 90_000, block_size=BLOCK)
    found = report("--layers-meta", *files, "--device", device, status=1)
    assert [(one["app"], one["fits"]) for one in found["volumes"]] == [
        (str(files[0]), True),
        (str(files[1]), False),
    ]
    assert [one["app"] for one in found["apps"]] == [str(file) for file in files[:2]]
    assert found["warnings"][-1] == (
        f"{files[2]}: not looked at: the client stops at the first App that does not fit"
    )
    text = run("check", "--layers-meta", *files, "--device", device).text
    assert f"B would have to be freed for {files[1]}" in text
    # In another order, others are pulled.
    assert len(report("--layers-meta", *files[::-1], "--device", device, status=1)["apps"]) == 2


def test_what_apps_need_to_run_is_not_taken_off(tmp_path: Path) -> None:
    files = [write_metadata(tmp_path / f"{name}.json", Layer(name, 1024, 50_000)) for name in "ab"]
    device = write_device(tmp_path / "device.json", 20_000 + 51)
    assert report("--layers-meta", *files, "--device", device)["fits"]
    policy = ("--policy", "composectl", "--watermark", "80")
    assert not report("--layers-meta", *files, "--device", device, *policy, status=1)["fits"]
    device = write_device(tmp_path / "device.json", 20_000 + 50)
    assert not report("--layers-meta", *files, "--device", device, status=1)["fits"]


# What is set aside.


@pytest.mark.parametrize(
    "policy", ["aktualizr-lite", "composectl", "aktualizr-lite-skopeo", "exact"]
)
@pytest.mark.parametrize(("size", "count"), [("3MiB", 3 << 20), ("5000", 5000), ("0", 0)])
def test_reserved_storage(tmp_path: Path, policy: str, size: str, count: int) -> None:
    meta = write_metadata(tmp_path / "meta.json", Layer("one", 1024, 1024))
    device = write_device(tmp_path / "device.json", 5000, available_blocks=5000)
    options = ("--layers-meta", meta, "--device", device, "--policy", policy)
    found = report(*options, "--reserved-storage", size)
    assert (found["watermark"], found["reserved_storage"]) == (None, count)
    assert available(found) == [5000 * 1024 - count]
    assert found["volumes"][0]["reserved"]["bytes"] == count
    assert not report(*options, "--reserved-storage", "2GiB", status=1)["fits"]
    both = report(*options, "--reserved-storage", size, "--watermark", "90")
    assert available(both) == available(found)
    assert "--watermark does nothing: --reserved-storage is used in" in both["warnings"][0]
    text = run("check", *options, "--reserved-storage", "3MiB").text
    assert text.splitlines()[-1].endswith(f"({policy}, 3.0 MiB reserved)")


def test_reserved_storage_that_is_no_size(tmp_path: Path) -> None:
    meta = write_metadata(tmp_path / "meta.json", ONE)
    for text in ("2 GiB", "-1", "x", "5%", ""):
        assert "is no size" in refused("--layers-meta", meta, f"--reserved-storage={text}")


# Parts of blobs.


def test_part_counts_under_the_reference_that_the_client_asks_for(
    tmp_path: Path, open_registry: OpenRegistry
) -> None:
    name = app_of(ONE).push(open_registry)
    right = f"{open_registry.address}/fleet/web@{ONE.digest}"
    wrong = f"{open_registry.address}/fleet/db@{ONE.digest}"

    def need(**more: object) -> int:
        device = write_device(tmp_path / "device.json", 90_000, block_size=BLOCK, **more)
        return required(report("--app", name, "--device", device))[0]

    whole = need()
    assert need(partial={right: 9000}) == whole - 9 * BLOCK
    assert need(partial={wrong: 9000}) == whole
    # An older device file does not say under which.
    assert need(partial={ONE.digest: 9000}) == whole - 9 * BLOCK


def test_part_of_a_blob_of_several_images(tmp_path: Path, open_registry: OpenRegistry) -> None:
    app = App({"db": {ARCH: [ONE]}, "web": {ARCH: [ONE, TWO]}})
    name = app.push(open_registry)
    store = tmp_path / "store"
    reference = f"{open_registry.address}/fleet/web@{ONE.digest}"
    options = (
        *("--app", name, "--arch", ARCH, "--store-root", store),
        *("--docker-root", tmp_path, "--watermark", "95"),
    )
    store.mkdir()
    whole = report(*options)
    ingest = store / "ingest" / sha256(reference.encode()).hexdigest()
    ingest.mkdir(parents=True)
    (ingest / "ref").write_text(reference)
    (ingest / "data").write_bytes(bytes(9_999))
    # It is looked for under the last service's reference.
    assert whole["download"] - report(*options)["download"] == 9_999
    (ingest / "ref").write_text(reference.replace("/web@", "/db@"))
    assert report(*options)["download"] == whole["download"]


# Blobs that are there.


def test_rotten_blob_is_missing_unless_only_its_length_is_looked_at(tmp_path: Path) -> None:
    content = b"a layer of so many bytes"
    digest = digest_of(content)
    figures = {"size": 1, "usage": 4096, "archive_size": len(content)}
    meta = tmp_path / "meta.json"
    one = {"fs_block_size": 4096, "layers": {digest: figures}}
    meta.write_bytes(encode(one))
    folder = tmp_path / "store" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    blob = folder / digest.removeprefix("sha256:")
    options = (
        *("--layers-meta", meta, "--arch", ARCH, "--store-root", tmp_path / "store"),
        *("--docker-root", tmp_path),
    )

    def missing(*more: object) -> int:
        return len(report(*options, *more)["missing_layers"])

    policy = ("--policy", "composectl")
    for raw, hashed, quick in (
        (content, 0, 0),
        (content[::-1], 1, 0),
        (content + b"more", 0, 1),
        (content[:-1], 1, 1),
    ):
        blob.write_bytes(raw)
        assert (missing(), missing(*policy), missing(*policy, "--quick")) == (hashed, hashed, quick)
        assert missing(*SKOPEO) == 0


# Metadata.


def test_metadata_of_another_version_is_none(tmp_path: Path) -> None:
    root, _, digest = app_of(ONE).store(tmp_path / "store").partition("@")
    folder = tmp_path / "store" / "blobs" / "sha256"
    raw = (folder / digest.removeprefix("sha256:")).read_bytes()
    other = raw.replace(b'"layers-meta": "v1"', b'"layers-meta": "v2"')
    assert other != raw
    (folder / digest_of(other).removeprefix("sha256:")).write_bytes(other)
    device = write_device(tmp_path / "device.json", 90_000)
    for policy in ("aktualizr-lite", "composectl", "aktualizr-lite-skopeo", "exact"):
        options = ("--device", device, "--policy", policy)
        rules = [
            report("--app", f"{root}@{digest_of(one)}", *options)["apps"][0]["rule"]
            for one in (raw, other)
        ]
        assert rules == ["metadata", "estimate"]


def test_fault_in_metadata_is_told(tmp_path: Path) -> None:
    document = {ARCH: metadata_of([ONE]), "amd64": metadata_of([TWO])}
    document["amd64"]["layers"][TWO.digest]["size"] = "large"
    name = app_of(ONE, metadata=encode(document)).store(tmp_path / "store")
    device = write_device(tmp_path / "device.json", 90_000, block_size=BLOCK)
    found = report("--app", name, "--device", device)
    (told,) = found["warnings"]
    assert ".size: must be an integer; the client goes on with the rest, and does not" in told
    right = app_of(ONE).store(tmp_path / "right")
    # All is the same, but for the metadata itself.
    blobs = report("--app", right, "--device", device)["missing_others"]["blobs"]
    assert found["missing_others"]["blobs"] == blobs - 1
    assert found["missing_layers"][0]["usage"] == 30_000


# The engine before composectl.


def test_archive_that_does_not_fit(tmp_path: Path) -> None:
    name = app_of(bundle_bytes=4000).store(tmp_path / "store")
    device = write_device(tmp_path / "device.json", 20_005)
    done = run("check", "--app", name, "--device", device, *SKOPEO)
    assert done.status == 1
    assert "its archive does not fit in the store of Apps: " in done.text.splitlines()[-2]
    (bundle,) = report("--app", name, "--device", device, *SKOPEO, status=1)["bundles"]
    assert (bundle["fits"], bundle["available"]) == (False, 5120)


def test_app_that_is_estimated_says_why(tmp_path: Path) -> None:
    name = app_of(ONE, metadata=None).store(tmp_path / "store")
    device = write_device(tmp_path / "device.json", 90_000)
    found = report("--app", name, "--device", device)
    assert found["apps"] == [{"app": name, "rule": "estimate"}]
    assert found["missing_layers"][0]["rule"] == "estimate"
    assert found["warnings"] == [
        f"{name}: the App has no layers metadata; {NO_MORE}",
    ]
    found = report("--app", name, "--device", device, *SKOPEO)
    assert found["apps"] == [{"app": name, "rule": "estimate"}]
    assert found["missing_layers"][0]["rule"] == "estimate"
    assert found["warnings"] == [
        f"{name}: the App has no layers metadata; estimated from the manifest of its layers"
    ]


def test_check_that_the_client_skips(tmp_path: Path) -> None:
    name = app_of(ONE, metadata=None, layers_manifests=False).store(tmp_path / "store")
    device = write_device(tmp_path / "device.json", 90_000)
    found = report("--app", name, "--device", device, *SKOPEO)
    assert found["apps"] == [{"app": name, "rule": "skipped"}]
    assert "the client skips the check" in found["warnings"][0]


# Options that do nothing.


def test_options_of_a_prediction_without_one(tmp_path: Path) -> None:
    meta = write_metadata(tmp_path / "meta.json", Layer("one"))
    device = write_device(tmp_path / "device.json", 90_000)
    options = ("--layers-meta", meta, "--device", device)
    found = report(*options, "--fs", "xfs", "--store", "containerd")
    assert found["warnings"][:2] == [
        "--fs does nothing without --predict",
        "--store does nothing without --predict",
    ]
    assert (
        warning("--fs does nothing without --predict")
        in run("check", *options, "--fs", "ext4").lines
    )
    assert not any("does nothing" in line for line in report(*options)["warnings"])
