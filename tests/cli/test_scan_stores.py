"""``layerscan scan`` of stores that cannot be opened, or hold nothing."""

import json
import os
from pathlib import Path

from tests.builders.cli_scan_case import built, document, fleet, scan, validate
from tests.builders.overlay2 import StoreBuilder
from tests.cli_runner import Fleet, error, let_all_read, open_to_all, run, run_as_nobody, warning
from tests.requirements import require_root

__all__ = ["built", "fleet"]  # fixtures


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
