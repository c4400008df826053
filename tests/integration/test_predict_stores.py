"""The models of image stores against real ones, right after pulls onto a fresh disk.

Docker, containerd and Podman pull the same images. What a layer's content takes
there is walked, so that what lies around a layer is held against `scan` to the byte.
The file that restores its tar and, at the end, the whole prediction have bounds.
"""

from __future__ import annotations

import json
import os
import tarfile
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerscan.prediction.filesystems import file_system
from layerscan.prediction.images import predict
from layerscan.prediction.stores.model import LayerFigures, Position, store_model
from layerscan.registry import RegistryClient
from layerscan.scanning.scanner import scan
from layerscan.sources import open_source
from layerscan.sources.decompress import decompressed
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from layerscan.tar._tar import TarScanner
from layerscan.tar.tarsplit import TarSplitLength
from tests.builders import tars
from tests.builders.tar_split import ODDITIES, packed
from tests.builders.tars import DIR, Entry, header, record, special
from tests.conftest import require_programs
from tests.engines import containerd as containerd_engine
from tests.engines import loop
from tests.engines import podman as podman_engine
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.images import debian_tar, oddities, tower
from tests.engines.podman import Podman
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layerscan.layersmeta import LayersMeta
    from layerscan.scanning.result import Scan
    from layerscan.sources.model import Source, SourceImage
    from layerscan.stores.model import Layer
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

SIZE = 2 << 30
MOST = 1 << 30
STORES = ("overlay2", "containerd", "containers-storage")
KINDS = pytest.mark.parametrize("kind", STORES)


class Pulled(NamedTuple):
    """A disk onto which the engines have pulled images.

    Attributes:
        sources: of the images.
        roots: of the stores, by their kind.
        block_size: of the disk.
    """

    sources: list[Source]
    roots: dict[str, str]
    block_size: int

    def scan(self, kind: str, accounting: str = "docker") -> Scan:
        store = open_store(kind, self.roots[kind], exact=accounting == "exact")
        return scan(store, accounting=accounting)

    def images(self) -> list[tuple[Source, SourceImage]]:
        return [(source, image) for source in self.sources for image in source.images()]


