"""Digests that a store does not know, looked up in a registry that may say anything."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from layerscan.digest import sha256
from layerscan.oci import DOCKER_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.scanning.lookup import Looked, look_up
from layerscan.scanning.selection import Chosen
from layerscan.stores.model import Image, Layer
from tests.builders import images
from tests.builders.documents import INDEX, MANIFEST, encoded
from tests.builders.overlay2 import StoreBuilder
from tests.builders.registry_faults import Status
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File
from tests.cli_runner import error, run, undigested, warning

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

DIFF_IDS = tuple(sha256(b"tar %d" % number) for number in range(3))


def image_of(*diff_ids: str, **config: object) -> images.Image:
    """An image whose layers have these diff_ids; their blobs are the texts of these."""
    return images.Image(
        layers=tuple(images.Layer(b"", ready=diff_id.encode()) for diff_id in diff_ids),
        config_changes={"rootfs": {"type": "layers", "diff_ids": diff_ids}, **config},
    )


def an_image(
    registry: OpenRegistry,
    *names: str,
    known: tuple[str | None, ...] | None = None,
    **more: Any,  # noqa: ANN401
) -> Chosen:
    """An image of the store under names in `registry`."""
    references = tuple(sorted(parse(f"{registry.address}/{name}") for name in names))
    repositories = tuple(sorted({name.repository for name in references}))
    layers = tuple(Layer(f"chain {one}", one, None, "/x", "diff") for one in DIFF_IDS)
    digests = {} if known is None else dict.fromkeys(repositories, known)
    image_id = sha256(image_of(*DIFF_IDS).config)
    image = Image(image_id, references, "amd64", "linux", "", layers, digests)
    return Chosen(image._replace(**more), repositories or ("",))


def looked(*chosen: Chosen) -> Looked:
    with RegistryClient() as client:
        return look_up(client, chosen)


def found(one: Chosen) -> list[tuple[str | None, ...]]:
    result = looked(one)
    assert result.warnings == ()
    (after,) = result.chosen
    return [after.image.digests.get(repository, ()) for repository in after.repositories]


def refused(one: Chosen) -> str:
    result = looked(one)
    assert result.chosen == (one,)
    (said,) = result.warnings
    assert said.isprintable()
    return said


EXPECTED = tuple(sha256(diff_id.encode()) for diff_id in DIFF_IDS)


@pytest.mark.parametrize("media_type", [MANIFEST, DOCKER_MANIFEST])
def test_an_image_is_known_by_its_config(open_registry: OpenRegistry, media_type: str) -> None:
    image = replace(image_of(*DIFF_IDS), media_type=media_type)
    image.put(open_registry, "acme/web:1")
    assert found(an_image(open_registry, "acme/web:1")) == [EXPECTED]
    # Nothing of it is downloaded.
    assert open_registry.requests() == ["GET /v2/acme/web/manifests/1"]


def test_an_image_is_known_by_the_layers_of_another_config(open_registry: OpenRegistry) -> None:
    image_of(*DIFF_IDS, comment="converted").put(open_registry, "acme/web:1")
    assert found(an_image(open_registry, "acme/web:1")) == [EXPECTED]


@pytest.mark.parametrize(
    "diff_ids",
    [DIFF_IDS[:2], (*DIFF_IDS, DIFF_IDS[0]), DIFF_IDS[::-1], (*DIFF_IDS[:2], EXPECTED[0])],
)
def test_another_image_under_the_name_is_refused(
    open_registry: OpenRegistry, diff_ids: tuple[str, ...]
) -> None:
    image_of(*diff_ids).put(open_registry, "acme/web:1")
    address = open_registry.address
    assert refused(an_image(open_registry, "acme/web:1")) == (
        f"image {address}/acme/web:1: what {address}/acme/web has under its name is another image "
        "(rebuilt or retagged since?); its layers' digests are not taken"
    )


def test_what_the_store_knows_stays(open_registry: OpenRegistry) -> None:
    image_of(*DIFF_IDS).put(open_registry, "acme/web:1")
    own = sha256(b"own")
    one = an_image(open_registry, "acme/web:1", known=(None, own, None))
    assert found(one) == [(EXPECTED[0], own, EXPECTED[2])]
    open_registry.seen.clear()
    whole = an_image(open_registry, "acme/web:1", known=EXPECTED)
    assert found(whole) == [EXPECTED]
    nameless = an_image(open_registry)
    assert looked(nameless).chosen == (nameless,)
    assert open_registry.seen == []


def test_each_repository_is_looked_at_and_a_name_by_digest_first(
    open_registry: OpenRegistry,
) -> None:
    pinned = image_of(*DIFF_IDS)
    pinned.put(open_registry, "acme/web")
    image_of(*DIFF_IDS[:1]).put(open_registry, "acme/web:1")
    image_of(*DIFF_IDS).put(open_registry, "mirror/web:2")
    names = ("acme/web:1", f"acme/web@{pinned.digest}", "mirror/web:1", "mirror/web:2")
    assert found(an_image(open_registry, *names)) == [EXPECTED, EXPECTED]
    assert open_registry.requests("acme") == [f"GET /v2/acme/web/manifests/{pinned.digest}"]


@pytest.mark.parametrize("number", [4, 5])
def test_four_names_of_an_image_are_tried(open_registry: OpenRegistry, number: int) -> None:
    image_of(*DIFF_IDS).put(open_registry, f"acme/web:{number}")
    one = an_image(open_registry, *(f"acme/web:{tag}" for tag in range(1, number + 1)))
    if number == 4:
        assert found(one) == [EXPECTED]
    else:
        assert "acme/web:4: not found in the registry (404)" in refused(one)


# Indexes.


@pytest.mark.parametrize("number", [8, 9])
def test_eight_images_of_an_index_are_tried(open_registry: OpenRegistry, number: int) -> None:
    others = [image_of(*DIFF_IDS[::-1], comment=str(one)) for one in range(1, number)]
    images.Index((*others, image_of(*DIFF_IDS))).put(open_registry, "acme/web:1")
    one = an_image(open_registry, "acme/web:1")
    if number == 8:
        assert found(one) == [EXPECTED]
    else:
        assert "is another image" in refused(one)


AMD64 = {"architecture": "amd64", "os": "linux"}


@pytest.mark.parametrize("platform", [AMD64, {**AMD64, "variant": "v1"}, None])
def test_the_platform_of_the_image_is_taken_from_an_index(
    open_registry: OpenRegistry, platform: dict[str, str] | None
) -> None:
    other = replace(image_of(*DIFF_IDS[:1]), architecture="arm64")
    mine = image_of(*DIFF_IDS)
    mine.put(open_registry, "acme/web")
    entry = mine.bare | ({} if platform is None else {"platform": platform})
    index = images.Index((images.attestation(mine), other, entry))
    index.put(open_registry, "acme/web:1")
    assert found(an_image(open_registry, "acme/web:1")) == [EXPECTED]
    assert open_registry.count("GET") == 2


def test_an_index_may_say_another_platform_than_the_config(open_registry: OpenRegistry) -> None:
    mine, other = image_of(*DIFF_IDS), image_of(*DIFF_IDS[:1])
    mine.put(open_registry, "acme/web")
    arm64 = mine.bare | {"platform": {**AMD64, "architecture": "arm64"}}
    images.Index((other, arm64)).put(open_registry, "acme/web:1")
    assert found(an_image(open_registry, "acme/web:1")) == [EXPECTED]


def test_an_index_without_the_image_is_refused(open_registry: OpenRegistry) -> None:
    rebuilt = image_of(*DIFF_IDS[::-1])
    windows = rebuilt.bare | {"platform": {**AMD64, "os": "windows"}}
    images.Index((rebuilt, windows)).put(open_registry, "acme/web:1")
    assert "is another image" in refused(an_image(open_registry, "acme/web:1"))


# Faults.


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (404, "not found in the registry (404)"),
        (500, "the registry answers 500"),
        (403, "the registry answers 403"),
    ],
)
def test_a_registry_that_fails_is_a_warning_with_image_and_cause(
    open_registry: OpenRegistry, status: int, cause: str
) -> None:
    open_registry.fail("GET", "", Status(status), times=99)
    said = refused(an_image(open_registry, "acme/web:1"))
    where = f"{open_registry.address}/acme/web"
    assert said.startswith(
        f"image {where}:1: its layers' digests cannot be looked up in {where}: {where}:1: "
    )
    assert cause in said


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"no",
        encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": 7, "layers": []}),
        encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
    ],
)
def test_a_manifest_that_is_none_is_a_warning(open_registry: OpenRegistry, raw: bytes) -> None:
    open_registry.put_manifest("acme/web", raw, MANIFEST, "1")
    assert "cannot be looked up" in refused(an_image(open_registry, "acme/web:1"))


def test_one_failing_name_does_not_keep_the_other_from_being_tried(
    open_registry: OpenRegistry,
) -> None:
    image_of(*DIFF_IDS).put(open_registry, "acme/web:2")
    assert found(an_image(open_registry, "acme/web:1", "acme/web:2")) == [EXPECTED]


def test_many_images_are_looked_up_at_a_time(open_registry: OpenRegistry) -> None:
    many = []
    for number in range(30):
        image_of(*DIFF_IDS).put(open_registry, f"acme/{number}:1")
        many.append(an_image(open_registry, f"acme/{number}:1"))
    result = looked(*many, an_image(open_registry, "acme/none:1"))
    assert len(result.warnings) == 1
    digests = [one.image.digests for one in result.chosen]
    assert digests[:-1] == [
        {f"{open_registry.address}/acme/{number}": EXPECTED} for number in range(30)
    ]
    assert open_registry.connections <= 8


# The command.


def test_scan_takes_what_the_registry_knows(open_registry: OpenRegistry, tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "store")
    base = store.layer(None, File("base", size=100))
    top = store.layer(base, File("top", size=200))
    web, draft = f"{open_registry.address}/acme/web:1", f"{open_registry.address}/acme/draft:1"
    store.image([base, top], names=[web])
    store.image([base], names=[draft], architecture="arm64")
    image_of(base.diff_id, top.diff_id).put(open_registry, "acme/web:1")
    scan = ("scan", "-d", store.root, "-o", "-", "--arch", "amd64")
    without = run(*scan)
    where = web.removesuffix(":1")
    assert without.lines == [warning(undigested(web, where, base.diff_id, top.diff_id))]
    assert json.loads(without.out)["layers"] == {}

    result = run(*scan, "--resolve-digests")
    assert (result.status, result.lines) == (0, [])
    expected = {sha256(one.diff_id.encode()): size for one, size in ((base, 100), (top, 200))}
    layers = json.loads(result.out)["layers"]
    assert {digest: layer["size"] for digest, layer in layers.items()} == expected

    both = run(*scan[:-2], "--by-arch", "--resolve-digests")
    assert both.status == 0
    # Its layer has a digest in the other image's repository.
    (line,) = both.lines
    where = draft.removesuffix(":1")
    assert line.startswith(
        warning(
            f"image {draft}: its layers' digests cannot be looked up in {where}: "
            f"{draft}: not found in the registry (404)"
        )
    )
    assert json.loads(both.out)["amd64"]["layers"] == layers


def test_scan_refuses_hosts_that_are_none(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "store")
    scan = ("scan", "-d", store.root, "--insecure-registry", "http://x")
    assert run(*scan, "--resolve-digests").lines == [
        error("'http://x' is no registry: expected HOST or HOST:PORT, as image names begin")
    ]
    assert run(*scan).lines[0] == warning(
        "--insecure-registry does nothing without --resolve-digests"
    )
