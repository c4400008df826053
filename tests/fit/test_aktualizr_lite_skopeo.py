"""The rules of aktualizr-lite's engine before composectl: figures, both sides of each edge."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit.aktualizr_lite_skopeo import WATERMARKS, check, room
from layerscan.fit.contents import AppContents, Depth
from layerscan.fit.device import Device, Volume
from layerscan.fit.verdict import Limit, Rule, Verdict
from layerscan.jsondoc import MAX_INTEGER
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of, bytes_of_disk, device, metadata, read

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE = Layer("one", archive_size=1024, usage=4096)


def ask(apps: AppContents | list[AppContents], where: Device, watermark: int = 100) -> Verdict:
    several = apps if isinstance(apps, list) else [apps]
    return check(several, where, architecture=ARCH, limit=Limit(watermark))


def small(app: App) -> AppContents:
    """The App, with an archive of so few bytes that it always fits."""
    contents = read(app, Depth.APP)
    assert contents.bundle is not None
    return contents._replace(bundle=contents.bundle._replace(size=1))


# What may be used.


@pytest.mark.parametrize(("free_blocks", "available"), [(20, 0), (37, 17), (21, 1), (100, 80)])
def test_room_of_a_disk_of_a_hundred_blocks(free_blocks: int, available: int) -> None:
    found = room(Volume(4096, 100, free_blocks, 0), Limit(80), is_root=True)
    assert found == (4096 * free_blocks, 4096 * 20, 4096 * available)


@pytest.mark.parametrize(
    ("blocks", "watermark", "reserved"),
    [
        (100_000, 93, 7001),
        (100, 93, 8),
        (100, 32, 68),
        (1000, 32, 680),
        (100, 80, 20),
        (101, 80, 21),
        (2**53 + 1, 50, 2**52),
        (0, 80, 0),
    ],
)
def test_reserve_is_a_double_rounded_up(blocks: int, watermark: int, reserved: int) -> None:
    found = room(Volume(1, blocks, blocks, blocks), Limit(watermark), is_root=True)
    assert found.reserved == reserved


def test_reserve_of_so_many_bytes() -> None:
    disk = Volume(4096, 100, 40, 30)
    limit = Limit(80, 5000)
    assert room(disk, limit, is_root=True) == (4096 * 40, 5000, 4096 * 40 - 5000)
    assert room(disk, Limit(80, 1 << 40), is_root=False).available == 0


def test_others_than_root_have_fewer_blocks() -> None:
    disk = Volume(4096, 100, 40, 30)
    assert room(disk, Limit(80), is_root=True).available == 4096 * 20
    assert room(disk, Limit(80), is_root=False).available == 4096 * 10


@pytest.mark.parametrize("watermark", [96, 19, 100, 0])
def test_watermark_out_of_range_is_refused(watermark: int) -> None:
    with pytest.raises(LayerscanError, match=f"--watermark {watermark}: .* 20 to 95"):
        WATERMARKS.chosen(watermark)


def test_watermarks_in_range_are_taken() -> None:
    assert [WATERMARKS.chosen(asked) for asked in (None, 20, 95)] == [80, 20, 95]


# Precise.


@pytest.mark.parametrize(("available", "fits"), [(6144, True), (5120, True), (5119, False)])
def test_one_layer_on_one_volume(available: int, fits: bool) -> None:  # noqa: FBT001
    verdict = ask(metadata(ONE), device(bytes_of_disk(available)))
    (space,) = verdict.spaces
    assert (space.required, space.available, verdict.fits) == (5120, available, fits)
    assert space.to_free == max(5120 - available, 0)
    assert space.left == max(available - 5120, 0)


def test_watermark_takes_its_part() -> None:
    disk = bytes_of_disk(6144, 6144)
    (space,) = ask(metadata(ONE), device(disk), watermark=80).spaces
    assert (space.available, space.reserved, space.fits) == (4915, 1229, False)


@pytest.mark.parametrize("docker", [None, bytes_of_disk(1536)])
def test_half_again_the_archive_is_too_little(docker: Volume | None) -> None:
    assert not ask(metadata(ONE), device(bytes_of_disk(1536), docker)).fits


@pytest.mark.parametrize(
    ("store", "docker", "fits"),
    [
        (1024, 4096, True),
        (1023, 4096, False),
        (1024, 4095, False),
        (10_000, 4095, False),
    ],
)
def test_each_of_two_volumes_counts_by_itself(store: int, docker: int, fits: bool) -> None:  # noqa: FBT001
    verdict = ask(metadata(ONE), device(bytes_of_disk(store), bytes_of_disk(docker)))
    assert verdict.fits is fits
    assert [space.required for space in verdict.spaces] == [1024, 4096]
    assert [space.purposes for space in verdict.spaces] == [("store",), ("docker",)]


def test_volumes_are_told_apart_by_the_folders_above() -> None:
    one, two = bytes_of_disk(5120), bytes_of_disk(0)
    mounted = device(one, two)._replace(docker_parent="one")
    both, docker = ask(metadata(ONE), mounted).spaces
    assert (both.volume, both.required, both.fits) == ("one", 5120, True)
    # Docker's need counts on Docker's own disk, too.
    assert (docker.volume, docker.required, docker.fits) == ("two", 4096, False)
    split = device(one)._replace(volumes={"one": one, "up": one}, docker_parent="up")
    assert [space.required for space in ask(metadata(ONE), split).spaces] == [1024, 4096]


def test_nothing_is_rounded_to_blocks() -> None:
    layer = Layer("odd", archive_size=1, usage=1)
    disk = Volume(4096, 100, 1, 1)
    (space,) = ask(metadata(layer), device(disk)).spaces
    assert space.required == 2


def test_layer_is_there_if_its_name_is() -> None:
    two = Layer("two", archive_size=7, usage=9)
    verdict = ask(metadata(ONE, two), device(bytes_of_disk(0), sizes={ONE.digest: 0}))
    assert [(layer.digest, layer.archive_size) for layer in verdict.missing] == [(two.digest, 7)]
    assert [space.required for space in verdict.spaces] == [16]
    here = device(bytes_of_disk(0), blobs=[ONE.digest], installed=[two.digest])
    assert ask(metadata(ONE, two), here).fits


def test_part_of_a_blob_is_nothing() -> None:
    partial = device(bytes_of_disk(5119), partial={ONE.digest: 1000})
    assert not ask(metadata(ONE), partial).fits


def test_apps_are_counted_together_and_shared_layers_once() -> None:
    two, three = Layer("two", 10, 20), Layer("three", 30, 40)
    apps = [metadata(ONE, two, source="a"), metadata(ONE, three, source="b")]
    verdict = ask(apps, device(bytes_of_disk(5120 + 100)))
    assert (verdict.fits, verdict.spaces[0].required) == (True, 5120 + 100)
    assert not ask(apps, device(bytes_of_disk(5120 + 99))).fits
    assert list(verdict.rules) == ["a", "b"]


def test_of_figures_that_differ_the_larger_count() -> None:
    apps = [
        metadata(Layer("one", 10, 500), source="a"),
        metadata(Layer("one", 20, 400), source="b"),
    ]
    assert ask(apps, device(bytes_of_disk(520))).fits
    assert not ask(list(reversed(apps)), device(bytes_of_disk(519))).fits


@pytest.mark.parametrize(
    ("usage", "estimated"), [(5 * 1024, [False, True]), (5 * 1024 - 1, [True, True])]
)
def test_figures_of_two_apps_are_a_guess_where_they_differ_and_one_is(
    usage: int, estimated: list[bool]
) -> None:
    layer = Layer("one", 1024, usage)
    known, guessed = small(app_of(layer)), small(app_of(layer, metadata=None))
    found = [
        ask(pair, device(bytes_of_disk(9999))).missing
        for pair in ([known, guessed], [guessed, known])
    ]
    assert [one.estimated for (one,) in found] == estimated
    assert {one[1:3] for (one,) in found} == {(1024, 5 * 1024)}


def test_three_times_the_largest_integer_does_not_fit() -> None:
    layers = [Layer(name, MAX_INTEGER, MAX_INTEGER) for name in "abc"]
    one = ask(metadata(layers[0]), device(bytes_of_disk(MAX_INTEGER)))
    assert (one.fits, one.spaces[0].required) == (False, 2 * MAX_INTEGER)
    verdict = ask(metadata(*layers[:2]), device(bytes_of_disk(MAX_INTEGER), bytes_of_disk(0)))
    assert [space.required for space in verdict.spaces] == [2 * MAX_INTEGER] * 2
    assert not verdict.fits
    with pytest.raises(DocumentError, match="its figures add up to more than 18446744073709551615"):
        ask(metadata(*layers), device(bytes_of_disk(MAX_INTEGER)))
    # Of an App it is the estimate, which is beyond that as well.
    for given in (b"right", None):
        with pytest.raises(DocumentError, match="layers manifest of arm64: its figures add up to"):
            ask(small(app_of(*layers, metadata=given)), device(bytes_of_disk(MAX_INTEGER)))
    bundle = small(app_of(ONE))
    assert bundle.bundle is not None
    bundle = bundle._replace(bundle=bundle.bundle._replace(size=MAX_INTEGER))
    (found,) = ask(bundle, device(bytes_of_disk(MAX_INTEGER))).bundles
    assert (found.required, found.fits) == (3 * MAX_INTEGER, False)


# The archive.


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_archive_needs_three_times_its_size(spare: int, fits: bool) -> None:  # noqa: FBT001
    contents = read(app_of(bundle_bytes=5000), Depth.APP)
    assert contents.bundle is not None
    size = contents.bundle.size
    assert size > 5000
    verdict = ask(contents, device(bytes_of_disk(3 * size + spare), bytes_of_disk(0)))
    assert verdict.fits is fits
    assert verdict.bundles[0].required == 3 * size


def test_metadata_alone_says_that_the_archive_is_not_counted() -> None:
    verdict = ask(metadata(ONE), device(bytes_of_disk(5120)))
    assert verdict.bundles == ()
    assert verdict.notes == ("meta.json: metadata alone; the App's archive is not counted",)


# The estimate.


def broken(layer: Layer, **figures: object) -> bytes:
    document = {ARCH: metadata_of([layer])}
    document[ARCH]["layers"][layer.digest] |= figures
    return encode(document)


def without(layer: Layer, key: str) -> bytes:
    document = json.loads(broken(layer))
    del document[ARCH]["layers"][layer.digest][key]
    return encode(document)


BROKEN = {
    "no JSON": b"{",
    "no object": b"[]",
    "another architecture": encode({"amd64": metadata_of([ONE])}),
    "no object there": encode({ARCH: 7}),
    "layers in a list": encode({ARCH: {"layers": [{"usage": 1}]}}),
    "bad digest": encode({ARCH: {"layers": {"sha256:12": {"usage": 1, "archive_size": 1}}}}),
    "layer is a number": encode({ARCH: {"layers": {ONE.digest: 7}}}),
    "no usage": without(ONE, "usage"),
    "usage in quotes": broken(ONE, usage="4096"),
    "usage with a point": broken(ONE, usage=4096.5),
    "usage is true": broken(ONE, usage=True),
    "usage is null": broken(ONE, usage=None),
    "usage of 64 bits": broken(ONE, usage=MAX_INTEGER + 1),
    "size in quotes": broken(ONE, size="3000"),
    "archive_size in quotes": broken(ONE, archive_size="1024"),
    "archive_size of 65 bits": broken(ONE, archive_size=2**64),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=list(BROKEN))
def test_faulty_metadata_gives_way_to_the_estimate(raw: bytes) -> None:
    verdict = ask(small(app_of(ONE, metadata=raw)), device(bytes_of_disk(6 * 1024)))
    assert verdict.rules == {"app": Rule.ESTIMATE}
    assert verdict.fits
    assert verdict.spaces[0].required == 6 * 1024
    assert [layer[1:] for layer in verdict.missing] == [(1024, 5 * 1024, True)]
    (note,) = verdict.notes
    assert note.endswith("; estimated from the manifest of its layers")
    assert not ask(small(app_of(ONE, metadata=raw)), device(bytes_of_disk(6 * 1024 - 1))).fits


def two_cases(digest: str) -> tuple[bytes, bytes]:
    return digest.encode(), digest.upper().encode()


FORGIVEN = {
    "no archive_size": (without(ONE, "archive_size"), 0, 4096),
    "archive_size is null": (broken(ONE, archive_size=None), 0, 4096),
    "archive_size with a point": (broken(ONE, archive_size=1024.9), 1024, 4096),
    "archive_size is true": (broken(ONE, archive_size=True), 1, 4096),
    "archive_size below nothing": (broken(ONE, archive_size=-5), 2**64 - 5, 4096),
    "usage below nothing": (broken(ONE, usage=-1), 1024, 2**64 - 1),
    "usage with a point": (broken(ONE, usage=4096.0), 1024, 4096),
    "cut off": (broken(ONE)[:-3], 1024, 4096),
    "digest in capitals": (broken(ONE).replace(*two_cases(ONE.digest)), 1024, 4096),
    "a comma too many": (broken(ONE).replace(b"}}}}", b"},},},}"), 1024, 4096),
    "a comment": (b"/* */" + broken(ONE) + b"// end", 1024, 4096),
}


@pytest.mark.parametrize(
    ("raw", "store", "docker"),
    FORGIVEN.values(),
    ids=list(FORGIVEN),
)
def test_what_the_client_makes_of_faulty_figures(raw: bytes, store: int, docker: int) -> None:
    app = small(app_of(ONE, metadata=raw))
    verdict = ask(app, device(bytes_of_disk(5120), bytes_of_disk(5120)))
    assert verdict.rules == {"app": Rule.METADATA}
    assert [space.required for space in verdict.spaces] == [store, docker]
    assert verdict.fits == (max(store, docker) < 2**63)


@pytest.mark.parametrize(
    "document", [None, {}, {"layers": None}, {"layers": []}, {"layers": 7}, {"layers": "x"}]
)
def test_metadata_without_layers_needs_nothing(document: object) -> None:
    app = small(app_of(ONE, metadata=encode({ARCH: document})))
    verdict = ask(app, device(bytes_of_disk(3)))
    assert (verdict.rules, verdict.spaces[0].required) == ({"app": Rule.METADATA}, 0)


def test_fault_of_a_layer_that_is_there_does_not_matter() -> None:
    two = Layer("two", 10, 20)
    document = {ARCH: metadata_of([ONE, two])}
    document[ARCH]["layers"][ONE.digest] = "nothing"
    app = small(app_of(ONE, two, metadata=encode(document)))
    verdict = ask(app, device(bytes_of_disk(30), blobs=[ONE.digest]))
    assert (verdict.rules, verdict.spaces[0].required) == ({"app": Rule.METADATA}, 30)


@pytest.mark.parametrize("key", ["size", "fs_block_size"])
def test_what_the_client_does_not_read_may_be_missing(key: str) -> None:
    document = {ARCH: metadata_of([ONE])}
    if key == "size":
        del document[ARCH]["layers"][ONE.digest]["size"]
    else:
        del document[ARCH]["fs_block_size"]
    verdict = ask(small(app_of(ONE, metadata=encode(document))), device(bytes_of_disk(5120)))
    assert (verdict.rules, verdict.fits) == ({"app": Rule.METADATA}, True)


def test_app_without_metadata_is_estimated() -> None:
    app = small(app_of(ONE, metadata=None))
    verdict = ask(app, device(bytes_of_disk(1024), bytes_of_disk(5120)))
    assert (verdict.rules, verdict.fits) == ({"app": Rule.ESTIMATE}, True)
    assert not ask(app, device(bytes_of_disk(1024), bytes_of_disk(5119))).fits


def test_without_metadata_and_manifest_the_check_is_skipped() -> None:
    app = small(app_of(ONE, metadata=None, layers_manifests=False))
    verdict = ask(app, device(bytes_of_disk(3), bytes_of_disk(0)))
    assert (verdict.rules, verdict.fits) == ({"app": Rule.SKIPPED}, True)
    assert "the client skips the check" in verdict.notes[0]


class Faulty(App):
    """An App with `values` in the first layer of its layers manifest."""

    values: Mapping[str, object] = MappingProxyType({})

    def put(self, raw: bytes, kind: str) -> dict[str, object]:
        if b"compose-app-layers" in raw:
            document = json.loads(raw)
            document["layers"][0] |= self.values
            raw = encode(document)
        return super().put(raw, kind)


@pytest.mark.parametrize(
    "values",
    [
        *({"size": size} for size in (-1, 1.5, "1024", MAX_INTEGER + 1, None)),
        *({"digest": digest} for digest in ("sha256:12", "sha512:" + 64 * "0", 7, None)),
    ],
)
def test_faulty_layer_in_the_manifest_is_an_error(values: dict[str, object]) -> None:
    app = Faulty({"web": {ARCH: [ONE]}}, metadata=None)
    app.values = values
    with pytest.raises(DocumentError, match=r"layers manifest of arm64: \$\.layers\[0\]"):
        ask(small(app), device(bytes_of_disk(1 << 30)))
    if "size" in values:
        assert ask(small(app), device(bytes_of_disk(3), blobs=[ONE.digest])).fits


def test_largest_layer_in_the_manifest_is_beyond_what_the_client_can_add() -> None:
    app = small(app_of(Layer("a", MAX_INTEGER), metadata=None))
    with pytest.raises(DocumentError, match="its figures add up to more than"):
        ask(app, device(bytes_of_disk(MAX_INTEGER)))
    app = small(app_of(Layer("a", 1 << 61), metadata=None))
    assert not ask(app, device(bytes_of_disk(MAX_INTEGER))).fits


@pytest.mark.parametrize("raw", BROKEN.values(), ids=list(BROKEN))
def test_faulty_metadata_alone_is_an_error(raw: bytes) -> None:
    from layerscan.fit.contents import from_metadata

    with pytest.raises(DocumentError):
        ask(from_metadata(raw, "meta.json"), device(bytes_of_disk(1 << 30)))
