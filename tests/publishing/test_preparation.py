"""An App before it is published: what a dry run writes, and what is told of its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerscan import layersmeta
from layerscan.digest import sha256
from layerscan.layersmeta import LayerMeta, LayersMeta
from tests.builders.publish_case import Bench, index_of, layer_of
from tests.cli_runner import error, warning

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    return Bench(open_registry, tmp_path)


def dry_run(bench: Bench, *arguments: object) -> set[str]:
    """The names of the files that a dry run leaves."""
    result = bench.publish("--dry-run", "--out-dir", bench.root / "out", *arguments)
    assert result.status == 0, result.lines
    return {path.name for path in (bench.root / "out" / "shop").iterdir()}


def test_a_dry_run_replaces_what_an_earlier_one_wrote(bench: Bench) -> None:
    usual = {"bundle_index.json", "docker-compose.yml", "manifest.json", "shop.tgz"}
    manifests = {"layers-manifest-amd64.json", "layers-manifest-arm64.json"}
    assert dry_run(bench) == usual | manifests | {"layers_meta.json"}
    (bench.root / "out/shop/layers-manifest-x.txt").touch()
    bench.write_meta(riscv64=["x"])
    left = dry_run(bench, "--layers-manifests", "never", "--allow-missing-meta")
    assert left == usual | {"layers-manifest-x.txt"}


def test_many_variables_that_are_not_set_are_told_in_short(bench: Bench) -> None:
    names = [f"V{number:02}" for number in range(50)]
    bench.app("shop", web="acme/web:7" + "".join(f"${{{name}}}" for name in names))
    first, *_ = bench.publish().lines
    told = ", ".join(names)[:200]
    assert first == warning(
        f"App shop: service web: the image's name uses variables that are not set: {told}"
    )


def test_the_first_architecture_that_lacks_something_is_named(bench: Bench) -> None:
    bench.write_meta(riscv64=["x"], armv=["y"])
    result = bench.publish("--allow-missing-meta")
    assert result.status == 0
    assert result.lines[0] == warning(
        "App shop: published without layers metadata: the layers metadata has no architecture "
        "amd64 (it has armv, riscv64): scan its build machine and merge, or choose architectures "
        "with --arch"
    )


def test_a_variant_that_was_scanned_only_in_part_does_not_count(bench: Bench) -> None:
    variants = {"arm/v6": ["base", "six"], "arm/v7": ["base", "seven"]}
    index_of(variants).put(bench.registry, "acme/v:1")
    bench.app("shop", v="acme/v:1")
    bench.write_meta(arm=["base", "seven"])
    app = bench.document(bench.publish().text.strip())
    (published,) = bench.document(app["layers"][1]["digest"]).values()
    assert set(published["layers"]) == {layer_of(name).digest for name in ("base", "seven")}


def test_the_size_of_an_archive_is_that_of_the_registry(bench: Bench) -> None:
    figures = LayerMeta(1, 2, 3)
    layers = {layer_of(name).digest: figures for name in ("base", "web", "db")}
    meta = LayersMeta(512, layers, "ext4")
    (bench.root / "meta.json").write_bytes(layersmeta.dumps_by_arch({"amd64": meta}))
    app = bench.document(bench.publish("--arch", "amd64").text.strip())
    raw = bench.registry.blobs("fleet/shop")[app["layers"][1]["digest"]]
    assert sha256(raw) == app["layers"][1]["digest"]
    found = layersmeta.loads_by_arch(raw, "metadata")["amd64"]
    assert (found.fs_block_size, found.file_system) == (512, "ext4")
    assert found.layers == {
        layer_of(name).digest: LayerMeta(1, 2, len(layer_of(name).blob))
        for name in ("base", "web", "db")
    }


def test_several_architectures_that_are_not_there_are_named_with_one_service(bench: Bench) -> None:
    result = bench.publish("--arch", "amd64,riscv64,ppc64le")
    assert result.lines[0] == warning(
        "App shop: not published for ppc64le, riscv64: service db has no image for it"
    )


def test_a_tag_is_wanted_where_another_image_is_pinned(bench: Bench) -> None:
    bench.app("shop", web="acme/web")
    other = f"{bench.registry.address}/acme/other"
    (line,) = bench.publish("--pinned-image", f"{other}@{sha256(b'x')}").lines
    assert line.startswith(error("App shop: "))
    assert "/acme/web has neither tag nor digest; give one there, or --pinned-image" in line
