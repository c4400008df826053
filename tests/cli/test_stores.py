"""``layerscan stores``: the list of a machine's image stores."""

import json
import os
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from layerscan import cli
from tests.builders.detected_case import containerd, docker, storage
from tests.builders.machine import Machine
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File, tar_of
from tests.builders.user import as_nobody
from tests.cli_runner import error, open_to_all, warning
from tests.requirements import require_root


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine.isolate(tmp_path, monkeypatch)


def stores(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, list[str]]:
    """Run the command: its status, what it prints as JSON, the lines of stderr."""
    status = cli.main(["stores", "--format", "json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    schema = resources.files("layerscan").joinpath("schemas", "stores.schema.json").read_text()
    Draft202012Validator.check_schema(json.loads(schema))
    Draft202012Validator(json.loads(schema)).validate(found)
    return status, found["stores"], err.splitlines()


def test_machine_without_a_store(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    line = warning(
        f"no image store found; looked at {machine.docker}: there is no such folder; "
        f"{machine.containerd}: there is no such folder; "
        f"{machine.storage}: there is no such folder"
    )
    assert stores(capsys) == (0, [], [line])
    assert cli.main(["stores"]) == 0
    assert capsys.readouterr() == ("", line + "\n")


def test_every_store_is_listed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    built = docker(machine.docker, images=2)
    built.image([built.layer(None, File("big", size=5000))])
    storage(machine.storage)
    tar = len(tar_of(File("y0")))
    status, found, lines = stores(capsys)
    assert (status, lines) == (0, [])
    assert found == [
        {
            "kind": "overlay2",
            "root": machine.docker,
            "engine": "docker",
            "readable": True,
            "reason": "",
            "images": 3,
            "layers": 3,
            "recorded": {"bytes": 5000, "of": "size"},
            "unreadable": 0,
            "unused": "",
        },
        {
            "kind": "containers-storage",
            "root": machine.storage,
            "engine": "containers/storage",
            "readable": True,
            "reason": "",
            "images": 1,
            "layers": 1,
            "recorded": {"bytes": tar, "of": "tar"},
            "unreadable": 0,
            "unused": "",
        },
    ]
    os.mkdir(os.path.join(machine.storage, "libpod"))
    assert stores(capsys)[1][1]["engine"] == "podman"
    assert cli.main(["stores"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["IMAGES", "LAYERS", "RECORDED", "KIND", "ENGINE", "PATH"],
        ["3", "3", "4.9", "KiB", "size", "overlay2", "docker", machine.docker],
        ["1", "1", "1.5", "KiB", "tar", "containers-storage", "podman", machine.storage],
        [],
    ]


def test_containerd_records_what_layers_take(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    built = containerd(machine.containerd, "moby", "k8s.io")
    status, (found,), (line,) = stores(capsys)
    assert (status, found["kind"], found["engine"]) == (0, "containerd", "containerd")
    assert (found["images"], found["layers"], found["recorded"]["of"]) == (1, 1, "usage")
    taken = subprocess.run(
        ["du", "-s", "-B1", built.path("io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs")],
        check=True,
        capture_output=True,
    )
    assert found["recorded"]["bytes"] == int(taken.stdout.split()[0])
    assert line.endswith("there are others in 'k8s.io': choose with --namespace")


def test_size_that_is_not_on_record_of_every_layer(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    built = storage(machine.storage)
    unknown = built.layer(None, File("z"), record={"diff-size": -1})
    built.image([unknown])
    (found,) = stores(capsys)[1]
    assert found["recorded"] == {"bytes": None, "of": "tar"}
    assert cli.main(["stores"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["2", "2", "?", "tar", "containers-storage", "containers/storage", built.root]
    built.layers[0].record["diff-size"] = -1
    built.write_layers()
    (found,) = stores(capsys)[1]
    assert found["recorded"] == {"bytes": None, "of": ""}
    built.images.clear()
    built.write_images()
    (found,) = stores(capsys)[1]
    assert found["recorded"] == {"bytes": 0, "of": ""}


def test_store_that_cannot_be_opened(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    os.makedirs(os.path.join(machine.docker, "image/vfs"))
    storage(machine.storage)
    reason = f"{machine.docker}: its images are of the graph driver vfs; only overlay2 can be read"
    status, found, lines = stores(capsys)
    assert (status, lines) == (3, [error(f"overlay2: {reason}")])
    assert [(one["readable"], one["reason"], one["images"]) for one in found] == [
        (False, reason, None),
        (True, "", 1),
    ]
    cli.main(["stores"])
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == [*"???", "overlay2", "docker", machine.docker]


def test_store_that_cannot_be_read_whole(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    built = docker(machine.docker, images=2)
    os.unlink(built.layer_path(next(iter(built.layers.values())), "size"))
    status, (found,), lines = stores(capsys)
    assert (status, found["images"], found["unreadable"]) == (3, 1, 1)
    assert lines == [
        error(
            f"overlay2: {machine.docker}: 1 of its files or records could not be read: "
            f"'layerscan scan --store overlay2 --data-root {machine.docker}' names them"
        )
    ]


def test_store_whose_images_cannot_be_read(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    built = storage(machine.storage)
    Path(built.images_path()).write_bytes(b"[")
    status, (found,), lines = stores(capsys)
    what = f"{built.images_path()}: is not JSON: Expecting value at line 1 column 2"
    assert (status, found["root"], found["reason"]) == (3, machine.storage, what)
    assert lines == [error(f"containers-storage: {what}")]


def test_damaged_settings(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    path = machine.write(machine.daemon_json, "[]")
    status, found, lines = stores(capsys)
    assert status == 3
    assert [(one["kind"], one["root"], one["readable"]) for one in found] == [
        ("overlay2", "", False),
        ("containerd", "", False),
    ]
    assert lines[0] == error(f"overlay2: {path}: $: must be an object")


def test_notes_are_warnings(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    built = storage(machine.storage)
    built.layer(None, File("half"), record={"flags": {"incomplete": True}})
    status, _, (line,) = stores(capsys)
    assert status == 0
    assert line.startswith(warning(f"{machine.storage}: a layer left out, "))


def test_store_without_permission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_root()
    with open_to_all() as folder:
        machine = Machine.isolate(folder, monkeypatch)
        StoreBuilder(docker(machine.docker).root)
        os.chmod(machine.docker, 0o700)

        def listed() -> tuple[int, Any, list[str]]:
            return stores(capsys)

        status, (found,), lines = as_nobody(listed)
        reason = f"{machine.docker}: permission denied; use sudo"
        # It is root's, and no fault of theirs.
        assert (status, lines) == (0, [warning(f"overlay2: {reason}")])
        assert (found["readable"], found["reason"]) == (False, reason)
