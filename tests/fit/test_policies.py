"""What holds for every policy, whatever the Apps and the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.digest import chain_id
from layerscan.fit.contents import AppContents, Blob, BlobKind, ImageContents, from_metadata
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.fit.policies import Policy, UpdateConditions, ask
from layerscan.prediction.filesystems.names import FileSystemShape
from tests.builders.documents import LAYER
from tests.builders.fit_apps import Layer, encode, metadata_of
from tests.builders.fit_case import ARCH

if TYPE_CHECKING:
    from layerscan.fit.verdict import Verdict

NAMES = [f"layer {number}" for number in range(8)]
FIGURES = st.one_of(st.integers(0, 50_000), st.integers(0, 2**59))
"""No sum of them is beyond 64 bits, where composectl's sum begins anew."""
BLOCKS = st.integers(0, 60)

layers = st.dictionaries(st.sampled_from(NAMES), st.tuples(FIGURES, FIGURES), max_size=6).map(
    lambda found: [Layer(name, *figures) for name, figures in sorted(found.items())]
)


def app(name: str, content: list[Layer]) -> AppContents:
    """An App of one image with `content`."""
    raw = encode({ARCH: metadata_of(content)})
    blobs = tuple(
        Blob(layer.digest, layer.archive_size, BlobKind.LAYER, LAYER) for layer in content
    )
    chains: list[str] = []
    for layer in content:
        chains.append(chain_id(chains[-1] if chains else None, layer.diff_id))
    config = Blob(Layer(f"{name} config").digest, 700, BlobKind.CONFIG)
    manifest = Blob(Layer(f"{name} manifest").digest, 900, BlobKind.IMAGE_MANIFEST)
    image = ImageContents(name, (manifest,), config, blobs, tuple(chains))
    bundle = Blob(Layer(f"{name} bundle").digest, 300, BlobKind.BUNDLE)
    return AppContents(
        name, (bundle,), bundle, from_metadata(raw, name).metadata, None, None, (image,)
    )


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    block_size = draw(st.sampled_from([1, 512, 4096, 65536]))
    blocks = draw(st.integers(0, 10**6))
    free = draw(st.integers(0, blocks))
    available = draw(st.integers(0, free))
    return Volume(block_size, blocks, free, available, draw(st.integers(0, min(free, 4096))))


@st.composite
def devices(draw: st.DrawFn) -> Device:
    two = draw(st.booleans())
    content = st.lists(st.sampled_from(NAMES), unique=True, max_size=4)
    digests = [Layer(name).digest for name in draw(content)]
    engine = EngineLayers(
        "overlay2",
        draw(st.booleans()),
        frozenset(Layer(name).diff_id for name in draw(content)),
        frozenset(digests),
        frozenset(),
    )
    return Device(
        "the device",
        ARCH,
        {"one": draw(volumes()), "two": draw(volumes())},
        "one",
        "two" if two else "one",
        "one",
        "two" if two else "one",
        blobs=dict.fromkeys(digests),
        partial={Layer(name).digest: draw(st.integers(0, 60_000)) for name in draw(content)},
        engine=draw(st.sampled_from([engine, None])),
    )


policies = st.sampled_from(list(Policy))
circumstances = st.builds(
    UpdateConditions,
    watermark=st.one_of(st.none(), st.integers(20, 95)),
    is_root=st.booleans(),
    engine_pulls=st.booleans(),
)


def answer(
    policy: Policy, apps: list[AppContents], device: Device, how: UpdateConditions
) -> Verdict:
    return ask(policy, apps, device, architecture=ARCH, circumstances=how)


@pytest.mark.slow
@given(policies, layers, devices(), circumstances, st.sampled_from(["one", "two"]), st.data())
def test_more_free_space_never_turns_a_yes_into_a_no(  # noqa: PLR0917 - drawn
    policy: Policy,
    content: list[Layer],
    device: Device,
    how: UpdateConditions,
    name: str,
    data: st.DataObject,
) -> None:
    disk = device.volumes[name]
    more = data.draw(st.integers(0, disk.blocks - disk.free_blocks))
    wider = disk._replace(
        free_blocks=disk.free_blocks + more, available_blocks=disk.available_blocks + more
    )
    roomier = device._replace(volumes={**device.volumes, name: wider})
    apps = [app("app", content)]
    before, after = answer(policy, apps, device, how), answer(policy, apps, roomier, how)
    assert after.fits or not before.fits
    assert [one.required for one in after.spaces] == [one.required for one in before.spaces]


