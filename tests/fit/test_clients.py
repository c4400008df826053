"""The clients' policies against their rules, written down once more in `client_oracle`.

Over random devices, stores and metadata, also metadata that nobody should publish.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layerscan.errors import DocumentError
from layerscan.fit.contents import AppContents, Blob, BlobKind, ImageContents
from layerscan.fit.device import Device, Volume
from layerscan.fit.figures import Metadata
from layerscan.fit.policies import Policy, UpdateConditions, ask
from tests.builders.documents import LAYER
from tests.builders.fit_apps import Layer
from tests.builders.fit_case import ARCH
from tests.oracles import clients as oracle
from tests.oracles.clients import ABSENT, Disk, Json, Machine, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerscan.fit.verdict import Verdict

REPOSITORY = "registry.example/fleet/shop"
LAYERS = [Layer(f"layer {number}").digest for number in range(5)]
OTHERS = [Layer(f"other {number}").digest for number in range(5)]
SIZES = st.one_of(st.integers(0, 60_000), st.integers(0, 2**62))

numbers = st.one_of(
    st.integers(0, 100_000),
    st.integers(-(2**64), 2**65),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([4096.0, 1e3, 1.5, -2.5]),
    st.sampled_from([None, True, False, "4096", [], {}]),
)
good = st.integers(0, 100_000)


def fields(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {}, optional={"usage": values, "archive_size": values, "size": values, "extra": values}
    )


good_layer = st.fixed_dictionaries({"usage": good, "archive_size": good, "size": good})
odd_layer = st.one_of(good_layer, fields(numbers), st.sampled_from([None, 7, "x", []]))
odd_keys = st.one_of(st.sampled_from(LAYERS), st.sampled_from(["", "sha256:12", "0"]))


def one_architecture(
    layer: st.SearchStrategy[Any], keys: st.SearchStrategy[str], *, odd: bool
) -> st.SearchStrategy[Any]:
    layers = st.dictionaries(keys, layer, max_size=5)
    if not odd:
        return st.fixed_dictionaries({"fs_block_size": st.just(4096), "layers": layers})
    whole = st.fixed_dictionaries(
        {},
        optional={
            "fs_block_size": numbers,
            "layers": st.one_of(layers, st.sampled_from([None, 7, "x", [], [1], True])),
        },
    )
    return st.one_of(whole, st.sampled_from([None, 7, "x", [], {}]))


def documents_of(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from([ARCH, "amd64"]), one, max_size=2)


documents = st.one_of(
    documents_of(one_architecture(good_layer, st.sampled_from(LAYERS), odd=False)),
    documents_of(one_architecture(odd_layer, odd_keys, odd=True)),
    st.sampled_from([None, [], 7, "x"]),
    st.just(ABSENT),
)


@st.composite
def trees(draw: st.DrawFn, name: str) -> tuple[AppContents, list[Node], Any]:
    """An App of one image, as the package has it and as the oracle does."""
    metadata = draw(documents)
    own = [
        Blob(Layer(f"{name} manifest").digest, 900, BlobKind.APP_MANIFEST),
        Blob(Layer(f"{name} metadata").digest, draw(good), BlobKind.METADATA),
        Blob(Layer(f"{name} bundle").digest, draw(SIZES), BlobKind.BUNDLE),
    ]
    if metadata is ABSENT:
        del own[1]
    found = draw(st.lists(st.sampled_from(LAYERS), max_size=5))
    # A layer is one to the client by its type.
    kinds = st.sampled_from([LAYER, LAYER, "application/vnd.oci.image.layer.v1.tar+zstd", "x/y"])
    layers = [Blob(one, draw(SIZES), BlobKind.LAYER, draw(kinds)) for one in found]
    image = [
        Blob(draw(st.sampled_from(OTHERS)), draw(good), BlobKind.IMAGE_MANIFEST),
        Blob(draw(st.sampled_from(OTHERS)), draw(good), BlobKind.CONFIG),
    ]
    named = [
        [blob._replace(reference=f"{REPOSITORY}@{blob.digest}") for blob in blobs]
        for blobs in (own, image, layers)
    ]
    own, image, layers = named
    nodes = [
        Node(
            blob.digest,
            blob.size,
            is_layer=blob.media_type.startswith("application/vnd"),
            reference=blob.reference,
            is_metadata=blob.kind is BlobKind.METADATA,
        )
        for blob in (*own, *image, *layers)
    ]
    raw = None if metadata is ABSENT else Metadata(json.dumps(metadata).encode(), name)
    contents = AppContents(
        name,
        tuple(own),
        own[-1],
        raw,
        None,
        None,
        (ImageContents(name, (image[0],), image[1], tuple(layers), ()),),
    )
    return contents, nodes, metadata


@st.composite
def disks(draw: st.DrawFn) -> Disk:
    block_size = draw(st.sampled_from([1, 512, 1024, 4096, 65536, 1 << 20]))
    blocks = draw(st.one_of(st.integers(0, 10**6), st.sampled_from([0, 100, 1000, 100_000, 2**40])))
    free = draw(st.integers(0, blocks))
    return Disk(block_size, blocks, free, draw(st.integers(0, free)))


@st.composite
def machines(draw: st.DrawFn) -> tuple[Device, Machine]:
    """A device, as the package has it and as the oracle does."""
    store, docker, above = draw(disks()), draw(disks()), draw(disks())
    own_disk, same = draw(st.booleans()), draw(st.booleans())
    if not own_disk:
        docker = store
    client = draw(st.booleans())
    digests = st.sampled_from([*LAYERS, *OTHERS])
    there = draw(st.dictionaries(digests, st.one_of(st.none(), good), max_size=5))
    repositories = st.sampled_from([REPOSITORY, "registry.example/other"])
    names = st.builds("{}@{}".format, repositories, digests)
    parts = draw(st.dictionaries(names, good, max_size=5))
    volumes = {
        name: Volume(disk.f_bsize, disk.f_blocks, disk.f_bfree, disk.f_bavail)
        for name, disk in (("store", store), ("docker", docker), ("above", above))
    }
    device = Device(
        source="the device",
        architecture=ARCH,
        volumes=volumes,
        store_root="store",
        docker_root="docker" if own_disk else "store",
        store_parent="store",
        docker_parent="store" if same else "docker",
        client_store_root="above" if client else None,
        blobs=there,
        partial=parts,
    )
    block_size = above.f_bsize if client else store.f_bsize
    return device, Machine(store, docker, block_size, same, there, parts)


limits = st.one_of(st.none(), st.integers(0, 2**33))


def is_addressed_by_content(nodes: Sequence[Node]) -> bool:
    """Whether each digest has one size: which of several a client takes is not in its rules."""
    sizes = dict.fromkeys((node.digest, node.size) for node in nodes)
    return len({digest for digest, _ in sizes}) == len(sizes)


def answer(
    policy: Policy, apps: Sequence[AppContents], device: Device, how: UpdateConditions
) -> Verdict:
    return ask(policy, apps, device, architecture=ARCH, circumstances=how)


@pytest.mark.slow
@settings(max_examples=400)
@given(trees("a"), trees("b"), machines(), st.integers(20, 95), limits)
def test_composectl_and_aktualizr_lite(
    one: tuple[AppContents, list[Node], Any],
    other: tuple[AppContents, list[Node], Any],
    machine: tuple[Device, Machine],
    watermark: int,
    reserved: int | None,
) -> None:
    assume(is_addressed_by_content(one[1] + other[1]))
    apps = [one[0], other[0]]
    trees_of = [one[1:], other[1:]]
    for policy, rule in (
        (Policy.COMPOSECTL, oracle.composectl),
        (Policy.AKTUALIZR_LITE, oracle.aktualizr_lite),
    ):
        verdict = answer(policy, apps, machine[0], UpdateConditions(watermark, reserved))
        expected = rule(trees_of, ARCH, machine[1], watermark, reserved)
        assert [space.required for space in verdict.spaces] == expected.required
        assert [space.available for space in verdict.spaces] == expected.available
        assert verdict.fits == expected.fits


manifest_sizes = st.one_of(good, st.integers(0, 2**62), st.sampled_from([-1, 1.5, "x", None, 8.0]))
manifests = st.one_of(
    st.none(),
    st.lists(
        st.fixed_dictionaries({"digest": st.sampled_from(LAYERS), "size": manifest_sizes}),
        max_size=4,
    ),
)


@pytest.mark.slow
@settings(max_examples=600)
@given(
    st.one_of(good, SIZES),
    documents,
    manifests,
    machines(),
    st.integers(20, 95),
    st.booleans(),
    limits,
)
def test_aktualizr_lite_skopeo(  # noqa: PLR0917 - drawn
    archive: int,
    metadata: Json,
    manifest: list[dict[str, Any]] | None,
    machine: tuple[Device, Machine],
    watermark: int,
    root: bool,  # noqa: FBT001
    reserved: int | None,
) -> None:
    bundle = Blob(OTHERS[0], archive, BlobKind.BUNDLE)
    raw = None if metadata is ABSENT else Metadata(json.dumps(metadata).encode(), "a")
    listed = None if manifest is None else json.dumps({"layers": manifest}).encode()
    app = AppContents("a", (bundle,), bundle, raw, None, listed, None)
    how = UpdateConditions(watermark, reserved, is_root=root)
    try:
        expected: bool | None = oracle.skopeo(
            archive, metadata, manifest, ARCH, machine[1], watermark, root=root, reserved=reserved
        )
    except oracle.EngineError:
        expected = None
    try:
        found: bool | None = answer(Policy.AKTUALIZR_LITE_SKOPEO, [app], machine[0], how).fits
    except DocumentError:
        found = None
    if 3 * archive <= oracle.skopeo_available(machine[1].store, watermark, reserved, root=root):
        assert found == expected
    else:
        # The engine does not come to the rest.
        assert not found


@pytest.mark.parametrize("blocks", [0, 1, 99, 100, 1000, 100_000, 655_360, 123_457, 2**40])
def test_what_is_available_on_a_disk(blocks: int) -> None:
    app = AppContents("a", (), None, Metadata(b'{"arm64": {}}', "a"), None, None, None)
    for watermark in range(20, 96):
        disk = Disk(4096, blocks, blocks, blocks // 2)
        volume = Volume(disk.f_bsize, disk.f_blocks, disk.f_bfree, disk.f_bavail)
        device = Device("d", ARCH, {"one": volume}, "one", "one", "one", "one")
        for root in (True, False):
            how = UpdateConditions(watermark, is_root=root)
            (space,) = answer(Policy.AKTUALIZR_LITE_SKOPEO, [app], device, how).spaces
            assert space.available == oracle.skopeo_available(disk, watermark, None, root=root)
            (space,) = answer(Policy.AKTUALIZR_LITE, [app], device, how).spaces
            assert space.available == oracle.composectl_available(disk, watermark, None)


def test_doubles_are_not_what_integers_would_be() -> None:
    differing = {
        watermark
        for blocks in (100, 1000, 10_000, 100_000, 1_000_000)
        for watermark in range(20, 96)
        if oracle.skopeo_available(Disk(1, blocks, blocks, 0), watermark, None, root=True)
        != blocks * watermark // 100
    }
    # Those that the client was seen with are among them.
    assert differing >= {32, 44, 66, 72, 83, 93}
