"""The inodes that an update takes by the exact policy: on values, and on a disk with few."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.fit import device_file
from layerscan.fit.contents import AppContents, Depth
from layerscan.fit.disks import disk_of
from layerscan.fit.exact import check
from layerscan.fit.verdict import InodeNeed, Limit, Verdict
from layerscan.jsondoc import MAX_INTEGER
from layerscan.stores.overlay2.footprint import GROWTH
from tests.builders.fit_apps import Layer, encode, metadata_of
from tests.builders.fit_case import ARCH, app_of, device, engine, metadata, read, volume
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.fit.device import Device

ROOM = 1 << 20
ONE = Layer("one", inodes=3000)
TWO = Layer("two", inodes=40)
SILENT = Layer("silent")
OF_IMAGE = 1 + GROWTH.image_inodes
"""Docker keeps the config, and the manifest."""


def ask(apps: AppContents | list[AppContents], where: Device, **more: Any) -> Verdict:  # noqa: ANN401
    return check(
        apps if isinstance(apps, list) else [apps],
        where,
        architecture=ARCH,
        limit=Limit(100),
        **more,
    )


def needs(verdict: Verdict) -> list[InodeNeed | None]:
    return [space.inodes for space in verdict.spaces]


def two(store: int | None, docker: int | None, **more: Any) -> Device:  # noqa: ANN401
    return device(volume(ROOM, inodes=store), volume(ROOM, inodes=docker), **more)


def about_inodes(verdict: Verdict) -> list[str]:
    return [note for note in verdict.notes if "inodes" in note]


# Metadata alone.


def test_blobs_are_a_file_each_and_layers_what_the_metadata_says() -> None:
    verdict = ask(metadata(ONE, TWO), two(10, 5000))
    assert needs(verdict) == [InodeNeed(2, 10), InodeNeed(3040, 5000)]
    assert (verdict.fits, about_inodes(verdict)) == (True, [])


@pytest.mark.parametrize(
    ("store", "docker", "fits"), [(2, 3040, True), (1, 3040, False), (2, 3039, False)]
)
def test_an_inode_decides(store: int, docker: int, fits: bool) -> None:  # noqa: FBT001
    verdict = ask(metadata(ONE, TWO), two(store, docker))
    assert verdict.fits is fits
    # Bytes there are enough of.
    assert [space.to_free for space in verdict.spaces] == [0, 0]


def test_one_volume_takes_both() -> None:
    for free in (3041, 3042):
        verdict = ask(metadata(ONE, TWO), device(volume(ROOM, inodes=free)))
        assert (needs(verdict), verdict.fits) == ([InodeNeed(3042, free)], free == 3042)


def test_without_a_limit_any_number_fits() -> None:
    verdict = ask(metadata(Layer("x", inodes=MAX_INTEGER)), two(0, 0))
    assert (verdict.fits, needs(verdict), about_inodes(verdict)) == (True, [None, None], [])


def test_device_that_does_not_say_its_inodes_is_told() -> None:
    verdict = ask(metadata(ONE), two(7, None))
    assert needs(verdict) == [InodeNeed(1, 7), None]
    note = "the device: does not say how many inodes are free: that is not checked"
    assert (verdict.fits, about_inodes(verdict)) == (True, [note])


def test_layers_that_do_not_say_their_inodes_are_told_and_the_rest_counts() -> None:
    note = "meta.json: how many inodes 1 of its layers need is not known: not counted"
    for free in (2999, 3000):
        verdict = ask(metadata(ONE, SILENT), two(9, free))
        assert (verdict.fits, about_inodes(verdict)) == (free == 3000, [note])
    # Where there is no limit, nobody need know.
    assert about_inodes(ask(metadata(SILENT), two(9, 0))) == []


def test_what_is_there_needs_none() -> None:
    there = two(9, 50, engine=engine(digests=[ONE.digest]))
    assert needs(ask(metadata(ONE, TWO), there))[1] == InodeNeed(40, 50)
    installed = two(0, 0, installed=[ONE.digest, TWO.digest])
    assert ask(metadata(ONE, TWO), installed).fits


def test_part_of_a_blob_has_its_inode() -> None:
    verdict = ask(metadata(ONE, TWO), two(9, 5000, partial={ONE.digest: 1}))
    assert needs(verdict)[0] == InodeNeed(1, 9)


def test_metadata_with_a_fault_there_cannot_be_used() -> None:
    from layerscan.errors import DocumentError
    from layerscan.fit.contents import from_metadata

    document = {ARCH: metadata_of([ONE]) | {"inodes": {ONE.digest: -1}}}
    with pytest.raises(DocumentError, match=r"inodes\[.*\]: must not be negative"):
        ask(from_metadata(encode(document), "meta.json"), two(9, 9))


# Apps.


def app(*layers: Layer) -> AppContents:
    return read(app_of(*layers), Depth.CONFIGS)


def test_app_counts_its_documents_too() -> None:
    there = app(ONE, TWO)
    (store, docker) = needs(ask(there, two(100, 5000)))
    assert store == InodeNeed(len(there.blobs()), 100)
    assert docker == InodeNeed(3040 + OF_IMAGE + GROWTH.first_inodes, 5000)


def test_engine_that_pulls_keeps_the_last_blob_meanwhile() -> None:
    there = app(ONE, TWO)
    (store, docker) = needs(ask(there, two(100, 5000), engine_pulls=True))
    images = {blob.digest for one in there.images or () for blob in (*one.layers, one.config)}
    assert store is not None
    assert store.required < len(there.blobs()) - len(images) + 1
    assert docker == InodeNeed(3040 + OF_IMAGE + GROWTH.first_inodes + 1, 5000)


def test_content_of_layers_on_a_disk_of_its_own_leaves_their_records() -> None:
    where = two(100, 5000, engine=engine())
    disks = {**where.volumes, "three": volume(ROOM, inodes=7000)}
    where = where._replace(volumes=disks, layers_root="three")
    there = app(ONE, TWO)
    verdict = ask(there, where)
    # Eight files and folders are a layer's record, with 128 bytes for each inode.
    assert needs(verdict) == [
        InodeNeed(len(there.blobs()), 100),
        InodeNeed(2 * 8 + OF_IMAGE + GROWTH.first_inodes, 5000),
        InodeNeed(3040, 7000),
    ]
    silent = ask(app(replace(ONE, inodes=None), replace(TWO, inodes=None)), where)
    assert verdict.spaces[1].required - silent.spaces[1].required == 3040 * 128
    assert needs(silent)[1:] == [needs(verdict)[1], InodeNeed(0, 7000)]


def test_layer_that_an_image_has_twice_counts_as_the_metadata_says() -> None:
    verdict = ask(app(TWO, TWO), two(100, 5000))
    assert needs(verdict)[1] == InodeNeed(40 + OF_IMAGE + GROWTH.first_inodes, 5000)


def test_layers_that_apps_share_count_once() -> None:
    apart, shared = app(ONE), app(ONE, TWO)
    (_, docker) = needs(ask([apart, shared], two(100, 5000)))
    assert docker == InodeNeed(3040 + 2 * OF_IMAGE + GROWTH.first_inodes, 5000)


layers = st.lists(
    st.builds(Layer, st.sampled_from("abcdef"), inodes=st.none() | st.integers(1, 50)),
    unique_by=lambda layer: layer.name,
)


@given(layers, st.integers(0, 300) | st.none(), st.integers(0, 300) | st.none())
def test_verdict_is_that_of_counting(
    layers: list[Layer], store: int | None, docker: int | None
) -> None:
    verdict = ask(metadata(*layers), two(store, docker))
    known = [layer.inodes for layer in layers if layer.inodes is not None]
    enough = not store or store >= len(layers), not docker or docker >= sum(known)
    assert verdict.fits is all(enough)
    unknown = bool(docker) and len(known) < len(layers)
    assert len(about_inodes(verdict)) == unknown + (None in (store, docker))


# The answer.


def write_device(path: Path, inodes: int) -> Path:
    where = device(volume(ROOM, blocks=ROOM, inodes=inodes), engine=engine())
    path.write_bytes(device_file.dumps(where))
    return path


def test_text_says_what_there_is_too_little_of(tmp_path: Path) -> None:
    meta = tmp_path / "meta.json"
    meta.write_bytes(encode({ARCH: metadata_of([ONE])}))
    described = write_device(tmp_path / "device.json", 1509)
    options = ("check", "--layers-meta", meta, "--device", described, "--policy", "exact")
    done = run(*options)
    assert done.status == 1
    assert done.text.splitlines()[-2:] == [
        "one: 3,001 inodes are needed, and 1,509 are free: too few, whatever the bytes",
        f"does not fit: {meta} for {ARCH} (exact, watermark 100 %)",
    ]
    (space,) = json.loads(run(*options, "--format", "json").out)["volumes"]
    assert space["inodes"] == {"required": 3001, "free": 1509}
    assert (space["fits"], space["to_free"]["bytes"]) == (False, 0)
    # The clients do not look at them.
    assert run(*options[:-1], "aktualizr-lite").status == 0


# Disks.


def with_inodes(monkeypatch: pytest.MonkeyPatch, there: int, free: int) -> None:
    real = os.statvfs("/")
    made_up = os.statvfs_result((*real[:5], there, free, free, *real[8:10], real.f_fsid))
    monkeypatch.setattr(os, "statvfs", lambda _: made_up)


@pytest.mark.parametrize(
    ("there", "free", "expected"),
    [
        (100, 7, (100, 7)),
        (0, 0, (0, 0)),
        (0, 5, (0, 0)),
        (1, 1, (1, 1)),
        (100, 101, (100, 100)),
        (MAX_INTEGER, 7, (MAX_INTEGER, 7)),
        (MAX_INTEGER + 1, 7, (0, 0)),
        (2**64 - 1, 2**64 - 1, (0, 0)),
    ],
)
def test_inodes_of_a_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: int,
    free: int,
    expected: tuple[int, int],
) -> None:
    with_inodes(monkeypatch, there, free)
    found = disk_of(str(tmp_path)).volume
    assert (found.inodes, found.free_inodes) == expected


@pytest.mark.root
def test_ext4_with_few_inodes_is_full_where_exact_says_so(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), 64 << 20, "-N", "2048") as disk:
        os.mkdir(f"{disk}/store")
        os.mkdir(f"{disk}/docker")
        free = os.statvfs(disk).f_favail
        assert 0 < free < 2048
        roots = ("--store-root", f"{disk}/store", "--docker-root", f"{disk}/docker")
        described = tmp_path / "device.json"
        assert run("device", *roots, "-o", described).status == 0
        written = json.loads(described.read_bytes())["volumes"][disk]
        assert written["inodes"] == os.statvfs(disk).f_files
        assert written["free_inodes"] == free
        meta = tmp_path / "meta.json"
        # One of them is the blob's.
        for inodes, status in ((free, 1), (free - 1, 0)):
            layer = Layer("files", archive_size=4096, usage=4096, inodes=inodes)
            meta.write_bytes(encode({ARCH: metadata_of([layer])}))
            exact = ("check", "--layers-meta", meta, "--policy", "exact", "--arch", ARCH)
            assert run(*exact, *roots).status == status
            assert run(*exact, "--device", described).status == status
        for number in range(free):
            os.mknod(f"{disk}/docker/{number}")
        with pytest.raises(OSError, match="No space left") as raised:
            os.mknod(f"{disk}/docker/more")
        assert raised.value.errno == errno.ENOSPC
        found = os.statvfs(disk)
        assert found.f_favail == 0 < found.f_bavail
