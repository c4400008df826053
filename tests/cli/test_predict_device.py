"""``predict`` for the file system and the store that a device file describes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import Image, Layer
from tests.builders.predict_case import BASE, TOP
from tests.cli_runner import error, run_here, warning

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry


@pytest.fixture
def image(open_registry: OpenRegistry) -> str:
    """The source of an image of two layers."""
    Image.of(Layer.of(*BASE), Layer.of(*TOP)).put(open_registry, "acme/web:7")
    return f"docker://{open_registry.address}/acme/web:7"


def write_device(path: Path, file_system: object = None, **more: object) -> Path:
    disk: dict[str, object] = dict.fromkeys(("blocks", "free_blocks", "available_blocks"), 100)
    disk["block_size"] = 4096
    if file_system is not None:
        disk["file_system"] = file_system
    volumes = {"/": disk | {"file_system": {"kind": "f2fs"}}, "/data": disk}
    document = {"volumes": volumes, "store_root": "/", "docker_root": "/data", "blobs": [], **more}
    path.write_text(json.dumps(document))
    return path


ENGINE = {"store": "containers-storage", "keeps_blobs": False}


@pytest.mark.parametrize(
    ("shape", "more", "same"),
    [
        (
            {"kind": "ext4", "block": 1024, "cluster": 2048, "inode": 128, "features": []},
            {},
            ["--fs", "ext4,block=1024,cluster=2048,inode=128"],
        ),
        ({"kind": "xfs", "inode": 1024}, {}, ["--fs", "xfs,inode=1024"]),
        (
            {"kind": "btrfs", "profile": "single"},
            {"engine": ENGINE},
            ["--fs", "btrfs,profile=single", "--store", "containers-storage"],
        ),
    ],
)
def test_for_what_a_device_file_says(
    image: str, tmp_path: Path, shape: object, more: dict[str, Any], same: list[str]
) -> None:
    device = write_device(tmp_path / "device.json", shape, **more)
    done = run_here("predict", image, "--device", device, "-o", "-")
    assert done.lines == []
    assert done.out == run_here("predict", image, *same, "-o", "-").out
    # As the name of a file system it says nothing of the store.
    assert run_here("predict", image, "--fs", device, "-o", "-").out == (
        run_here("predict", image, *same[:2], "-o", "-").out
    )
    refused = run_here("predict", image, "--fs", "ext4", "--device", device)
    assert refused.lines == [error("--device says the file system: give it without --fs")]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (None, "does not say its file system: taken to be ext4"),
        ({"kind": "ext4"}, "does not say how long inodes of its ext4 are: taken to be 256"),
        (
            {"kind": "btrfs", "features": ["compress"]},
            "its btrfs has compress, which predictions do not know",
        ),
    ],
)
def test_what_is_not_known_of_a_device_is_said(
    image: str, tmp_path: Path, shape: object, said: str
) -> None:
    device = write_device(tmp_path / "device.json", shape)
    for option in ("--device", "--fs"):
        done = run_here("predict", image, option, device, "-o", "-")
        assert (done.status, done.lines) == (0, [warning(f"{device}: {said}")])


def test_device_of_which_nothing_can_be_predicted(image: str, tmp_path: Path) -> None:
    device = write_device(tmp_path / "device.json", {"kind": "zfs"})
    done = run_here("predict", image, "--device", device)
    assert done.status == 2
    assert done.lines == [
        error(
            f'{device}: its engine is on "zfs", of which nothing can be predicted; give one '
            "with --fs: ext4, xfs, btrfs, f2fs"
        )
    ]
    missing = tmp_path / "none.json"
    done = run_here("predict", image, "--fs", missing)
    assert (done.status, len(done.lines)) == (2, 1)
    assert str(missing) in done.lines[0]