@pytest.fixture(scope="module")
def names(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, list[str]]:
    """Images in the registry, by the block size of the disk that they are for."""
    builder = Builder(docker, registry, tmp_path_factory.mktemp("stores"))
    gnu, pax = (packed(ODDITIES, form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    base = builder.also_pushed(base_image, "stores/base:1")
    return {
        4096: [
            base,
            builder.pushed(oddities(base_image), "stores/odd:1"),
            builder.of_tars("stores/foreign:1", gnu, pax, pax[: -10240 // 2]),
        ],
        # `lower` of its top layer has 37 entries, and so is longer than such a block.
        1024: [base, builder.pushed(tower(36, base=base_image), "stores/tower:1")],
    }


@pytest.fixture(scope="module", params=[4096, 1024])
def pulled(
    request: pytest.FixtureRequest,
    names: dict[int, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pulled]:
    require_root()
    require_programs(*loop.PROGRAMS, *containerd_engine.PROGRAMS, *podman_engine.PROGRAMS)
    block_size: int = request.param
    folder = tmp_path_factory.mktemp("stores-disk") / "disk"
    with (
        loop.ext4(str(folder), SIZE, "-b", str(block_size)) as disk,
        RegistryClient() as client,
    ):
        # Beside Docker's root is that of its own containerd.
        roots = {kind: os.path.join(disk, kind, "root") for kind in STORES}
        with (
            Docker(roots["overlay2"]) as docker,
            Containerd(roots["containerd"]) as containerd,
            Podman(roots["containers-storage"]) as podman,
        ):
            for name in names[block_size]:
                docker.pull(name)
                containerd.pull(name)
                podman.pull(name)
        os.sync()
        sources = [open_source(f"docker://{name}", lambda: client) for name in names[block_size]]
        yield Pulled(sources, roots, block_size)


# What lies around layers and images.


def walked(found: Scan, layer: Layer, archive_size: int) -> LayerFigures:
    """The figures of a layer as it is in the store."""
    cost = found.costs[layer.chain_id]
    child = cost.walked.child
    assert child is not None
    kept = sum(os.stat(path).st_size for path in layer.metadata_files)
    files = child.files + child.symlinks + child.others
    inodes = files + child.directories
    return LayerFigures(cost.size, child.blocks * 512, 0, files, archive_size, kept, inodes)


@KINDS
@pytest.mark.parametrize("accounting", list(Accounting))
def test_what_is_around_layers_is_that_of_the_store(
    pulled: Pulled, kind: str, accounting: Accounting
) -> None:
    found = pulled.scan(kind, accounting)
    model, fs = store_model(kind), file_system("ext4", pulled.block_size)
    there = {one.image.image_id: one.image for one in found.chosen}
    compared = 0
    for _, image in pulled.images():
        layers = there[image.image_id].layers
        for depth, (layer, packed_layer) in enumerate(zip(layers, image.layers, strict=True)):
            figures = walked(found, layer, packed_layer.archive_size)
            position = Position(depth, is_top=depth == len(layers) - 1)
            usage = model.layer_usage(figures, position, fs, accounting)
            cost = found.costs[layer.chain_id]
            assert usage == cost.usage, (image.name, depth)
            inodes = model.layer_inodes(figures, position, fs)
            assert cost.inodes == (inodes if accounting is Accounting.EXACT else None)
            compared += 1
        beside = model.image_usage(image.documents, fs, accounting)
        assert beside == found.image_usage[image.image_id], image.name
    assert compared > 15
    assert not found.warnings
    assert not found.problems


# The file that restores a layer's tar.


NEAR = {"overlay2": 0.01, "containers-storage": 0.05}
"""How far the length of the file may be off, see
docs/measurements/prediction.md; or by 128 bytes."""


def length_of(chunks: Iterable[bytes], kind: str) -> int:
    """What is predicted of the file for a tar."""
    scanner, length = TarScanner(tar_split=True), TarSplitLength(store_model(kind).tar_split)
    for chunk in chunks:
        scanner.feed(chunk)
        length.add(scanner.take_tar_split())
    scanner.finish()
    length.add(scanner.take_tar_split())
    return length.end()


def assert_near_file(told: int, path: str, kind: str) -> None:
    """Hold what is predicted against the engine's file."""
    truth = os.path.getsize(path)
    print(f"{truth:,}, predicted {told - truth:+,} ({told / truth - 1:+.2%})")
    assert told == pytest.approx(truth, rel=NEAR[kind], abs=128)


@pytest.mark.parametrize("kind", NEAR)
def test_tar_split_is_as_long_as_the_engines(pulled: Pulled, kind: str) -> None:
    found = pulled.scan(kind)
    kept = {layer.chain_id: layer for one in found.chosen for layer in one.image.layers}
    by_diff_id = {layer.diff_id: layer.metadata_files for layer in kept.values()}
    for source, image in pulled.images():
        for layer in image.layers:
            (path,) = by_diff_id[layer.diff_id]
            with source.layer(layer) as chunks:
                told = length_of(decompressed(chunks, limit=MOST), kind)
            assert_near_file(told, path, kind)


def assert_near_imported(docker: Docker, path: str, folder: Path) -> None:
    """Have Docker import a tar, and hold what is predicted against its file."""
    name = f"stores-{folder.name.lower()}:1"
    docker.import_tar(path, name)
    (chain_id,) = json.loads(
        docker.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
    )
    record = f"{docker.data_root}/image/overlay2/layerdb/sha256/{chain_id.removeprefix('sha256:')}"
    with open(path, "rb") as tar:
        told = length_of(iter(partial(tar.read, 1 << 20), b""), "overlay2")
    assert_near_file(told, f"{record}/tar-split.json.gz", "overlay2")


def test_tar_split_of_a_distribution(docker: Docker, tmp_path: Path) -> None:
    require_programs("debootstrap")
    assert_near_imported(docker, debian_tar(), tmp_path)


SHAPES: dict[str, list[Entry | bytes]] = {
    "sizes of links": [
        Entry(b"a", content=b"1"),
        header(b"hard", type=tars.LINK, link=b"a", size=700),
        header(b"soft", type=tars.SYMLINK, link=b"a", size=3),
        header(b"folder", type=DIR, size=5),
    ],
    "folders": [Entry(b"d%05d" % number, DIR) for number in range(2_000)],
    "files": [Entry(b"f%06d" % number, content=b"same") for number in range(30_000)],
    "attributes": [
        special(b"x", record(b"SCHILY.xattr.user.like", b"v" * 90))
        + Entry(b"f%05d" % number).dump()
        for number in range(2_000)
    ],
}


@pytest.mark.parametrize("kind", SHAPES)
def test_tar_split_of_what_is_all_alike(docker: Docker, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(tars.tar(*SHAPES[kind]))
    assert_near_imported(docker, str(path), tmp_path)


# All of it.


def assert_near(foretold: LayersMeta, truth: LayersMeta, *, share: float) -> None:
    """Hold a prediction against a scan; in total it may differ by a `share`.

    Or by some blocks: how many a large folder takes, also chance decides.
    """
    assert foretold.fs_block_size == truth.fs_block_size
    assert foretold.layers.keys() == truth.layers.keys()
    for digest, layer in truth.layers.items():
        one = foretold.layers[digest]
        assert one.size == layer.size
        assert one.usage == pytest.approx(layer.usage, rel=0.001, abs=8192), digest
    total, true_total = (
        sum(one.usage for one in meta.layers.values()) for meta in (foretold, truth)
    )
    print(f"{true_total:,}, predicted {total - true_total:+,} ({total / true_total - 1:+.4%})")
    assert total == pytest.approx(true_total, rel=share, abs=8192)


@KINDS
@pytest.mark.parametrize("accounting", list(Accounting))
def test_prediction_is_what_a_scan_finds_after_the_pull(
    pulled: Pulled, kind: str, accounting: Accounting
) -> None:
    fs = file_system("ext4", pulled.block_size)
    foretold = predict(pulled.sources, fs=fs, store=kind, accounting=accounting)
    # pgzip is predicted less well than Go's own compressor.
    share = 0.0005 if kind == "containers-storage" else 0.0002
    assert_near(foretold.document(), pulled.scan(kind, accounting).document(), share=share)
