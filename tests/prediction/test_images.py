"""Predictions of images in a registry, an archive, a layout: whole, right, each layer read once."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from layerscan.digest import sha256
from layerscan.errors import LayerscanError
from layerscan.prediction import layers as layer_reading
from layerscan.prediction import stream as layerstream
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.images import predict
from layerscan.prediction.layers import ReadProgress
from layerscan.prediction.stores.model import store_model
from layerscan.registry import RegistryClient
from layerscan.scanning.scanner import scan
from layerscan.sources import open_source
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from tests.builders import tree
from tests.builders.documents import LAYER
from tests.builders.image_archives import (
    Saved,
    docker_save,
    layout,
    named,
    write_folder,
    write_tar,
)
from tests.builders.images import Image, Index, Layer
from tests.builders.overlay2 import StoreBuilder
from tests.builders.predict_case import BASE, TOP, leftovers, predicted, sources
from tests.builders.registry_server import OpenRegistry

base, top = Layer.of(*BASE), Layer.of(*TOP)
plain = Layer.of(*TOP, packed="")


def test_is_what_a_scan_of_the_unpacked_image_says(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    ops: list[tuple[tree.Op, ...]] = [
        BASE,
        (tree.Opaque("usr/lib"), tree.File("usr/lib/new", size=9000), tree.Fifo("run/fifo")),
        (*tree.many("many", 300, size=10), tree.Symlink("long", "x" * 90), tree.Device("dev/null")),
    ]
    store = StoreBuilder(tmp_path / "docker")
    layers, parent = [], None
    for one in ops:
        parent = store.layer(parent, *one)
        layers.append(parent)
    store.image(layers, names=["acme/web:7"], pushed={"docker.io/acme/web": None})
    Image.of(*(Layer.of(*one) for one in ops)).put(open_registry, "acme/web:7")
    scanned = scan(open_store("overlay2", store.root))
    exact = scan(open_store("overlay2", store.root, exact=True), accounting="exact")
    found = predicted(open_registry, "acme/web:7")
    (image,) = found.images
    assert [layer.chain_id for layer in image.layers] == [layer.chain_id for layer in layers]
    for layer in image.layers:
        cost = scanned.costs[layer.chain_id]
        content = cost.walked.child
        assert content is not None
        assert layer.size == cost.size == content.size
        assert layer.inodes == exact.costs[layer.chain_id].inodes
        assert layer.files == content.files + content.symlinks + content.others
        # The tar-split of the store has made-up checksums, and /tmp may be any file system.
        assert layer.usage == pytest.approx(cost.usage, rel=0.2, abs=8192)


def test_document_has_the_digests_and_archive_sizes(open_registry: OpenRegistry) -> None:
    Image.of(base, top).put(open_registry, "acme/web:7")
    found = predicted(open_registry, "acme/web:7")
    document = found.document()
    assert document.fs_block_size == 4096
    assert {digest: meta.archive_size for digest, meta in document.layers.items()} == {
        one.digest: len(one.blob) for one in (base, top)
    }
    assert document.layers[base.digest].size == tree.docker_size(BASE)
    assert document.layers[top.digest].size == 5000
    # bin, usr and usr/lib, the root, and each file and link; what Docker keeps beside.
    assert document.inodes[base.digest] == (4 + 1 + 1 + 20) + 10
    # etc and bin, the root, a file and a whiteout.
    assert document.inodes[top.digest] == (3 + 2) + 14
    assert found.architectures == ["amd64"]
    assert found.documents() == {"amd64": document}
    assert found.notes == ()


def test_several_architectures(open_registry: OpenRegistry) -> None:
    arm = Layer.of(tree.File("arm", size=1))
    Index.of({"amd64": [base, top], "arm64": [arm, top]}).put(open_registry, "acme/web:7")
    found = predicted(open_registry, "acme/web:7")
    assert found.architectures == ["amd64", "arm64"]
    documents = found.documents()
    assert set(documents["amd64"].layers) == {base.digest, top.digest}
    assert set(documents["arm64"].layers) == {arm.digest, top.digest}
    only = predicted(open_registry, "acme/web:7", architectures={"arm64"})
    assert only.documents() == {"arm64": documents["arm64"]}
    assert open_registry.count("GET", f"/blobs/{base.digest}") == 1
    some = predicted(open_registry, "acme/web:7", architectures={"arm64", "riscv64", "arm"})
    assert some.documents() == only.documents()
    lacks = [f"acme/web:7: has no image for {name}" for name in ("arm", "riscv64")]
    assert some.notes == tuple(lacks)


def test_a_layer_is_read_once_however_many_images_have_it(open_registry: OpenRegistry) -> None:
    Image.of(base, top).put(open_registry, "acme/web:7")
    Image.of(base, Layer.of(tree.File("db", size=9))).put(open_registry, "acme/db:1")
    Image.of(base, top).put(open_registry, "other/web:7")
    found = predicted(open_registry, "acme/web:7", "acme/db:1", "other/web:7")
    assert open_registry.count("GET", f"/blobs/{base.digest}") == 1
    assert open_registry.count("GET", f"/blobs/{top.digest}") == 1
    # The same image under two names is one.
    assert [len(one.names) for one in found.images] == [1, 2]


def test_the_larger_usage_counts_in_the_document(open_registry: OpenRegistry) -> None:
    stack = [Layer.of(tree.File(f"f{number}", size=1)) for number in range(200)]
    Image.of(top).put(open_registry, "acme/low:1")
    Image.of(*stack, top).put(open_registry, "acme/high:1")
    found = predicted(open_registry, "acme/low:1", "acme/high:1")
    usage = [layer.usage for one in found.images for layer in one.layers if layer.size == 5000]
    assert usage[0] != usage[1]
    assert found.document().layers[top.digest].usage == max(usage)


class Target(NamedTuple):
    fs: str = "ext4"
    block_size: int = 4096
    store: str = "overlay2"
    accounting: str = "docker"


@pytest.mark.parametrize(
    "target",
    [
        Target("ext4", 1024),
        Target("xfs"),
        Target("btrfs"),
        Target("f2fs"),
        Target(store="containerd"),
        Target(store="containers-storage"),
        Target(accounting="exact"),
        Target(store="containerd", accounting="exact"),
    ],
)
def test_every_target(open_registry: OpenRegistry, target: Target) -> None:
    Image.of(base, top).put(open_registry, "acme/web:7")
    found = predicted(
        open_registry,
        "acme/web:7",
        fs=file_system(target.fs, target.block_size),
        store=store_model(target.store),
        accounting=target.accounting,
    )
    (image,) = found.images
    assert found.model.accounting == Accounting(target.accounting)
    assert found.document().fs_block_size == target.block_size
    assert (image.usage > 0) == (target.accounting == "exact")
    for layer, ops in zip(image.layers, (BASE, TOP), strict=True):
        assert layer.size == tree.docker_size(ops)
        assert layer.size < layer.usage < layer.size * 4 + (1 << 17)


def test_by_their_names(open_registry: OpenRegistry) -> None:
    Image.of(base).put(open_registry, "acme/web:7")
    by_name = predicted(open_registry, "acme/web:7", fs="xfs", store="containerd")
    assert by_name.model.fs.name == "xfs,block=4096,inode=512"
    assert by_name.model.store.name == "containerd"
    with pytest.raises(LayerscanError, match="no store 'x'"):
        predicted(open_registry, "acme/web:7", store="x")
    with pytest.raises(ValueError, match="'x' is not a valid"):
        predicted(open_registry, "acme/web:7", accounting="x")


@pytest.mark.parametrize(
    "layer",
    [
        *(Layer(base.tar, form) for form in ("gzip", "zstd", "")),
        Layer(base.tar, "", LAYER),
    ],
)
def test_how_a_layer_is_packed_does_not_count(open_registry: OpenRegistry, layer: Layer) -> None:
    Image.of(layer).put(open_registry, "acme/web:7")
    (image,) = predicted(open_registry, "acme/web:7").images
    assert image.layers[0].archive_size == len(layer.blob)
    Image.of(base).put(open_registry, "acme/other:7")
    (other,) = predicted(open_registry, "acme/other:7").images
    assert image.layers[0][4:] == other.layers[0][4:]


def test_progress_is_of_the_bytes_of_blobs(open_registry: OpenRegistry) -> None:
    layers = [Layer.of(tree.File("f", size=3_000_000, seed=seed)) for seed in range(6)]
    Image.of(*layers).put(open_registry, "acme/web:7")
    told: list[ReadProgress] = []
    predicted(open_registry, "acme/web:7", workers=1, on_progress=told.append)
    assert {one.total for one in told} == {sum(len(one.blob) for one in layers)}
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].done == told[-1].total


def test_an_archive_and_a_layout_are_sources_too(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    image = Image.of(base, top)
    image.put(open_registry, "acme/web:7")
    (expected,) = predicted(open_registry, "acme/web:7").images
    write_tar(docker_save(Saved(image, ("acme/web:7",))), tmp_path / "web.tar")
    write_tar(layout(named(image, "7")), tmp_path / "layout.tar")
    write_folder(layout(named(image, "7")), tmp_path / "layout")
    for name in ("docker-archive:web.tar", "oci-archive:layout.tar:7", "oci:layout"):
        transport, _, path = name.partition(":")
        with open_source(f"{transport}:{tmp_path}/{path}", no_client) as source:
            (found,) = predict([source]).images
        for layer, other in zip(found.layers, expected.layers, strict=True):
            assert layer.chain_id == other.chain_id
            assert layer.usage == other.usage
            assert (layer.digest == other.digest) == (transport != "docker-archive")


def no_client() -> RegistryClient:
    raise AssertionError("no registry is asked")


# What is wrong.


def refused(registry: OpenRegistry, *names: str, **options: object) -> str:
    with pytest.raises(LayerscanError) as caught:
        predicted(registry, *names, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert not leftovers()
    return message.replace(registry.address, "registry")


def spoilt(layer: Layer, blob: bytes) -> Layer:
    """Another blob under the same diff_id."""
    return replace(layer, ready=blob)


def test_a_layer_that_is_missing(open_registry: OpenRegistry) -> None:
    Image.of(base, top).put(open_registry, "acme/web:7")
    del open_registry.blobs("acme/web")[top.digest]
    message = refused(open_registry, "acme/web:7")
    assert message.startswith(f"image registry/acme/web:7: registry/acme/web@{top.digest}: ")


def test_a_blob_that_is_not_its_digest(open_registry: OpenRegistry) -> None:
    Image.of(base).put(open_registry, "acme/web:7")
    other = bytearray(base.blob)
    other[5] ^= 1  # gzip's time, which does not change what comes out
    open_registry.blobs("acme/web")[base.digest] = bytes(other)
    message = refused(open_registry, "acme/web:7")
    assert f"registry/acme/web@{base.digest}: " in message
    assert "digest" in message


def test_a_plain_tar_is_hashed_by_its_source_alone(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layerstream, "digests", None)
    Image.of(plain).put(open_registry, "acme/web:7")
    assert predicted(open_registry, "acme/web:7").images[0].layers[0].size > 0
    damaged = bytearray(plain.blob)
    damaged[damaged.index(b"xxxxx")] ^= 1  # in a file, which the scanner passes over
    open_registry.blobs("acme/web")[plain.digest] = bytes(damaged)
    message = refused(open_registry, "acme/web:7")
    assert f"registry/acme/web@{plain.digest}: " in message
    assert "digest" in message


@pytest.mark.parametrize("blob", [base.blob, Layer(base.tar, "zstd").blob])
def test_a_packed_blob_is_not_the_tar_in_it(open_registry: OpenRegistry, blob: bytes) -> None:
    Image.of(Layer(blob, "", LAYER)).put(open_registry, "acme/web:7")
    assert refused(open_registry, "acme/web:7") == (
        f"image registry/acme/web:7: layer {sha256(blob)}: its blob is packed, and the image's "
        "config says the blob's own digest of the tar in it"
    )


def test_a_tar_that_is_not_its_diff_id(open_registry: OpenRegistry) -> None:
    Image.of(spoilt(top, base.blob)).put(open_registry, "acme/web:7")
    assert refused(open_registry, "acme/web:7") == (
        f"image registry/acme/web:7: layer {base.digest}: its tar has the digest {base.diff_id}, "
        f"and the image's config says {top.diff_id}"
    )


@pytest.mark.parametrize(
    ("blob", "what"),
    [
        (base.blob[:-20], "end too early"),
        (base.blob + b"more", "follows something"),
        (b"\x1f\x8b" + b"x" * 100, "damaged"),
        (b"BZh91AY&SY" + b"x" * 100, "bzip2"),
        (gzip.compress(b"no tar" * 500), "byte 0"),
    ],
)
def test_a_stream_that_is_damaged(open_registry: OpenRegistry, blob: bytes, what: str) -> None:
    Image.of(spoilt(base, blob)).put(open_registry, "acme/web:7")
    message = refused(open_registry, "acme/web:7")
    layer = spoilt(base, blob).digest
    assert message.startswith(f"image registry/acme/web:7: layer {layer}: ")
    assert what in message


def test_a_bomb_is_stopped(open_registry: OpenRegistry) -> None:
    bomb = Layer.of(tree.File("zeros", content=bytes(1 << 24)))
    assert len(bomb.blob) < 1 << 15
    Image.of(bomb).put(open_registry, "acme/web:7")
    assert refused(open_registry, "acme/web:7", limit=1 << 20) == (
        f"image registry/acme/web:7: layer {bomb.digest}: unpacks to more than {1 << 20} bytes; "
        "--max-layer-size takes a higher limit"
    )
    assert predicted(open_registry, "acme/web:7").document().layers[bomb.digest].size == 1 << 24


def test_images_that_contradict_each_other(open_registry: OpenRegistry) -> None:
    Image.of(base).put(open_registry, "acme/web:7")
    Image.of(spoilt(top, base.blob)).put(open_registry, "acme/db:7")
    assert refused(open_registry, "acme/web:7", "acme/db:7") == (
        f"image registry/acme/db:7: layer {base.digest}: has the diff_id {top.diff_id} and "
        f"{len(base.blob)} bytes there, {base.diff_id} and {len(base.blob)} bytes in image "
        "registry/acme/web:7"
    )
    assert open_registry.count("GET", f"/blobs/{base.digest}") == 0


def test_one_that_fails_ends_it_for_all(open_registry: OpenRegistry) -> None:
    layers = [Layer.of(tree.File("f", size=400_000, seed=seed)) for seed in range(20)]
    Image.of(spoilt(base, b"x" * 800_000), *layers).put(open_registry, "acme/web:7")
    refused(open_registry, "acme/web:7", workers=2)
    assert sum(open_registry.count("GET", f"/blobs/{one.digest}") for one in layers) < 10


def test_an_image_that_is_not_there(open_registry: OpenRegistry) -> None:
    Image.of(base).put(open_registry, "acme/web:7")
    assert "acme/none:1" in refused(open_registry, "acme/web:7", "acme/none:1")
    message = refused(open_registry, "acme/web:7", architectures={"riscv64"})
    assert "has no image for riscv64; it has: linux/amd64" in message


def test_an_interrupt_ends_it(open_registry: OpenRegistry) -> None:
    layers = [Layer.of(tree.File("f", size=30_000_000, seed=seed), packed="") for seed in (1, 2)]
    Image.of(*layers).put(open_registry, "acme/web:7")

    def interrupt(_: ReadProgress) -> None:
        raise KeyboardInterrupt

    with sources(open_registry, "acme/web:7") as opened, pytest.raises(KeyboardInterrupt):
        predict(opened, on_progress=interrupt)
    assert not leftovers()


def test_layer_that_memory_does_not_hold(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **_more: object) -> None:
        raise MemoryError

    Image.of(base).put(open_registry, "acme/web:7")
    monkeypatch.setattr(layer_reading, "read_layer", full)
    with pytest.raises(LayerscanError, match=f"{base.digest}: there is not enough memory for all"):
        predicted(open_registry, "acme/web:7")
