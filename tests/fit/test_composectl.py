"""The rules of composectl, held against an oracle that adds up on its own."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit.composectl import WATERMARKS, check, reserved_bytes
from layerscan.fit.contents import (
    AppContents,
    BlobKind,
    Depth,
    _bundle_index,
    from_metadata,
)
from layerscan.fit.device import Device, Volume
from layerscan.fit.verdict import Limit, Rule, Verdict
from layerscan.oci import Descriptor
from tests.builders.fit_apps import App, Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of, device, metadata, read, volume

if TYPE_CHECKING:
    from collections.abc import Iterable

ONE = Layer("one", archive_size=10_000, usage=30_001)
TWO = Layer("two", archive_size=4096, usage=12_288)
BLOCK = 4096


def ask(apps: AppContents | list[AppContents], where: Device, watermark: int = 100) -> Verdict:
    several = apps if isinstance(apps, list) else [apps]
    return check(several, where, architecture=ARCH, limit=Limit(watermark))


def up(size: int, block: int = BLOCK) -> int:
    return size if size % block == 0 else size + block - size % block


def read_app(app: App) -> AppContents:
    return read(app, Depth.IMAGES)


def beside(contents: AppContents, *, block: int = BLOCK) -> int:
    """What all that is no layer takes: in the store, and once more."""
    blobs = contents.blobs().values()
    return sum(2 * up(blob.size, block) for blob in blobs if blob.kind is not BlobKind.LAYER)


def required(verdict: Verdict) -> int:
    (space,) = verdict.spaces
    return space.required


# Which blobs.


def test_every_blob_of_the_tree_counts() -> None:
    app = read_app(app_of(ONE, index=True, bundle_index=True))
    kinds = sorted(blob.kind for blob in app.blobs().values())
    assert kinds == sorted(BlobKind)
    verdict = ask(app, device(volume(1 << 20)))
    assert required(verdict) == beside(app) + up(10_000) + 30_001
    assert verdict.others is not None
    assert verdict.others.blobs == len(BlobKind) - 1
    assert verdict.download == sum(blob.size for blob in app.blobs().values())


def test_image_without_an_index_has_none() -> None:
    kinds = {blob.kind for blob in read_app(app_of(ONE)).blobs().values()}
    assert kinds == set(BlobKind) - {BlobKind.IMAGE_INDEX, BlobKind.BUNDLE_INDEX}


@pytest.mark.parametrize(
    ("digest", "size"),
    [
        ("sha256:12", "17"),
        ("", "17"),
        (Layer("x").digest, "seventeen"),
        (Layer("x").digest, "-17"),
        (Layer("x").digest, "9" * 30),
        (Layer("x").digest, str(1 << 63)),
    ],
)
def test_faulty_bundle_index_is_none(digest: str, size: str) -> None:
    prefix = "org.foundries.app.bundle.index."
    annotations = {f"{prefix}digest": digest, f"{prefix}size": size}
    assert list(_bundle_index(Descriptor("", ONE.digest, 1, None, annotations))) == []


def test_apps_are_one_whole_and_a_blob_counts_once() -> None:
    first, second = read_app(app_of(ONE, TWO)), read_app(app_of(TWO, ONE))
    both = first.blobs() | second.blobs()
    verdict = ask([first, second], device(volume(1 << 20)))
    layers = up(10_000) + 30_001 + up(4096) + 12_288
    others = sum(2 * up(blob.size) for blob in both.values() if blob.kind is not BlobKind.LAYER)
    assert required(verdict) == layers + others
    assert len(verdict.missing) == 2


def test_of_figures_that_differ_those_of_the_last_app_count() -> None:
    small = read_app(app_of(ONE, metadata=encode({ARCH: metadata_of([Layer("one", usage=100)])})))
    large = read_app(app_of(ONE))
    where = device(volume(1 << 20))
    difference = required(ask([small, large], where)) - required(ask([large, small], where))
    assert difference == 30_001 - 100


def test_what_is_there_does_not_count() -> None:
    app = read_app(app_of(ONE, TWO))
    sizes = {blob.digest: blob.size for blob in app.blobs().values()}
    nothing = device(volume(0), sizes=sizes)
    verdict = ask(app, nothing)
    assert (verdict.fits, required(verdict), verdict.download) == (True, 0, 0)
    del sizes[TWO.digest]
    lacking = device(volume(4), sizes=sizes)
    assert (ask(app, lacking).fits, required(ask(app, lacking))) == (True, 4 * BLOCK)
    assert not ask(app, device(volume(3), sizes=sizes)).fits


def test_blob_of_another_length_is_not_there() -> None:
    app = read_app(app_of(TWO))
    sizes = {blob.digest: blob.size for blob in app.blobs().values()} | {TWO.digest: 4095}
    damaged = device(volume(0), sizes=sizes, partial={TWO.digest: 4000})
    assert required(ask(app, damaged)) == 4096 + 12_288


# What each takes.


@pytest.mark.parametrize(
    ("there", "store"),
    [
        (0, 12_288),
        (1, 12_288),
        (1807, 12_288),
        (1808, 8192),
        (9999, 4096),
        (10_000, 0),
        (99_999, 0),
    ],
)
def test_blob_fetched_in_part_needs_the_rest_and_its_usage_whole(there: int, store: int) -> None:
    app = read_app(app_of(ONE))
    where = device(volume(1 << 20), partial={ONE.digest: there})
    assert required(ask(app, where)) == beside(app) + store + 30_001


def test_layer_that_the_metadata_leaves_out_needs_five_times_its_blob() -> None:
    app = read_app(app_of(ONE, TWO, metadata=encode({ARCH: metadata_of([TWO])})))
    verdict = ask(app, device(volume(1 << 20)))
    assert required(verdict) == beside(app) + up(10_000) + 50_000 + 4096 + 12_288
    assert {layer.digest: layer.estimated for layer in verdict.missing} == {
        ONE.digest: True,
        TWO.digest: False,
    }
    assert verdict.notes == ("app: its metadata leaves out 1 of its layers: estimated",)


@pytest.mark.parametrize("raw", [None, b"{", encode({"amd64": metadata_of([ONE])}), b"null"])
def test_without_metadata_a_layer_needs_no_more_than_its_blob(raw: bytes | None) -> None:
    app = read_app(app_of(ONE, metadata=raw))
    verdict = ask(app, device(volume(1 << 20)))
    assert verdict.rules == {"app": Rule.ESTIMATE}
    # What it cannot decode it does not fetch.
    left_out = 2 * BLOCK if raw == b"{" else 0
    assert required(verdict) == beside(app) - left_out + 2 * up(10_000)
    assert "takes a layer to need no more than its blob" in verdict.notes[0]


def test_metadata_that_cannot_be_had_is_not_fetched() -> None:
    app = read_app(app_of(ONE))._replace(metadata=None, metadata_fault="gone")
    (blob,) = (one for one in app.own if one.kind is BlobKind.METADATA)
    verdict = ask(app, device(volume(1 << 20)))
    assert required(verdict) == beside(app) - 2 * up(blob.size) + 2 * up(10_000)
    assert verdict.notes == ("gone; the client takes a layer to need no more than its blob",)


def test_block_is_that_of_the_folder_above() -> None:
    app = read_app(app_of(ONE))
    above = volume(5, block_size=512)
    split = device(volume(1 << 20))
    split = split._replace(volumes={**split.volumes, "above": above}, store_parent="above")
    assert required(ask(app, split)) == beside(app, block=512) + up(10_000, 512) + 30_001


def test_everything_counts_on_the_volume_of_the_store() -> None:
    app = read_app(app_of(ONE))
    need = required(ask(app, device(volume(1 << 20))))
    blocks = up(need) // BLOCK
    assert ask(app, device(volume(blocks), volume(0))).fits
    assert not ask(app, device(volume(blocks - 1), volume(1 << 20))).fits


def test_free_blocks_count_whoever_asks() -> None:
    app = read_app(app_of(ONE))
    reserved = device(Volume(BLOCK, 1 << 30, 1 << 20, 0))
    assert ask(app, reserved).fits


def test_metadata_alone_is_judged_by_its_layers() -> None:
    verdict = ask(metadata(ONE, TWO), device(volume(1 << 20), blobs=[TWO.digest]))
    assert (required(verdict), verdict.rules) == (12_288 + 30_001, {"meta.json": Rule.METADATA})
    assert verdict.notes == ("meta.json: metadata alone; the App's other blobs are not counted",)


def test_metadata_alone_must_say_how_long_blobs_are() -> None:
    document = metadata_of([ONE])
    del document["layers"][ONE.digest]["archive_size"]
    # Of one architecture, as `scan` writes it, or of several, as `merge` does.
    for raw in (encode(document), encode({ARCH: document})):
        with pytest.raises(DocumentError, match=r'key "archive_size" is missing; publishing an'):
            ask(from_metadata(raw, "meta.json"), device(volume(1 << 20)))
    with pytest.raises(DocumentError, match='has no arm64; it has: "amd64"'):
        ask(from_metadata(encode({"amd64": document}), "meta.json"), device(volume(1)))


@pytest.mark.parametrize(("usage", "needed"), [(10, 5), (5, 0), (0, 2**64 - 5)])
@pytest.mark.parametrize("there", [0, 3])
def test_blob_of_less_than_no_bytes_is_taken_off(usage: int, needed: int, there: int) -> None:
    alone = metadata(Layer("one", archive_size=-5, usage=usage))
    verdict = ask(alone, device(volume(1 << 20), partial={ONE.digest: there}))
    assert (required(verdict), verdict.missing[0].archive_size) == (needed, -5)


def test_fault_of_metadata_alone_is_told() -> None:
    raw = encode({ARCH: metadata_of([ONE]), "amd64": 7})
    verdict = ask(from_metadata(raw, "meta.json"), device(volume(1 << 20)))
    assert required(verdict) == 12_288 + 30_001
    assert verdict.notes == (
        "meta.json: $.amd64: must be an object; the client goes on with the rest",
        "meta.json: metadata alone; the App's other blobs are not counted",
    )


# What is set aside.


def double(value: Fraction) -> Fraction:
    """`value` rounded to an IEEE double, without floating point arithmetic."""
    if value == 0:
        return value
    exponent = 0
    scaled = value
    while scaled >= 2**53:
        scaled /= 2
        exponent += 1
    while scaled < 2**52:
        scaled *= 2
        exponent -= 1
    whole, rest = divmod(scaled, 1)
    up_one = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
    return Fraction(int(whole) + up_one) * Fraction(2) ** exponent


@given(total=st.integers(0, 2**64 - 1), watermark=st.integers(20, 99))
def test_reserve_is_a_double_cut_off(total: int, watermark: int) -> None:
    product = double(double(Fraction(100 - watermark, 100)) * double(Fraction(total)))
    assert reserved_bytes(total, watermark) == int(product)


@pytest.mark.parametrize(
    ("total", "watermark", "reserved"),
    [
        (409_600, 95, 20_480),
        (100, 93, 7),
        (1_000_003, 71, 290_000),
        (2**63 - 1, 80, 1_844_674_407_370_955_264),
        (2**53 + 1, 50, 2**52),
        (0, 95, 0),
    ],
)
def test_reserve_of_some_disks(total: int, watermark: int, reserved: int) -> None:
    assert reserved_bytes(total, watermark) == reserved


def test_reserve_differs_from_exact_arithmetic_somewhere() -> None:
    totals: Iterable[int] = range(100, 20_000, 100)
    differing = [
        (total, watermark)
        for total in totals
        for watermark in range(20, 100)
        if reserved_bytes(total, watermark) != total * (100 - watermark) // 100
    ]
    assert differing, "or integers would do"


def test_doubles_are_ieee() -> None:
    assert struct.pack(">d", 0.05).hex() == "3fa999999999999a"


@pytest.mark.parametrize("watermark", [19, 100, 0])
def test_watermark_out_of_range_is_refused(watermark: int) -> None:
    with pytest.raises(LayerscanError, match="20 to 99 percent"):
        WATERMARKS.chosen(watermark)


def test_default_watermark() -> None:
    assert [WATERMARKS.chosen(asked) for asked in (None, 20, 99)] == [95, 20, 99]


@pytest.mark.parametrize(("free_blocks", "left"), [(5, 0), (6, 1), (0, 0), (100, 95)])
def test_what_is_set_aside_is_not_available(free_blocks: int, left: int) -> None:
    app = read_app(app_of(ONE))
    disk = Volume(BLOCK, 100, free_blocks, free_blocks)
    (space,) = ask(app, device(disk), watermark=95).spaces
    assert (space.reserved, space.available) == (5 * BLOCK, left * BLOCK)
