"""The exact policy on values: what counts where, and what the engine has already."""

from __future__ import annotations

from typing import Any

import pytest

from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit.contents import AppContents, BlobKind, Depth
from layerscan.fit.device import Device, Volume
from layerscan.fit.exact import WATERMARKS, check
from layerscan.fit.verdict import Limit, Rule, Verdict
from layerscan.stores.accounting import grown_once
from layerscan.stores.containerd import footprint as containerd_footprint
from layerscan.stores.overlay2 import footprint as overlay2_footprint
from tests.builders.fit_apps import App, Layer, chains, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of, device, engine, metadata, read, volume

BLOCK = 4096
ONE = Layer("one", archive_size=10_000, usage=40_960)
TWO = Layer("two", archive_size=4097, usage=12_288)
OVERLAY2 = overlay2_footprint.GROWTH
GROWS = OVERLAY2.image_bytes + grown_once(OVERLAY2, BLOCK, is_first=True)
DATABASES = containerd_footprint.GROWTH


def ask(
    apps: AppContents | list[AppContents],
    where: Device,
    *,
    watermark: int = 100,
    is_root: bool = True,
    engine_pulls: bool = False,
) -> Verdict:
    return check(
        apps if isinstance(apps, list) else [apps],
        where,
        architecture=ARCH,
        limit=Limit(watermark),
        is_root=is_root,
        engine_pulls=engine_pulls,
    )


def read_app(app: App) -> AppContents:
    return read(app, Depth.CONFIGS)


def two(store: int = 1 << 20, docker: int = 1 << 20, **more: object) -> Device:
    return device(volume(store), volume(docker), **more)  # type: ignore[arg-type]


def up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def needs(verdict: Verdict) -> list[int]:
    return [space.required for space in verdict.spaces]


# Metadata alone.


def test_blobs_are_rounded_and_usage_is_as_it_stands() -> None:
    verdict = ask(metadata(ONE, TWO), two())
    assert needs(verdict) == [up(10_000) + up(4097), 40_960 + 12_288]
    assert "metadata alone" in verdict.notes[1]
    assert verdict.notes[0] == "the device: does not say what the engine has: every layer counts"
    assert "the engine" not in ask(metadata(ONE), two(engine=engine())).notes[0]


@pytest.mark.parametrize(
    ("store", "docker", "fits"), [(5, 13, True), (4, 13, False), (5, 12, False)]
)
def test_a_block_decides(store: int, docker: int, fits: bool) -> None:  # noqa: FBT001
    verdict = ask(metadata(ONE, TWO), two(store, docker))
    assert verdict.fits is fits
    assert sum(space.to_free for space in verdict.spaces) == (0 if fits else BLOCK)


def test_one_volume_takes_both() -> None:
    verdict = ask(metadata(ONE, TWO), device(volume(18)))
    assert (needs(verdict), verdict.fits) == ([18 * BLOCK], True)
    assert verdict.spaces[0].purposes == ("store", "docker")
    assert not ask(metadata(ONE, TWO), device(volume(17))).fits


def test_layer_is_in_the_engine_by_its_digest() -> None:
    there = two(engine=engine(digests=[ONE.digest]))
    verdict = ask(metadata(ONE, TWO), there)
    assert needs(verdict) == [up(10_000) + up(4097), 12_288]
    assert [(layer.archive_size, layer.usage) for layer in sorted(verdict.missing, key=str)]
    by_digest = {layer.digest: layer for layer in verdict.missing}
    assert (by_digest[ONE.digest].archive_size, by_digest[ONE.digest].usage) == (10_000, 0)


def test_layer_that_is_installed_is_in_both_places() -> None:
    verdict = ask(metadata(ONE, TWO), two(0, 0, installed=[ONE.digest, TWO.digest]))
    assert (verdict.fits, verdict.missing, needs(verdict)) == (True, (), [0, 0])


def test_part_of_a_blob_has_its_blocks_already() -> None:
    for there, left in ((1, 2), (4096, 2), (4097, 1), (10_000, 0)):
        verdict = ask(metadata(ONE), two(partial={ONE.digest: there}))
        assert needs(verdict)[0] == left * BLOCK


def test_usage_measured_with_other_blocks_is_an_estimate() -> None:
    verdict = ask(metadata(ONE, fs_block_size=1024), two())
    assert "blocks of 1024 bytes, the device has 4096" in verdict.notes[2]
    assert len(ask(metadata(ONE), two()).notes) == 2


