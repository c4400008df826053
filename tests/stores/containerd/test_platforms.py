"""containerd's store, read: platforms, namespaces, and what is passed over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import LayerscanError, StoreError
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import ContainerdBuilder, bucket
from tests.builders.containerd_case import built, names, opened, read, stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.containerd import Descriptor

__all__ = ["built"]  # a fixture

NOTHING = b"{}"


# Platforms.


class TwoPlatforms:
    """``app:1`` for amd64 and arm64, both unpacked, on a layer each, with what indexes hold."""

    def __init__(self, built: ContainerdBuilder, *more: Descriptor) -> None:
        self.amd64, self.arm64 = (stack(built, name)[0] for name in ("amd64", "arm64"))
        manifests = []
        for architecture, layer in (("arm64", self.arm64), ("amd64", self.amd64)):
            manifests.append(built.manifest([layer], architecture=architecture))
            built.fetch(layer)
            built.unpack(layer)
        attestation = built.blob(NOTHING, manifests[0].media_type)
        attestation.platform = {"architecture": "unknown", "os": "unknown"}
        self.index = built.index([*manifests, attestation, *more])
        built.name("docker.io/library/app:1", self.index)

    def architectures(self, store: ContainerdStore, selection: Selection | None = None) -> set[str]:
        return set(scan(store, selection).architectures)


def test_all_platforms_are_images_and_one_is_meant(built: ContainerdBuilder) -> None:
    TwoPlatforms(built)
    found = {image.architecture: image for image in read(built)}
    assert found.keys() == {"amd64", "arm64"}
    assert found["amd64"].names == found["arm64"].names
    assert found["amd64"].foreign_names == frozenset()
    assert found["arm64"].foreign_names == frozenset(found["arm64"].names)


def test_scan_takes_the_machines_platform_unless_told_otherwise(built: ContainerdBuilder) -> None:
    two = TwoPlatforms(built)
    store = opened(built)
    app = (want("app:1"),)
    for wanted in (None, app, (want(f"app@{two.index.digest}"),)):
        assert two.architectures(store, Selection(wanted)) == {"amd64"}
        assert two.architectures(store, Selection(wanted, architecture="arm64")) == {"arm64"}
        assert two.architectures(store, Selection(wanted, every_platform=True)) == {
            "amd64",
            "arm64",
        }
    by_arch = scan(store, Selection(every_platform=True)).documents()
    assert {name: set(document.layers) for name, document in by_arch.items()} == {
        "amd64": {two.amd64.digest},
        "arm64": {two.arm64.digest},
    }
    with pytest.raises(
        LayerscanError, match="no image has architecture arm; there are: amd64, arm64"
    ):
        scan(store, Selection(app, architecture="arm"))


def test_only_the_platform_asked_for(built: ContainerdBuilder) -> None:
    two = TwoPlatforms(built)
    (image,) = read(built, platform="linux/arm64")
    assert (image.architecture, image.foreign_names) == ("arm64", frozenset())
    assert image.digests == {"docker.io/library/app": (two.arm64.digest,)}
    store = ContainerdStore(built.root, platform="linux/s390x")
    assert store.images() == []
    assert store.notes == ("left out, not for linux/s390x: app:1",)
    assert store.problems == ()


@pytest.mark.parametrize("platform", ["arm64", "linux/", "a/b/c/d", "linux/arm 64", ""])
def test_platform_that_is_none(built: ContainerdBuilder, platform: str) -> None:
    with pytest.raises(LayerscanError, match="no platform: "):
        opened(built, platform=platform)


def test_what_the_machine_cannot_run_is_all_that_there_is(built: ContainerdBuilder) -> None:
    base, other = stack(built, "base")[0], stack(built, "other")[0]
    manifests = [
        built.manifest([layer], architecture=name)
        for name, layer in (("arm64", base), ("s390x", other))
    ]
    built.unpack(base)
    built.unpack(other)
    built.name("docker.io/library/app:1", built.index(manifests))
    images = read(built)
    assert [image.foreign_names for image in images] == [frozenset(), frozenset()]
    assert scan(ContainerdStore(built.root)).architectures == ["arm64", "s390x"]


def test_name_of_one_platform_means_it(built: ContainerdBuilder) -> None:
    two = TwoPlatforms(built)
    arm = built.manifest([two.arm64], architecture="arm64")
    built.name("docker.io/library/app:1-arm", arm)
    found = {image.architecture: image for image in read(built)}
    foreign = {name.familiar for name in found["arm64"].foreign_names}  # type: ignore[union-attr]
    assert foreign == {"app:1", f"app@{two.index.digest}"}
    assert two.architectures(ContainerdStore(built.root), Selection((want("app:1-arm"),))) == {
        "arm64"
    }
    assert two.architectures(ContainerdStore(built.root)) == {"amd64", "arm64"}


def test_absent_platforms_are_no_fault(built: ContainerdBuilder) -> None:
    base = stack(built, "base")
    manifest = built.image([], base)
    absent = built.manifest(base, architecture="arm64")
    os.unlink(built.blob_path(absent.digest))
    built.name("docker.io/library/app:1", built.index([absent, manifest]))
    assert [image.architecture for image in read(built)] == ["amd64"]


def test_platforms_that_are_fetched_and_not_unpacked(built: ContainerdBuilder) -> None:
    manifest = built.image([], stack(built, "base"))
    packed = built.image([], stack(built, "arm"), unpacked=False, architecture="arm64")
    built.name("docker.io/library/app:1", built.index([packed, manifest]))
    assert [image.architecture for image in read(built)] == ["amd64"]


def test_index_in_an_index(built: ContainerdBuilder) -> None:
    manifest = built.image([], stack(built, "base"))
    built.name("docker.io/library/app:1", built.index([built.index([manifest])]))
    assert names(read(built)) == [["app:1"]]


def test_platform_of_an_index_that_is_no_text(built: ContainerdBuilder) -> None:
    layer = stack(built, "base")[0]
    manifest = built.manifest([layer])
    built.fetch(layer)
    built.unpack(layer)
    manifest.platform = {"architecture": "a\nb", "os": "linux"}
    inner = built.index([manifest])
    built.name("docker.io/library/app:1", built.index([inner]))
    store = opened(built)
    assert store.images() == []
    assert [(one.where, one.what) for one in store.problems] == [
        (built.blob_path(inner.digest), "names a platform that is not text; left out: app:1")
    ]


def test_what_is_no_image_is_passed_over(built: ContainerdBuilder) -> None:
    chart = built.manifest(stack(built, "chart"))
    with open(built.blob_path(chart.digest), "rb") as file:
        document = file.read().replace(b"oci.image.layer", b"cncf.helm.chart.content")
    built.name("reg.example/chart:1", built.blob(document, chart.media_type))
    built.name("reg.example/blob:1", built.blob(b"anything", "text/plain"))
    assert read(built) == []


# What is not unpacked.


def test_image_that_is_not_unpacked_is_noted(built: ContainerdBuilder) -> None:
    built.image(["docker.io/library/here:1"], stack(built, "base"))
    built.image(["docker.io/library/packed:1"], stack(built, "packed"), unpacked=False)
    store = opened(built)
    assert names(store.images()) == [["here:1"]]
    assert store.notes == ("left out, not unpacked: packed:1",)
    assert store.problems == ()
    assert scan(store).warnings == store.notes


def test_image_that_is_asked_for_and_not_unpacked(built: ContainerdBuilder) -> None:
    built.image(["docker.io/library/packed:1"], stack(built, "packed"), unpacked=False)
    why = "image packed:1 is not in the store; left out, not unpacked: packed:1"
    with pytest.raises(LayerscanError, match=why):
        scan(opened(built), Selection((want("packed:1"),)))


def test_image_of_another_snapshotter_is_noted(built: ContainerdBuilder) -> None:
    manifest = built.manifest(stack(built, "base"))
    built.name("docker.io/library/app:1", manifest)
    for digest, record in bucket(built.meta, "v1", "default", "content", "blob").items():
        if digest.decode() != manifest.digest:
            labels = bucket(record, "labels")  # type: ignore[arg-type]
            labels[b"containerd.io/gc.ref.snapshot.stargz"] = b"x"
            # Labels of other kinds, before and behind it in the order of keys.
            for other in (b"a", b"containerd.io/distribution.source.x", b"containerd.io/gc.ref.t"):
                labels[other] = b"library/app"
    store = opened(built)
    assert store.images() == []
    note = "left out, unpacked for snapshotter stargz, and only overlayfs can be read: app:1"
    assert store.notes == (note,)


def test_many_that_are_not_unpacked_are_counted(built: ContainerdBuilder) -> None:
    for number in range(9):
        built.image([f"reg.example/app:{number}"], stack(built, f"{number}"), unpacked=False)
    store = opened(built)
    store.images()
    named = ", ".join(f"reg.example/app:{number}" for number in range(3))
    assert store.notes == (f"left out, not unpacked: {named} and 6 more",)


# Namespaces.


def test_docker_goes_first(built: ContainerdBuilder) -> None:
    for namespace in ("default", "moby", "k8s.io", "a"):
        built.image([f"reg.example/{namespace}:1"], stack(built, namespace), namespace=namespace)
    store = opened(built)
    assert names(store.images()) == [["reg.example/moby:1"]]
    assert store.namespace == "moby"
    (note,) = store.notes
    assert note == (
        f"{built.root}: the images are those of namespace 'moby'; there are others in 'a', "
        "'default', 'k8s.io': choose with --namespace"
    )
    for namespace in ("a", "k8s.io", "default"):
        assert names(read(built, namespace=namespace)) == [[f"reg.example/{namespace}:1"]]


def test_namespace_without_images_is_not_chosen(built: ContainerdBuilder) -> None:
    bucket(built.meta, "v1", "moby", "containers", "x")
    bucket(built.meta, "v1", "default", "images")
    built.image(["reg.example/app:1"], stack(built, "base"), namespace="mine")
    store = opened(built)
    assert names(store.images()) == [["reg.example/app:1"]]
    assert (store.namespace, store.notes) == ("mine", ())


def test_namespace_that_is_not_there(built: ContainerdBuilder) -> None:
    built.image(["reg.example/app:1"], stack(built, "base"))
    store = opened(built, namespace="mobi")
    with pytest.raises(StoreError, match=r"there is no namespace 'mobi'; there are: 'default'$"):
        store.images()


def test_namespaces_share_archives_but_not_snapshots(built: ContainerdBuilder) -> None:
    layers = stack(built, "base")
    for namespace in ("default", "k8s.io"):
        built.image(["reg.example/app:1"], layers, namespace=namespace)
    one, two = (read(built, namespace=name, exact=True)[0] for name in ("default", "k8s.io"))
    assert one.digests == two.digests
    assert one.layers[0].folder != two.layers[0].folder
    assert one.layers[0].exact_paths[-1] == two.layers[0].exact_paths[-1]


def test_empty_store(built: ContainerdBuilder) -> None:
    assert read(built) == []
    note = f"{built.root}: the containerd image store has no images"
    assert ContainerdStore(built.root).empty_note == note
    bucket(built.meta, "v1", "default", "images")
    store = opened(built, namespace="default")
    assert store.images() == []
    assert store.empty_note == f"{note} in namespace 'default'"


# Where it is.


def test_store_in_a_docker_data_root(tmp_path: Path) -> None:
    built = ContainerdBuilder(tmp_path / "docker/containerd/daemon")
    built.image(["docker.io/library/app:1"], stack(built, "base"), namespace="moby")
    built.write()
    store = ContainerdStore(os.fspath(tmp_path / "docker"))
    assert store.root == built.root
    assert names(store.images()) == [["app:1"]]


def test_root_may_be_a_link(built: ContainerdBuilder, tmp_path: Path) -> None:
    built.write()
    (tmp_path / "link").symlink_to(built.root)
    assert ContainerdStore(os.fspath(tmp_path / "link")).root == built.root


def test_folder_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        ContainerdStore(os.fspath(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: no image store here: looked for io.containerd.metadata.v1.bolt in it and "
        "in containerd/daemon"
    )
    with pytest.raises(StoreError, match="there is no such folder"):
        ContainerdStore(os.fspath(tmp_path / "none"))
