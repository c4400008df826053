"""containerd's store, read: names, layers and what they cost."""

from __future__ import annotations

import os

import pytest

from layerscan.errors import LayerscanError
from layerscan.reference import parse
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import ContainerdBuilder, measured, varint
from tests.builders.containerd_case import built, opened, read, stack
from tests.builders.documents import sha256
from tests.builders.tree import File, Link

__all__ = ["built"]  # a fixture


# One image.


def test_layers_are_those_of_the_snapshotter(built: ContainerdBuilder) -> None:
    layers = stack(built, "base", "top")
    built.image(["docker.io/library/app:1"], layers)
    (image,) = read(built)
    assert (image.architecture, image.os, image.variant) == ("amd64", "linux", "")
    assert [layer.chain_id for layer in image.layers] == [layer.chain_id for layer in layers]
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in layers]
    assert [layer.parent for layer in image.layers] == [None, layers[0].chain_id]
    assert [layer.folder for layer in image.layers] == [built.layer_path(one) for one in layers]
    assert image.digests == {"docker.io/library/app": tuple(layer.digest for layer in layers)}
    for layer in image.layers:
        assert layer.content == "fs"
        assert (layer.recorded_size, layer.metadata_files) == (None, ())
        assert layer.recorded_inodes == 2


def test_image_id_is_the_digest_of_the_config(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["docker.io/library/app:1"], layers)
    (image,) = read(built)
    with open(built.blob_path(image.image_id), "rb") as config:
        assert sha256(config.read()) == image.image_id


def test_image_without_layers(built: ContainerdBuilder) -> None:
    built.image(["docker.io/library/empty:1"], [])
    (image,) = read(built)
    assert (image.layers, image.digests) == ((), {"docker.io/library/empty": ()})


def test_archives_may_be_discarded(built: ContainerdBuilder) -> None:
    layers = stack(built, "base", "top")
    built.image(["docker.io/library/app:1"], layers, fetched=False)
    (image,) = read(built, exact=True)
    assert image.digests == {"docker.io/library/app": tuple(layer.digest for layer in layers)}
    assert not any("blobs" in path for layer in image.layers for path in layer.exact_paths)


def test_exact_paths_are_what_a_pull_leaves_beside_the_content(built: ContainerdBuilder) -> None:
    layers = stack(built, "base", "top")
    manifest = built.image(["docker.io/library/app:1"], layers)
    (image,) = read(built, exact=True)
    for layer, made in zip(image.layers, layers, strict=True):
        assert layer.exact_paths == (
            layer.folder,
            f"{layer.folder}/work",
            built.blob_path(made.digest),
        )
        assert all(map(os.path.exists, layer.exact_paths))
    assert image.exact_paths == (
        built.blob_path(manifest.digest),
        built.blob_path(image.image_id),
    )


def test_kind_says_what_a_pull_adds(built: ContainerdBuilder) -> None:
    store = opened(built)
    assert store.kind == "containerd"
    assert store.keeps_blobs
    assert store.growth.layer_bytes > 0


# Names.


@pytest.mark.parametrize(
    ("name", "label", "references", "others"),
    [
        ("docker.io/library/app:1", "app:1", ["app:1", "app@{}"], []),
        ("reg.example:5000/a/b:2", "reg.example:5000/a/b:2", None, []),
        ("docker.io/library/app@{}", "app@{}", ["app@{}"], []),
        ("docker.io/library/app:1@{}", "app:1@{}", ["app:1@{}", "app@{}"], []),
        ("import-2024-11-24@{}", "import-2024-11-24@{}", ["import-2024-11-24@{}"], []),
        ("mytest", "mytest", [], ["mytest"]),
        ("docker.io/library/app", "docker.io/library/app", [], ["docker.io/library/app"]),
        ("foo BAR", "foo BAR", [], ["foo BAR"]),
        ("bad\n\x1b[31mname", "bad\\n\\x1b[31mname", [], ["bad\\n\\x1b[31mname"]),
        ("x" * 500, "x" * 400 + "…", [], ["x" * 400 + "…"]),
    ],
)
def test_names(
    built: ContainerdBuilder,
    name: str,
    label: str,
    references: list[str] | None,
    others: list[str],
) -> None:
    layers = stack(built, "base")
    manifest = built.image([], layers)
    built.fetch(layers[0])
    built.unpack(layers[0])
    built.name(name.format(manifest.digest), manifest)
    (image,) = read(built)
    if references is not None:
        expected = [one.format(manifest.digest) for one in references]
        assert image.names == tuple(sorted(parse(one, default_tag=False) for one in expected))
    assert image.other_names == tuple(others)
    assert image.has_name
    result = scan(ContainerdStore(built.root))
    assert [one.label for one in result.chosen] == [label.format(manifest.digest)]
    assert list(result.document().layers) == [layers[0].digest]