def test_blobs_are_rounded_by_the_store_s_blocks() -> None:
    disks = device(volume(1 << 20, block_size=1024), volume(1 << 20))
    assert needs(ask(metadata(ONE), disks)) == [10_240, 40_960]


NO_DIGEST = encode({ARCH: {"layers": {"sha256:12": {"usage": 1, "archive_size": 1}}}})


@pytest.mark.parametrize("raw", [b"{", encode({"amd64": metadata_of([ONE])}), NO_DIGEST])
def test_metadata_alone_that_cannot_be_used_is_an_error(raw: bytes) -> None:
    from layerscan.fit.contents import from_metadata

    with pytest.raises(DocumentError):
        ask(from_metadata(raw, "meta.json"), two())


def test_metadata_alone_without_archive_size_is_an_error() -> None:
    document = {ARCH: metadata_of([ONE])}
    del document[ARCH]["layers"][ONE.digest]["archive_size"]
    from layerscan.fit.contents import from_metadata

    with pytest.raises(DocumentError, match='key "archive_size" is missing'):
        ask(from_metadata(encode(document), "meta.json"), two())


# Apps.


def config_size(app: AppContents) -> int:
    return sum(up(blob.size) for blob in app.blobs().values() if blob.kind is BlobKind.CONFIG)


def test_app_counts_blob_by_blob_and_what_its_images_take() -> None:
    app = read_app(app_of(ONE, TWO, index=True))
    verdict = ask(app, two())
    store = sum(up(blob.size) for blob in app.blobs().values())
    assert needs(verdict) == [store, 40_960 + 12_288 + config_size(app) + GROWS]
    assert verdict.spaces[1].least == 40_960 + 12_288 + config_size(app)
    assert verdict.rules == {"app": Rule.METADATA}


def test_other_blobs_are_those_that_the_store_lacks() -> None:
    app = read_app(app_of(ONE, TWO))
    others = [blob for blob in app.blobs().values() if blob.kind is not BlobKind.LAYER]
    sizes = [blob.size for blob in others]
    assert ask(app, two()).others == (len(others), sum(sizes))
    there = two(sizes={others[0].digest: sizes[0]}, partial={others[1].digest: 3})
    assert ask(app, there).others == (len(others) - 1, sum(sizes[1:]) - 3)
    # Of a part that is too long, nothing is to be fetched.
    there = two(partial={others[0].digest: sizes[0], others[1].digest: sizes[1] + 1})
    assert ask(app, there).others == (len(others), sum(sizes[2:]))


def test_engine_that_pulls_fetches_whole_what_it_lacks() -> None:
    app = read_app(app_of(ONE, TWO))
    store: dict[str, Any] = {"partial": {ONE.digest: 9_999}, "sizes": {TWO.digest: 4097}}
    for there, pulled in (
        (two(**store), {ONE.digest: 10_000, TWO.digest: 4097}),
        (two(**store, engine=engine(chains([ONE])[0])), {TWO.digest: 4097}),
    ):
        missing = ask(app, there, engine_pulls=True).missing
        assert {layer.digest: layer.archive_size for layer in missing} == pulled
    fetched = {layer.digest: layer.archive_size for layer in ask(app, two(**store)).missing}
    assert fetched == {ONE.digest: 1, TWO.digest: 0}


def test_layers_are_known_by_their_chains() -> None:
    app = read_app(app_of(ONE, TWO))
    base, top = chains([ONE, TWO])
    configs = config_size(app) + GROWS
    assert needs(ask(app, two(engine=engine(base))))[1] == 12_288 + configs
    assert needs(ask(app, two(engine=engine(base, top))))[1] == configs
    # On another layer, it is another one, whatever its digest.
    other = chains([TWO])[0]
    verdict = ask(app, two(engine=engine(other, digests=[TWO.digest])))
    assert needs(verdict)[1] == 40_960 + 12_288 + configs


def test_image_that_is_there_takes_nothing() -> None:
    app = read_app(app_of(ONE))
    assert app.images is not None
    config = app.images[0].config.digest
    there = two(engine=engine(*chains([ONE]), image_ids=[config]))
    assert needs(ask(app, there))[1] == 0


