"""A scan: its figures, what it walks, and what it does while an engine is at work."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from layerscan import layersmeta
from layerscan.errors import LayerscanError
from layerscan.layersmeta import LayerMeta
from layerscan.scanning import scanner
from layerscan.scanning.result import Scan
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting
from layerscan.walking.walker import Progress, Usage, walk_many
from tests.builders.documents import sha256
from tests.builders.overlay2 import StoreBuilder, blob_digest
from tests.builders.tree import File, Link
from tests.cli_runner import Fleet, expected_usage, undigested

HUB = "docker.io/library"
Walks = list[list[str]]


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> Walks:
    """The folders of every walk, walk by walk."""
    seen: Walks = []
    real = walk_many

    def counting(paths: Sequence[str], **options: object) -> list[Usage]:
        seen.append(list(paths))
        return real(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scanner, "walk_many", counting)
    return seen


def scan_built(built: StoreBuilder, *wanted: str, **selection: object) -> Scan:
    chosen = tuple(map(want, wanted)) or None
    return scan(open_store(root=built.root), Selection(chosen, **selection))  # type: ignore[arg-type]


# Figures.


def test_figures_are_those_of_du_and_of_the_store(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    result = scan_built(fleet.store)
    layers = [fleet.base, fleet.web, fleet.db, fleet.draft]
    assert set(result.costs) == {layer.chain_id for layer in layers}
    for layer in layers:
        cost = result.costs[layer.chain_id]
        assert cost.usage == expected_usage(fleet.store, layer)
        assert cost.size == layer.size > 0
    assert result.fs_block_size == os.statvfs(fleet.store.root).f_bsize
    assert result.document().layers == {
        blob_digest(layer.diff_id): LayerMeta(layer.size, expected_usage(fleet.store, layer))
        for layer in (fleet.base, fleet.web, fleet.db)
    }
    assert result.problems == ()


def test_a_shared_layer_is_walked_once(built: StoreBuilder, walks: Walks) -> None:
    base = built.layer(None, File("base", size=10))
    tops = [built.layer(base, File(f"top{number}")) for number in range(8)]
    for number, top in enumerate(tops):
        built.image([base, top], names=[f"x:{number}", f"y:{number}"])
    result = scan_built(built)
    (walk,) = walks
    assert sorted(walk) == sorted(built.folder_path(layer) for layer in [base, *tops])
    assert result.sharing[base.chain_id] == 8
    assert {result.sharing[top.chain_id] for top in tops} == {1}


def test_only_what_is_chosen_is_walked_but_all_images_share(tmp_path: Path, walks: Walks) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    result = scan_built(fleet.store, "nginx:1.25")
    assert walks == [[fleet.store.folder_path(fleet.base), fleet.store.folder_path(fleet.db)]]
    assert [one.label for one in result.chosen] == ["nginx:1.25"]
    assert result.sharing[fleet.base.chain_id] == 3


def test_step_of_a_build_shares_only_where_it_is_asked_for(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    # It goes when the image that was built on it goes.
    step = fleet.store.image([fleet.base])
    result = scan_built(fleet.store)
    assert step not in {one.image.image_id for one in result.chosen}
    assert result.sharing[fleet.base.chain_id] == 3
    assert scan_built(fleet.store, step).sharing[fleet.base.chain_id] == 4
    assert scan_built(fleet.store, dangling=True).sharing[fleet.base.chain_id] == 4


def test_dangling_image_that_keeps_layers_on_the_disk_shares_them(built: StoreBuilder) -> None:
    base = built.layer(None, File("base", size=10))
    old, new = (built.layer(base, File(name)) for name in ("old", "new"))
    built.image([base, new], names=["x:1"])
    # Its name was taken by the image built after it.
    built.image([base, old])
    result = scan_built(built)
    assert [one.label for one in result.chosen] == ["x:1"]
    assert (result.sharing[base.chain_id], result.sharing[new.chain_id]) == (2, 1)
    assert result.sharing[old.chain_id] == 1
    assert result.images_in_store == 2


def test_content_on_another_parent_counts_with_the_larger_usage(built: StoreBuilder) -> None:
    # The same tar, on no parent and on one: only the latter has lower and work.
    below = built.layer(None, File("below"))
    bottom, top = built.layer(None, File("x")), built.layer(below, File("x"))
    assert bottom.diff_id == top.diff_id
    assert bottom.chain_id != top.chain_id
    built.image([bottom], names=["a:1"], pushed={f"{HUB}/a": None})
    built.image([below, top], names=["b:1"], pushed={f"{HUB}/b": None})
    result = scan_built(built)
    small, large = (result.costs[layer.chain_id].usage for layer in (bottom, top))
    assert small < large
    assert result.document().layers[blob_digest(top.diff_id)].usage == large
    alone = scan_built(built, "a:1").document()
    assert alone.layers == {blob_digest(bottom.diff_id): LayerMeta(0, small)}


def test_every_repository_of_an_image_gives_its_digests(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x", size=7))
    here, there = sha256("here"), sha256("there")
    built.image(
        [layer],
        names=["a:1", "b:1", "c:1"],
        pushed={f"{HUB}/a": [here], f"{HUB}/b": [there]},
    )
    meta = LayerMeta(7, expected_usage(built, layer))
    assert scan_built(built).document().layers == {here: meta, there: meta}
    assert scan_built(built, "b:1").document().layers == {there: meta}
    # Asked for by its name in a repository where it is not, it has no digest.
    alone = scan_built(built, "c:1")
    assert alone.document().layers == {}
    assert tuple(map(str, alone.undigested)) == (undigested("a:1", f"{HUB}/c", layer.diff_id),)


def test_image_that_was_never_pushed_is_warned_of(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    result = scan_built(fleet.store, "draft")
    missing = [layer.diff_id for layer in (fleet.base, fleet.web, fleet.draft)]
    assert tuple(map(str, result.undigested)) == (
        undigested("draft:latest", f"{HUB}/draft", *missing),
    )
    assert result.document().layers == {}
    assert set(result.costs) == {layer.chain_id for layer in (fleet.base, fleet.web, fleet.draft)}


def test_layers_that_another_image_gives_a_digest_are_not_warned_of(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    result = scan_built(fleet.store, "draft", "acme/web:7")
    assert tuple(map(str, result.undigested)) == (
        undigested("draft:latest", f"{HUB}/draft", fleet.draft.diff_id),
    )
    pushed = (blob_digest(layer.diff_id) for layer in (fleet.base, fleet.web))
    assert sorted(result.document().layers) == sorted(pushed)
    # Of an image that is not chosen, the document has no layer.
    result = scan_built(fleet.store, "draft", "nginx:1.25")
    missing = (fleet.web.diff_id, fleet.draft.diff_id)
    assert tuple(map(str, result.undigested)) == (
        undigested("draft:latest", f"{HUB}/draft", *missing),
    )


def test_some_layers_without_a_digest_are_named_alone(built: StoreBuilder) -> None:
    first = built.layer(None, File("a"))
    second = built.layer(first, File("b"))
    built.image([first, second], names=["x:1"])
    built.add_v2metadata(first.diff_id, sha256("pushed"), f"{HUB}/x")
    result = scan_built(built)
    assert list(result.document().layers) == [sha256("pushed")]
    assert tuple(map(str, result.undigested)) == (undigested("x:1", f"{HUB}/x", second.diff_id),)


def test_size_that_differs_is_warned_of_and_the_recorded_one_stays(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x", size=100))
    built.image([layer], names=["x:1"], pushed={f"{HUB}/x": None})
    Path(built.folder_path(layer, "diff", "x")).write_bytes(b"tampered")
    result = scan_built(built)
    (warning,) = result.warnings
    assert warning == (
        f"layer {layer.chain_id}: its files hold 8 bytes, the store recorded 100: the layer was "
        "damaged or tampered with, or has paths too long for the engine"
    )
    assert result.document().layers[blob_digest(layer.diff_id)].size == 100
    assert result.problems == ()


def test_store_that_records_no_size_gets_the_walked_one(
    built: StoreBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.image([built.layer(None, File("x", size=100))], names=["x:1"])
    store = open_store(root=built.root)
    (image,) = store.images()
    unsized = tuple(layer._replace(recorded_size=None) for layer in image.layers)
    monkeypatch.setattr(store, "images", lambda: [image._replace(layers=unsized)])
    result = scan(store)
    assert [cost.size for cost in result.costs.values()] == [100]
    assert [text for text in result.warnings if "tampered" in text] == []


def test_images_of_several_architectures_are_told_apart(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    result = scan_built(fleet.store)
    assert result.architectures == ["amd64", "arm64"]
    documents = result.documents()
    by_layer = {name: sorted(document.layers) for name, document in documents.items()}
    assert by_layer == {
        "amd64": sorted(blob_digest(layer.diff_id) for layer in (fleet.base, fleet.web)),
        "arm64": sorted(blob_digest(layer.diff_id) for layer in (fleet.base, fleet.db)),
    }
    assert scan_built(fleet.store, architecture="arm64").document() == documents["arm64"]


@pytest.mark.parametrize("architecture", ["[x]", "AMD64", "layers!"])
def test_architecture_that_can_be_no_key_is_refused(built: StoreBuilder, architecture: str) -> None:
    built.image([built.layer(None)], names=["x:1"], architecture=architecture)
    result = scan_built(built)
    with pytest.raises(LayerscanError) as caught:
        result.documents()
    assert str(caught.value) == (
        f"image x:1: its config gives the architecture {architecture!r}, which is not a valid "
        "name; leave it out with --arch"
    )


def test_image_that_says_no_architecture_is_what_is_asked_for(built: StoreBuilder) -> None:
    built.image([built.layer(None)], names=["x:1"], architecture="")
    with pytest.raises(LayerscanError, match="image x:1: nothing says its architecture; say it"):
        scan_built(built).documents()
    assert [*scan_built(built, architecture="arm64").documents()] == ["arm64"]


def test_image_without_layers_costs_nothing(built: StoreBuilder) -> None:
    built.image([], names=["scratch:1"])
    result = scan_built(built)
    assert (result.costs, result.warnings, result.problems) == ({}, (), ())
    assert [one.label for one in result.chosen] == ["scratch:1"]


# Accounting.


def blocks(paths: Iterable[str]) -> int:
    there = [path for path in paths if os.path.lexists(path)]
    assert there
    return sum(os.lstat(path).st_blocks for path in there) * 512


def test_exact_accounting_counts_what_exists_because_of_layer_and_image(
    built: StoreBuilder,
) -> None:
    layer = built.layer(None, File("x", size=5000))
    image_id = built.image([layer], names=["x:1"], pushed={f"{HUB}/x": None})
    result = scan(open_store(root=built.root, exact=True), accounting="exact")
    assert result.accounting is Accounting.EXACT
    assert result.problems == ()
    cost = result.costs[layer.chain_id]
    files = blocks([built.folder_path(layer, "diff"), built.folder_path(layer, "diff", "x")])
    least = files + blocks(cost.layer.exact_paths)
    assert files < least <= cost.usage < least + 64 * 1024
    (one,) = result.chosen
    assert result.image_usage[image_id] >= blocks(one.image.exact_paths) > 0
    assert cost.usage > scan_built(built).costs[layer.chain_id].usage
    digest = blob_digest(layer.diff_id)
    assert result.document().layers == {digest: LayerMeta(5000, cost.usage)}
    # The folder and the file, and one for each path beside.
    assert result.document().inodes == {digest: 2 + len(cost.layer.exact_paths)}
    assert result.documents()["amd64"] == result.document()


def test_exact_accounting_counts_all_blocks_of_an_image_s_files(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x", size=5000))
    labels = {"Labels": {"large": "y" * 100_000}}
    image_id = built.image([layer], names=["x:1"], extra={"config": labels})
    result = scan(open_store(root=built.root, exact=True), accounting="exact")
    assert result.image_usage[image_id] >= blocks(result.chosen[0].image.exact_paths) > 100_000


def test_layer_that_stands_on_another_makes_a_file_there(built: StoreBuilder) -> None:
    base = built.layer(None, File("x", size=1), Link("y", "x"))
    top = built.layer(base, File("x", size=1))
    built.image([base, top], names=["x:1"], pushed={f"{HUB}/x": None})
    costs = scan(open_store(root=built.root, exact=True), accounting="exact").costs
    bottom = costs[base.chain_id]
    assert bottom.inodes == 2 + len(bottom.layer.exact_paths)
    # `committed`, in the folder of the layer beneath.
    upper = costs[top.chain_id]
    assert upper.inodes == 2 + len(upper.layer.exact_paths) + 1


def test_document_of_the_docker_rule_is_as_ever(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x", size=1))
    built.image([layer], names=["x:1"], pushed={f"{HUB}/x": None})
    result = scan_built(built)
    assert result.costs[layer.chain_id].inodes is None
    assert json.loads(layersmeta.dumps(result.document())).keys() == {"fs_block_size", "layers"}


def test_docker_accounting_of_an_image_is_only_its_layers(tmp_path: Path) -> None:
    result = scan_built(Fleet.build(tmp_path / "docker").store)
    assert set(result.image_usage.values()) == {0}


@pytest.mark.parametrize("accounting", ["", "du", "Docker"])
def test_unknown_accounting(built: StoreBuilder, accounting: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Accounting"):
        scan(open_store(root=built.root), accounting=accounting)


# Progress.


def test_progress_ends_with_all_layers_done(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path / "docker")
    told: list[tuple[Progress, int]] = []
    scan(open_store(root=fleet.store.root), on_progress=lambda *facts: told.append(facts))
    progress, layers = told[-1]
    assert (progress.trees_done, layers) == (4, 4)
    # The folders of four layers, diff, work, link, lower and their files.
    assert progress.entries > 40


def test_number_of_threads_is_that_of_the_caller(
    built: StoreBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def spying(paths: Sequence[str], **options: object) -> list[Usage]:
        assert not paths
        given.append(options["threads"])
        return []

    monkeypatch.setattr(scanner, "walk_many", spying)
    scan(open_store(root=built.root), threads=7)
    scan(open_store(root=built.root))
    assert given == [7, None]