def test_name_that_is_no_utf_8(built: ContainerdBuilder) -> None:
    built.name(b"\xff\xfe", built.image([], stack(built, "base"), unpacked=True))
    (image,) = read(built)
    assert image.other_names == ("\\xff\\xfe",)


@pytest.mark.parametrize("form", ["{config}", "moby-dangling@{manifest}"])
def test_image_without_a_name(built: ContainerdBuilder, form: str) -> None:
    layers = stack(built, "base")
    manifest = built.image([], layers)
    config = built.config_of(manifest)
    built.name(form.format(config=config, manifest=manifest.digest), manifest)
    (image,) = read(built)
    assert (image.names, image.other_names, image.has_name) == ((), (), False)
    assert image.image_id == config
    assert image.digests == {"": (layers[0].digest,)}
    store = ContainerdStore(built.root)
    assert scan(store).chosen == ()
    assert len(scan(store, Selection(dangling=True)).chosen) == 1
    assert len(scan(store, Selection((want(config[7:19]),))).chosen) == 1


def test_kubernetes_gives_an_image_three_names(built: ContainerdBuilder) -> None:
    manifest = built.image(["reg.example/app:1"], stack(built, "base"))
    built.name(f"reg.example/app@{manifest.digest}", manifest)
    (before,) = read(built)
    built.name(before.image_id, manifest)
    assert read(built) == [before]


def test_any_text_finds_the_image_that_it_names(built: ContainerdBuilder) -> None:
    built.image(["foo BAR:x", "docker.io/library/app:1"], stack(built, "base"))
    store = opened(built)
    with pytest.raises(LayerscanError):
        want("foo BAR:x")
    assert len(scan(store, Selection((want("app:1"),))).chosen) == 1
    built.image(["mytest"], stack(built, "other"))
    (one,) = scan(opened(built), Selection((want("mytest"),))).chosen
    assert one.label == "mytest"


def test_two_archives_of_one_layer_are_two_digests(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["one.example/app:1"], layers)
    other = built.manifest(layers, digests=[sha256("other")])
    built.name("two.example/app:1", other)
    one, two = sorted(read(built), key=lambda image: image.names)
    assert one.image_id == two.image_id
    assert one.layers == two.layers
    assert one.digests == {"one.example/app": (layers[0].digest,)}
    assert two.digests == {"two.example/app": (sha256("other"),)}
    result = scan(ContainerdStore(built.root))
    assert set(result.document().layers) == {layers[0].digest, sha256("other")}
    assert len(result.costs) == 1
    assert result.sharing == {layers[0].chain_id: 1}
    assert len(scan(ContainerdStore(built.root), Selection((want(one.image_id),))).chosen) == 2


# Costs.


def test_figures_are_those_of_the_walk(built: ContainerdBuilder) -> None:
    (layer,) = stack(built, "base")
    links = built.layer(layer, File("a", size=9000), Link("b", "a"))
    built.image(["docker.io/library/app:1"], [layer, links])
    result = scan(opened(built))
    assert (result.warnings, result.problems) == ((), ())
    figures = result.document().layers
    assert {digest: figure.size for digest, figure in figures.items()} == {
        layer.digest: 5000,
        links.digest: 9000,
    }
    exact = scan(opened(built, exact=True), accounting="exact")
    for chain, cost in exact.costs.items():
        assert cost.usage > result.costs[chain].usage + 4096


# Damage of layers.


def warnings(built: ContainerdBuilder) -> tuple[str, ...]:
    result = scan(opened(built))
    assert result.problems == ()
    return result.warnings


def test_layer_that_lost_a_file(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["docker.io/library/app:1"], layers)
    os.unlink(built.layer_path(layers[0], "fs", "base"))
    (warning,) = warnings(built)
    assert warning == (
        f"layer {layers[0].chain_id}: it has 1 files and folders, the store recorded 2: the "
        "layer was damaged or tampered with"
    )


def test_layer_whose_file_was_changed(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["docker.io/library/app:1"], layers)
    _, before = measured(built.layer_path(layers[0], "fs"))
    with open(built.layer_path(layers[0], "fs", "base"), "wb") as file:
        file.write(bytes(50_000))
    _, after = measured(built.layer_path(layers[0], "fs"))
    (warning,) = warnings(built)
    assert f"its files take {after} bytes of disk, the store recorded {before}: " in warning


def test_file_system_may_change_its_mind_about_a_block(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["docker.io/library/app:1"], layers)
    _, taken = measured(built.layer_path(layers[0], "fs"))
    block = os.statvfs(built.root).f_bsize
    built.snapshot(layers[0])[b"size"] = varint(taken + block)
    assert warnings(built) == ()
    built.snapshot(layers[0])[b"size"] = varint(taken + 2 * block)
    assert len(warnings(built)) == 1


def test_snapshot_without_a_record_of_its_usage(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    built.image(["docker.io/library/app:1"], layers)
    built.snapshot(layers[0]).update({b"size": varint(0), b"inodes": varint(0)})
    assert warnings(built) == ()