def test_layer_on_two_parents_is_unpacked_twice() -> None:
    app = read_app(App({"a": {ARCH: [ONE, TWO]}, "b": {ARCH: [TWO]}}))
    verdict = ask(app, two())
    assert (
        needs(verdict)[1] == 40_960 + 2 * 12_288 + config_size(app) + GROWS + OVERLAY2.image_bytes
    )
    assert {layer.digest: layer.usage for layer in verdict.missing}[TWO.digest] == 2 * 12_288


def test_apps_share_layers() -> None:
    first, second = read_app(app_of(ONE)), read_app(app_of(ONE, TWO))
    verdict = ask([first, second], two())
    configs = {
        blob.digest: up(blob.size)
        for app in (first, second)
        for blob in app.blobs().values()
        if blob.kind is BlobKind.CONFIG
    }
    grows = GROWS + OVERLAY2.image_bytes
    assert needs(verdict)[1] == 40_960 + 12_288 + sum(configs.values()) + grows


def test_only_the_first_image_of_a_store_makes_its_databases() -> None:
    app = read_app(app_of(ONE))
    empty, used = (two(engine=engine(image_ids=ids)) for ids in ([], [TWO.digest]))
    first, further = (needs(ask(app, device))[1] for device in (empty, used))
    assert first - further == OVERLAY2.first_bytes + OVERLAY2.first_blocks * BLOCK


@pytest.mark.parametrize("raw", [None, b"[", encode({ARCH: {"layers": {"x": 1}}})])
def test_app_without_metadata_is_estimated(raw: bytes | None) -> None:
    app = read_app(app_of(ONE, metadata=raw))
    verdict = ask(app, two())
    assert needs(verdict)[1] == 5 * 10_000 + config_size(app) + GROWS
    assert verdict.rules == {"app": Rule.ESTIMATE}
    assert verdict.missing[0].estimated


def test_layer_that_the_metadata_leaves_out_is_estimated() -> None:
    app = read_app(app_of(ONE, TWO, metadata=encode({ARCH: metadata_of([TWO])})))
    verdict = ask(app, two())
    assert needs(verdict)[1] == 50_000 + 12_288 + config_size(app) + GROWS
    assert verdict.notes[1:] == ("app: its metadata leaves out 1 of its layers: estimated",)


def test_engine_that_keeps_blobs_needs_room_for_them() -> None:
    app = read_app(app_of(ONE, TWO, index=True))
    assert app.images is not None
    documents = sum(up(blob.size) for blob in app.images[0].documents)
    beside = documents + config_size(app) + DATABASES.image_bytes
    keeping = two(engine=engine(keeps_blobs=True))
    both = 40_960 + 12_288 + up(10_000) + up(4097) + beside
    assert needs(ask(app, keeping))[1] == both + 2 * DATABASES.layer_bytes
    some = two(engine=engine(chains([ONE])[0], keeps_blobs=True, digests=[ONE.digest]))
    assert needs(ask(app, some))[1] == 12_288 + up(4097) + beside + DATABASES.layer_bytes


# The engine pulls.


def test_engine_that_pulls_keeps_the_blob_until_the_layer_is_unpacked() -> None:
    app = read_app(app_of(ONE))
    verdict = ask(app, two(), engine_pulls=True)
    own = sum(up(blob.size) for blob in app.own)
    stays = 40_960 + config_size(app)
    assert needs(verdict) == [own, stays + up(10_000) + GROWS]
    # The blob goes when it was read, and that is before the layer is whole.
    assert verdict.spaces[1].least == stays


def test_blobs_may_wait_for_the_layers_beneath() -> None:
    base = Layer("base", archive_size=100 * BLOCK, usage=200 * BLOCK)
    top = Layer("top", archive_size=10 * BLOCK, usage=20 * BLOCK)
    app = read_app(app_of(base, top))
    (_, docker) = ask(app, two(), engine_pulls=True).spaces
    # Base unpacked with both blobs there: 200 + 110; at the best what stays.
    assert docker.required == 310 * BLOCK + config_size(app) + GROWS
    assert docker.least == 220 * BLOCK + config_size(app)
    app = read_app(app_of(top, base))
    (_, docker) = ask(app, two(), engine_pulls=True).spaces
    assert docker.required == 320 * BLOCK + config_size(app) + GROWS
    assert docker.least == 220 * BLOCK + config_size(app)


