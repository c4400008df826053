"""The bounds of what is read of engines' stores: what is at each is taken, what is above is not."""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.files.safefs import Fault, Folder
from layerscan.stores import readings
from layerscan.stores.containerd import bolt
from layerscan.stores.containerd import records as containerd_records
from layerscan.stores.containers_storage import documents
from layerscan.stores.overlay2 import distribution, layerdb
from tests.builders.bolt import branch, database, leaf
from tests.builders.bolt_case import plain, read
from tests.builders.bolt_contents import get
from tests.builders.bolt_pages_case import with_root
from tests.builders.bounds_case import MOST, refused_if
from tests.builders.tree import File, apply

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_names_of_images(length: int) -> None:
    namespace: Any = SimpleNamespace(_where="x")
    record: Any = SimpleNamespace(record=lambda *_: (DIGEST.encode(), b"type"))
    with refused_if(length > 4096, Fault, "is too long"):
        target = containerd_records.Namespace._target(namespace, "n" * length, record)
        assert target == ("n" * length, DIGEST, "type")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("a", "a"),
        ("ba", "a, b"),
        ("cba", "a, b, c"),
        ("cabac", "a, b, c"),
        ("dcba", "a, b, c and 1 more"),
        ("edcba", "a, b, c and 2 more"),
    ],
)
def test_labels_of_images_that_are_lost(labels: str, told: str) -> None:
    assert readings.some(labels) == told


@pytest.mark.parametrize("number", [1, 2, 3])
def test_layers_of_an_image(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(readings, "_MOST_LAYERS", 2)
    diff_ids = (DIGEST,) * number
    config = {"architecture": "arm64", "os": "linux", "rootfs": {"diff_ids": diff_ids}}
    with refused_if(number > 2, Fault, f"is no image config: it has {number} layers"):
        assert readings.image_config(json.dumps(config).encode(), "x").diff_ids == diff_ids


@pytest.mark.parametrize("number", [1, 2, 3])
def test_manifests_of_an_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    monkeypatch.setattr(documents, "_MOST_MANIFESTS", 2)
    record: Any = SimpleNamespace(documents=[f"manifest-{one}" for one in range(number)])
    with (
        Folder(str(tmp_path)) as folder,
        refused_if(number > 2, Fault, f"has {number} manifests"),
    ):
        _, faults = documents._read_by_digest(folder, record, "x", {"x": ()})
        assert len(faults) == number


@pytest.mark.parametrize("size", [0, MOST - 1, MOST, MOST + 1, 10 * MOST, 100 * MOST])
def test_sizes_of_layers(tmp_path: Path, size: int) -> None:
    (tmp_path / "size").write_text(str(size))
    with (
        Folder(str(tmp_path)) as folder,
        refused_if(size > MOST, Fault, "holds no size in bytes"),
    ):
        assert layerdb._size(folder) == size


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_pages_of_a_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: int, *, copied: bool
) -> None:
    monkeypatch.setattr(bolt, "_LONGEST_PAGE", 8192 + more)
    tree = {b"a": bytes(5000)}
    with (
        refused_if(more < 0, Fault, "page 3 is too long"),
        read(tmp_path, database(tree), copied=copied) as opened,
    ):
        assert plain(opened.root) == tree


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_pages_that_are_of_trees(tmp_path: Path, number: int) -> None:
    root = leaf(3, [(1, b"a", struct.pack("<QQ", number, 0))])
    raw = bytearray(with_root(root))
    raw[2 * 4096 : 2 * 4096 + 16] = leaf(2, [])
    with read(tmp_path, bytes(raw)) as opened:
        for inner in (lambda: opened.root.bucket(b"a"), lambda: opened.root.record(b"a", b"b")):
            with refused_if(number not in (2, 3), Fault, f"refers to page {number} of 4"):
                assert inner() is not None


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_levels_of_a_buckets_tree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, levels: int
) -> None:
    monkeypatch.setattr(bolt, "_DEEPEST", 3)
    last = 2 + levels
    branches = [branch(number, [(b"a", number + 1)]) for number in range(3, last)]
    content = with_root(*branches, leaf(last, [(0, b"a", b"1")]))
    with read(tmp_path, content) as opened:
        for found in (lambda: plain(opened.root), lambda: {b"a": get(opened.root, b"a")}):
            with refused_if(levels > 3, Fault, "a bucket is nested too deeply"):
                assert found() == {b"a": b"1"}


@pytest.mark.parametrize("number", [49, 50, 51])
def test_digests_of_a_layer(tmp_path: Path, number: int) -> None:
    """Docker keeps the last 50: what is before these is passed over, whatever it is."""
    digests = [f"sha256:{one:064x}" for one in range(number)]
    entries = [{"Digest": digest, "SourceRepository": ""} for digest in digests]
    if number > 50:
        entries[0] = {}
    file = f"image/distribution/v2metadata-by-diffid/{DIGEST.replace(':', '/')}"
    apply(tmp_path, File(file, json.dumps(entries).encode()))
    with (
        Folder(str(tmp_path / "image")) as image_root,
        image_root.folder(*distribution.BY_DIFF_ID) as folder,
    ):
        known = distribution.read_digests(folder, DIGEST)
    assert known.digests == tuple(digests[-50:])
