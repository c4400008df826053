"""Stores of containers/storage that are sound: every kind of image and layer they may have."""

import os
import subprocess
from pathlib import Path

import pytest

from layerscan.errors import StoreError
from layerscan.layersmeta import LayerMeta
from layerscan.reference import parse
from layerscan.scanning.scanner import scan
from layerscan.stores.containers_storage.records import document_file
from layerscan.stores.containers_storage.store import ContainersStorageStore
from layerscan.stores.model import Image
from tests.builders.containers_storage import BuiltLayer, StoreBuilder, index_of
from tests.builders.containers_storage import document_file as built_document_file
from tests.builders.documents import sha256
from tests.builders.overlay2 import blob_digest
from tests.builders.tree import File, many

OTHER_ID = "ab" * 32


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "storage")


def read(
    built: StoreBuilder, *additional: StoreBuilder, notes: tuple[str, ...] = ()
) -> dict[str, Image]:
    """The images by id; nothing is wrong, and nothing is said but `notes`."""
    store = ContainersStorageStore(
        built.root, additional=[other.root for other in additional], exact=True
    )
    images = store.images()
    assert (tuple(store.problems), tuple(store.vanished)) == ((), ())
    assert tuple(store.notes) == notes
    assert [image.image_id for image in images] == sorted(image.image_id for image in images)
    for image in images:
        assert all(store.still_has(layer) for layer in image.layers)
    return {image.image_id: image for image in images}


def du(folder: str) -> int:
    done = subprocess.run(["du", "-sk", folder], check=True, capture_output=True)
    return int(done.stdout.split()[0]) * 1024


def names(image: Image) -> list[str]:
    return [str(name) for name in image.names]


def test_image_with_all_there_is_to_know_of_it(built: StoreBuilder) -> None:
    base = built.layer(None, *many("usr", 5, size=100))
    top = built.layer(base, File("top", size=5000))
    made = built.image(
        [base, top],
        names=["registry.example/acme/app:1", "docker.io/library/app:latest"],
        architecture="arm",
        variant="v7",
    )
    (image,) = read(built).values()
    assert image.image_id == made.image_id
    assert names(image) == [
        f"docker.io/library/app@{made.manifest}",
        "docker.io/library/app:latest",
        f"registry.example/acme/app@{made.manifest}",
        "registry.example/acme/app:1",
    ]
    assert (image.architecture, image.os, image.variant) == ("arm", "linux", "v7")
    expected = (blob_digest(base.diff_id), blob_digest(top.diff_id))
    assert image.digests == {
        "docker.io/library/app": expected,
        "registry.example/acme/app": expected,
    }
    below, above = image.layers
    assert (below.chain_id, below.diff_id, below.parent) == (base.chain_id, base.diff_id, None)
    assert (above.chain_id, above.diff_id, above.parent) == (
        top.chain_id,
        top.diff_id,
        base.chain_id,
    )
    assert above.folder == built.folder_path(top)
    assert above.content == "diff"
    assert above.metadata_files == (built.tar_split_path(top),)
    assert above.recorded_size is None
    assert above.recorded_tar == top.record["diff-size"]
    for path in (*below.exact_paths, *above.exact_paths, *image.exact_paths):
        assert os.path.lexists(path), path


def test_scan_counts_size_and_usage_as_for_docker(built: StoreBuilder) -> None:
    base = built.layer(None, *many("usr", 5, size=100))
    built.image([base], names=["registry.example/app:1"])
    os.sync()
    result = scan(ContainersStorageStore(built.root))
    tar_split = os.stat(built.tar_split_path(base)).st_size
    assert result.document().layers == {
        blob_digest(base.diff_id): LayerMeta(500, du(built.folder_path(base)) + tar_split)
    }
    assert (result.warnings, result.problems) == ((), ())