def test_blob_that_is_larger_than_its_layer_is_the_least_need() -> None:
    base = Layer("base", archive_size=100 * BLOCK, usage=200 * BLOCK)
    odd = Layer("odd", archive_size=50 * BLOCK, usage=30 * BLOCK)
    app = read_app(app_of(base, odd))
    (_, docker) = ask(app, two(), engine_pulls=True).spaces
    assert docker.least == 250 * BLOCK + config_size(app)


def test_several_images_may_be_at_their_worst_at_a_time() -> None:
    app = read_app(App({"a": {ARCH: [ONE]}, "b": {ARCH: [TWO]}}))
    (_, docker) = ask(app, two(), engine_pulls=True).spaces
    stays = 40_960 + 12_288 + config_size(app)
    assert docker.required == stays + up(10_000) + up(4097) + GROWS + OVERLAY2.image_bytes
    assert docker.least == stays


def test_engine_that_pulls_metadata_alone() -> None:
    (_, docker) = ask(metadata(ONE, TWO), two(), engine_pulls=True).spaces
    assert docker.required == 40_960 + 12_288 + up(10_000) + up(4097)
    assert docker.least == 40_960 + 12_288


def test_content_of_layers_counts_on_the_disk_where_it_is() -> None:
    app = read_app(app_of(ONE, TWO))
    together = ask(app, two(engine=engine()))
    where = two(engine=engine())
    apart = where._replace(volumes={**where.volumes, "three": volume(1 << 20)}, layers_root="three")
    verdict = ask(app, apart)
    usage = ONE.usage + TWO.usage
    assert [space.purposes for space in verdict.spaces] == [("store",), ("docker",), ("layers",)]
    store, docker, layers = needs(verdict)
    assert (store, layers) == (needs(together)[0], usage)
    # The record of each layer is in eight files and folders.
    assert docker == needs(together)[1] - usage + 2 * 8 * BLOCK
    # On the engine's own disk it is as if nothing were said.
    assert ask(app, apart._replace(layers_root=apart.docker_root)) == together
    full = {**apart.volumes, "three": volume(usage // BLOCK - 1)}
    assert not ask(app, apart._replace(volumes=full)).fits
    # Blobs that wait do not become room for what is on another disk.
    pulled = ask(app, apart, engine_pulls=True)
    assert needs(pulled)[1] == docker + up(ONE.archive_size) + up(TWO.archive_size)
    keeping = apart._replace(engine=engine(keeps_blobs=True))
    blobs = up(ONE.archive_size) + up(TWO.archive_size)
    databases = needs(ask(app, two(engine=engine(keeps_blobs=True))))[1] - usage
    assert needs(ask(app, keeping))[1:] == [databases, usage]
    assert databases > blobs


def test_engine_that_pulls_and_keeps_blobs_needs_no_more() -> None:
    app = read_app(app_of(ONE, TWO))
    keeping = two(engine=engine(keeps_blobs=True))
    assert needs(ask(app, keeping, engine_pulls=True))[1] == needs(ask(app, keeping))[1]


# Room.


def test_nobody_gets_what_the_file_system_withholds() -> None:
    disk = Volume(BLOCK, 1000, 30, 20, withheld_blocks=8)
    (space,) = ask(metadata(ONE), device(disk)).spaces
    assert space.available == 22 * BLOCK
    (space,) = ask(metadata(ONE), device(disk), is_root=False).spaces
    assert space.available == 20 * BLOCK
    (space,) = ask(metadata(ONE), device(disk._replace(withheld_blocks=31))).spaces
    assert (space.free, space.available) == (0, 0)
    # Whoever does not say it asks for root.
    verdict = check([metadata(ONE)], device(disk), ARCH, Limit(100))
    assert verdict.spaces[0].available == 22 * BLOCK


@pytest.mark.parametrize(("watermark", "blocks"), [(100, 30), (99, 20), (97, 0), (90, 0)])
def test_watermark_sets_aside(watermark: int, blocks: int) -> None:
    disk = Volume(BLOCK, 1000, 30, 30)
    (space,) = ask(metadata(ONE), device(disk), watermark=watermark).spaces
    assert space.available == blocks * BLOCK


def test_watermarks() -> None:
    assert [WATERMARKS.chosen(asked) for asked in (None, 1, 100)] == [100, 1, 100]
    for asked in (0, 101):
        with pytest.raises(LayerscanError, match="1 to 100 percent"):
            WATERMARKS.chosen(asked)