@pytest.mark.slow
@given(policies, layers, devices(), circumstances, FIGURES, FIGURES)
def test_one_more_layer_never_turns_a_no_into_a_yes(  # noqa: PLR0917 - drawn
    policy: Policy,
    content: list[Layer],
    device: Device,
    how: UpdateConditions,
    archive_size: int,
    usage: int,
) -> None:
    # On top, so that the others stay the layers that they are.
    more = [*content, Layer("one more", archive_size, usage)]
    before = answer(policy, [app("app", content)], device, how)
    after = answer(policy, [app("app", more)], device, how)
    assert before.fits or not after.fits
    extra = [app("app", content), app("another", more[-1:])]
    assert before.fits or not answer(policy, extra, device, how).fits
    for one, other in zip(before.spaces, after.spaces, strict=True):
        assert one.required <= other.required
        assert one.least <= other.least


@pytest.mark.slow
@given(policies, layers, devices(), circumstances, st.sampled_from(NAMES))
def test_one_more_blob_there_never_turns_a_yes_into_a_no(
    policy: Policy, content: list[Layer], device: Device, how: UpdateConditions, name: str
) -> None:
    richer = device._replace(blobs={**device.blobs, Layer(name).digest: None})
    apps = [app("app", content)]
    assert answer(policy, apps, richer, how).fits or not answer(policy, apps, device, how).fits


@given(policies, layers, devices(), circumstances)
def test_figures_of_a_verdict_agree(
    policy: Policy, content: list[Layer], device: Device, how: UpdateConditions
) -> None:
    verdict = answer(policy, [app("app", content)], device, how)
    for space in verdict.spaces:
        assert 0 <= space.least <= space.required
        assert space.available == max(space.free - space.reserved, 0)
        assert space.available + space.to_free == space.required + space.left
        assert space.fits == (space.to_free == 0)
        assert space.total == device.volumes[space.volume].total
    parts = [space.fits for space in verdict.spaces] + [one.fits for one in verdict.bundles]
    assert verdict.fits == all(parts)


@pytest.mark.slow
@given(
    policies.filter(lambda one: one is not Policy.AKTUALIZR_LITE),
    layers,
    layers,
    devices(),
    circumstances,
)
def test_order_of_apps_does_not_matter(
    policy: Policy, one: list[Layer], other: list[Layer], device: Device, how: UpdateConditions
) -> None:
    # Equal layers have equal figures, as those of one build do.
    known = {layer.digest: layer for layer in one}
    other = [known.get(layer.digest, layer) for layer in other]
    apps = [app("a", one), app("b", other)]
    there, back = (answer(policy, order, device, how) for order in (apps, apps[::-1]))
    assert there.fits == back.fits
    assert [space.required for space in there.spaces] == [space.required for space in back.spaces]
    assert there.missing == back.missing


@given(layers, layers, devices(), circumstances)
def test_aktualizr_lite_judges_the_first_app_as_if_it_were_alone(
    one: list[Layer], other: list[Layer], device: Device, how: UpdateConditions
) -> None:
    alone = answer(Policy.AKTUALIZR_LITE, [app("a", one)], device, how)
    both = answer(Policy.AKTUALIZR_LITE, [app("a", one), app("b", other)], device, how)
    first, *later = both.spaces
    assert first._replace(app=None) == alone.spaces[0]
    assert len(later) == alone.fits
    assert alone.fits or not both.fits
    for space in later:
        assert space.free <= first.free


def device_of(disk: Volume) -> Device:
    return Device("the device", ARCH, {"one": disk}, "one", "one", "one", "one")


@pytest.mark.parametrize("policy", list(Policy))
def test_client_runs_as_root_where_nothing_else_is_said(policy: Policy) -> None:
    device = device_of(Volume(512, 100, 50, 40))
    alone = from_metadata(encode({ARCH: metadata_of([Layer("one")])}), "m")
    for verdict in (
        ask(policy, [alone], device, architecture=ARCH),
        answer(policy, [alone], device, UpdateConditions()),
    ):
        assert [space.free for space in verdict.spaces] == [50 * 512]


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize(
    ("said", "there", "told"),
    [
        ("xfs", "ext4", True),
        ("ext4,block=1024", "ext4", True),
        ("ext4", "ext4", False),
        (None, "ext4", False),
        (7, "ext4", False),
        ("xfs", None, False),
    ],
)
def test_metadata_for_another_file_system_is_told(
    policy: Policy,
    said: object,
    there: str | None,
    told: bool,  # noqa: FBT001
) -> None:
    document = metadata_of([Layer("one")]) | ({} if said is None else {"file_system": said})
    shape = None if there is None else FileSystemShape(there, {"block": 4096})
    disk = Volume(4096, 1 << 20, 1 << 20, 1 << 20, file_system=shape)
    device = device_of(disk)
    verdict = answer(
        policy, [from_metadata(encode({ARCH: document}), "m")], device, UpdateConditions()
    )
    notes = [note for note in verdict.notes if "said for" in note]
    note = f"m: what its layers take is said for {said}, and the engine of the device is on "
    assert [one.startswith(note) for one in notes] == [True] * told