def test_image_without_names_or_without_layers(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    dangling = built.image([base], record={"names": None})
    empty = built.image([], names=["registry.example/empty:1"])
    images = read(built)
    assert images[dangling.image_id].names == ()
    assert images[dangling.image_id].digests == {"": (blob_digest(base.diff_id),)}
    assert images[empty.image_id].layers == ()
    assert images[empty.image_id].digests == {"registry.example/empty": ()}


def test_store_without_images(built: StoreBuilder) -> None:
    assert read(built) == {}
    for nothing in (b"", b"null", b"[]"):
        Path(built.images_path()).write_bytes(nothing)
        assert read(built) == {}
        assert not ContainersStorageStore(built.root).has_images()
    built.image([], names=["x.example/x:1"])
    assert ContainersStorageStore(built.root).has_images()


def test_image_that_was_built_here_has_no_digests(built: StoreBuilder) -> None:
    base = built.layer(None, File("base"))
    own = built.layer(base, File("own"), pulled=False)
    digests = [base.diff_id, own.diff_id]
    built.image([base, own], names=["localhost/app:1"], digests=digests)
    (image,) = read(built).values()
    # Of the layer that was pulled, the digest is on record.
    assert image.digests == {"localhost/app": (blob_digest(base.diff_id), None)}


def test_digests_are_those_of_the_image_s_own_manifest(built: StoreBuilder) -> None:
    base = built.layer(None, File("base"))
    recompressed = sha256("recompressed")
    built.image([base], names=["registry.example/app:1"], digests=[recompressed])
    (image,) = read(built).values()
    assert image.digests == {"registry.example/app": (recompressed,)}


def test_repository_whose_manifest_is_known_by_its_digest(built: StoreBuilder) -> None:
    base = built.layer(None, File("base"))
    first = built.image([base], names=[])
    raw = Path(built.document_path(first, "manifest")).read_bytes()
    built.images.clear()
    other = sha256("recompressed")
    whole = built.image(
        [base],
        names=[f"one.example/app@{first.manifest}", "two.example/app:1"],
        digests=[other],
        index=raw,
    )
    (image,) = read(built).values()
    assert image.digests == {
        "one.example/app": (blob_digest(base.diff_id),),
        "two.example/app": (other,),
    }
    assert names(image) == sorted(
        [
            f"one.example/app@{first.manifest}",
            f"one.example/app@{whole.manifest}",
            f"two.example/app@{first.manifest}",
            f"two.example/app@{whole.manifest}",
            "two.example/app:1",
        ],
        key=lambda text: parse(text, default_tag=False),
    )


def test_images_pulled_by_the_digest_of_an_index(
    built: StoreBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    uname = os.uname()
    machine = os.uname_result((*uname[:4], "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: machine)
    index = index_of(sha256("one"), sha256("other"))
    built.image([], names=["x.example/app:amd"], index=index, config={"created": "1"})
    built.image(
        [], names=["x.example/app:arm"], index=index, architecture="arm64", config={"created": "2"}
    )
    name = parse(f"x.example/app@{sha256(index)}", default_tag=False)
    owners = [image.architecture for image in read(built).values() if name in image.names]
    assert owners == ["arm64"]


def test_list_of_images_is_passed_over(built: StoreBuilder) -> None:
    index = index_of(sha256("one"))
    built.raw_image(OTHER_ID, {"manifest": index}, record={"names": ["localhost/list:1"]})
    assert read(built) == {}


def test_volatile_layers(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"), volatile=True)
    built.image([base], names=["x.example/x:1"])
    assert not os.path.getsize(built.layers_path()) > len("[]")
    assert len(read(built)) == 1


def test_incomplete_layer_that_no_image_needs_is_noted(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    built.image([base], names=["x.example/x:1"])
    half = built.layer(base, File("half"), record={"flags": {"incomplete": True}})
    note = (
        f"{built.root}: a layer left out, being pulled or removed, or left over from a pull "
        f"that was interrupted: {half.layer_id[:12]}"
    )
    assert len(read(built, notes=(note,))) == 1
    more = built.layer(base, File("more"), record={"flags": {"incomplete": True}})
    ids = ", ".join(sorted(layer.layer_id[:12] for layer in (half, more)))
    both = note.replace("a layer", "2 layers").replace(half.layer_id[:12], ids)
    assert len(read(built, notes=(both,))) == 1


def test_flags_that_are_not_known_mean_nothing(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"), record={"flags": {"incomplete": False, "later": [1]}})
    built.image([base], names=["x.example/x:1"])
    assert len(read(built)) == 1


def test_containers_are_not_read(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    pinned = f"registry.k8s.io/pause@{sha256('pause')}"
    built.image([base], names=[pinned], record={"flags": None, "names-history": ["x:1"]})
    # What CRI-O and Podman keep of a container: a layer that is no image's.
    unknown = {"compressed-diff-digest": "", "diff-digest": "", "names": ["k8s_POD"]}
    for number, volatile in enumerate((False, True)):
        layer_id = f"{number:064x}"
        built.layer(base, File("w"), layer_id=layer_id, volatile=volatile, record=unknown)
    (image,) = read(built).values()
    assert pinned in names(image)
    assert [layer.folder for layer in image.layers] == [built.folder_path(base)]


def mapped(built: StoreBuilder, layer: BuiltLayer, layer_id: str = OTHER_ID) -> BuiltLayer:
    """A copy of `layer` for other user ids."""
    ids = [{"container_id": 0, "host_id": 1000, "size": 1}]
    return built.layer(layer.parent, *layer.ops, layer_id=layer_id, record={"uidmap": ids})


def test_mapped_layers_are_not_counted_beside_what_they_copy(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    copy = mapped(built, base)
    built.image([base], names=["x.example/x:1"], record={"mapped-layers": [copy.layer_id]})
    (image,) = read(built).values()
    assert [layer.folder for layer in image.layers] == [built.folder_path(base)]


def test_mapped_layer_stands_for_a_top_layer_that_is_gone(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    top = built.layer(base, File("y"))
    copy = mapped(built, top)
    built.image([base, top], names=["x.example/x:1"], record={"mapped-layers": [copy.layer_id]})
    built.layers.remove(top)
    built.write_layers()
    (image,) = read(built).values()
    assert [layer.folder for layer in image.layers] == [
        built.folder_path(base),
        built.folder_path(copy),
    ]
    assert image.layers[1].chain_id == top.chain_id


def test_same_content_twice_is_one_layer_and_noted(built: StoreBuilder) -> None:
    base = built.layer(None, File("x"))
    twin = built.layer(None, File("x"), layer_id=OTHER_ID)
    assert twin.chain_id == base.chain_id
    top = built.layer(twin, File("y"))
    built.image([base], names=["x.example/one:1"])
    built.image([twin, top], names=["x.example/two:1"])
    first, second = sorted(layer.layer_id for layer in (base, twin))
    note = f"layer {base.chain_id}: the store has it 2 times, it counts once: "
    images = read(built, notes=(f"{note}{first[:12]}, {second[:12]}",))
    folders = {layer.folder for image in images.values() for layer in image.layers}
    assert folders == {built.path("overlay", first), built.folder_path(top)}


def test_layer_that_was_put_together_from_parts(built: StoreBuilder) -> None:
    unknown = {"diff-digest": "", "diff-size": -1, "toc-digest": sha256("toc")}
    flags = {"expected-layer-diffid": sha256("x")}
    parts = built.layer(None, File("x"), layer_id=OTHER_ID, record={**unknown, "flags": flags})
    os.unlink(built.tar_split_path(parts))
    # Its image's id is not the digest of the config then.
    built.image([parts], names=["x.example/x:1"], record_id="cd" * 32)
    (image,) = read(built).values()
    (layer,) = image.layers
    assert (layer.diff_id, layer.metadata_files, layer.recorded_tar) == (parts.diff_id, (), None)


def test_additional_store_gives_images_and_layers(built: StoreBuilder, tmp_path: Path) -> None:
    shared = StoreBuilder(tmp_path / "shared", seed=1)
    base = shared.layer(None, File("x"))
    shared.image([base], names=["x.example/shared:1", "x.example/both:1"])
    top = built.layer(base, File("y"))
    built.image([base, top], names=["x.example/both:1"])
    images = read(built, shared)
    found = {
        tuple(names(image))[-1]: [one.folder for one in image.layers] for image in images.values()
    }
    assert found == {
        "x.example/shared:1": [shared.folder_path(base)],
        "x.example/both:1": [shared.folder_path(base), built.folder_path(top)],
    }


def test_image_in_two_stores_is_one(built: StoreBuilder, tmp_path: Path) -> None:
    shared = StoreBuilder(tmp_path / "shared", seed=1)
    for store, name in ((built, "x.example/here:1"), (shared, "x.example/there:1")):
        base = store.layer(None, File("x"))
        store.image([base], names=[name])
    (image,) = read(built, shared).values()
    assert [name for name in names(image) if "@" not in name] == [
        "x.example/here:1",
        "x.example/there:1",
    ]
    assert [layer.folder for layer in image.layers] == [built.folder_path(base)]


def test_store_behind_a_symbolic_link(built: StoreBuilder, tmp_path: Path) -> None:
    built.image([], names=["x.example/x:1"])
    (tmp_path / "link").symlink_to(built.root)
    assert ContainersStorageStore(str(tmp_path / "link")).root == built.root


@pytest.mark.parametrize("name", ["manifest", "a.b0", "", "A", "manifest-sha256:00", "é", "a_b"])
def test_names_of_document_files(name: str) -> None:
    assert document_file(name or "x") == built_document_file(name or "x")


def test_what_is_no_store(tmp_path: Path) -> None:
    for folders, what in (
        ((), "no image store here: looked for overlay-images in it"),
        (
            ("vfs-images", "btrfs-images"),
            "its images are of the storage driver btrfs, vfs; only overlay can be read",
        ),
    ):
        for folder in folders:
            (tmp_path / folder).mkdir()
        with pytest.raises(StoreError) as error:
            ContainersStorageStore(str(tmp_path))
        assert str(error.value) == f"{tmp_path}: {what}"
    (tmp_path / "overlay-layers").mkdir()
    assert ContainersStorageStore(str(tmp_path)).empty_note == (
        f"{tmp_path}: the containers-storage image store has no images; it has images of the "
        "storage driver btrfs, vfs, which cannot be read"
    )
