"""Real stores of Podman and Buildah against other ways to each figure, and against Docker's.

What is expected here comes from ``podman image inspect``, ``du``, the registry
and a Docker Engine that has the same images.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from layerscan.stores import open_store
from layerscan.stores.containers_storage.store import ContainersStorageStore
from tests.builders.tree import File
from tests.cli_runner import error, run, run_as_nobody, undigested
from tests.conftest import require_programs
from tests.engines import podman as podman_engine
from tests.engines.engine import EngineError
from tests.engines.images import BASE, Image, add, oddities, siblings, tower, write_context
from tests.engines.podman import Podman
from tests.engines.truth import Builder, du
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]


@dataclass(frozen=True)
class Stage:
    """A Podman that has pulled what a Docker Engine has pushed."""

    podman: Podman
    builder: Builder
    names: tuple[str, ...]

    def scan(self, root: str, *arguments: str) -> dict[str, object]:
        """Run ``scan -o``; the document."""
        result = run("scan", "-d", root, "-o", "-", *arguments)
        assert result.status == 0, result.lines
        assert [line for line in result.lines if "error" in line] == []
        found: dict[str, object] = json.loads(result.out)
        return found

    def chosen(self) -> list[str]:
        return [argument for name in self.names for argument in ("--image", name)]


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    require_root()
    require_programs(*podman_engine.PROGRAMS)
    with Podman() as started:
        yield started


@pytest.fixture(scope="module")
def stage(
    docker: Docker,
    registry: Registry,
    base_image: str,
    podman: Podman,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    builder = Builder(docker, registry, tmp_path_factory.mktemp("podman"))
    left, right = siblings("podman-left", "podman-right", base=base_image)
    names = (
        builder.pushed(oddities(base_image), "podman/odd:1"),
        builder.pushed(left, "podman/left:1"),
        builder.pushed(right, "podman/right:1"),
        builder.pushed(tower(12, base=base_image), "podman/tower:1"),
    )
    for name in names:
        # So Docker also knows the digest of layers that it has had before.
        docker.pull(name)
        podman.pull(name)
    os.sync()
    return Stage(podman, builder, names)


def content_only(document: dict[str, object]) -> dict[str, int]:
    """The sizes of the layers, by their digests."""
    layers = document["layers"]
    assert isinstance(layers, dict)
    return {digest: layer["size"] for digest, layer in layers.items()}


def test_document_has_the_digests_and_sizes_of_docker_s(stage: Stage, docker: Docker) -> None:
    ours = content_only(stage.scan(stage.podman.root, *stage.chosen()))
    assert len(ours) > 20
    assert ours == content_only(stage.scan(docker.data_root, *stage.chosen()))


def test_usage_is_what_du_says(stage: Stage) -> None:
    report = json.loads(run("scan", "-d", stage.podman.root, "--format", "json").out)
    assert report["store"] == {"kind": "containers-storage", "root": stage.podman.root}
    found = {layer["diff_id"]: layer["usage"] for layer in report["layers"]}
    root = stage.podman.root
    with open(f"{root}/overlay-layers/layers.json", encoding="utf-8") as file:
        records = json.load(file)
    expected = {}
    for record in records:
        tar_split = os.stat(f"{root}/overlay-layers/{record['id']}.tar-split.gz").st_size
        expected[record["diff-digest"]] = du(f"{root}/overlay/{record['id']}") + tar_split
    assert found == expected


def test_images_are_those_that_podman_lists(stage: Stage) -> None:
    inspected = stage.podman.inspect(*stage.podman.run("images", "--quiet", "--no-trunc").split())
    report = json.loads(run("scan", "-d", stage.podman.root, "--format", "json").out)
    assert {
        one["image_id"]: (sorted(one["names"]), one["architecture"], len(one["layers"]))
        for one in report["images"]
    } == {
        f"sha256:{one['Id']}": (
            sorted([*one["RepoTags"], *one["RepoDigests"]]),
            one["Architecture"],
            len(one["RootFS"]["Layers"]),
        )
        for one in inspected
    }


def test_layers_table_and_stores_name_the_store(stage: Stage) -> None:
    result = run("scan", "-d", stage.podman.root, "--image", stage.names[0])
    *_, totals, _ = result.text.splitlines()
    assert totals.endswith(f"in containers-storage store {stage.podman.root}")


def test_image_by_the_digest_it_was_pulled_by(stage: Stage) -> None:
    (inspected,) = stage.podman.inspect(stage.names[1])
    (pinned,) = inspected["RepoDigests"]
    assert stage.scan(stage.podman.root, "--image", pinned) == stage.scan(
        stage.podman.root, "--image", stage.names[1]
    )


def test_image_of_an_index_for_several_platforms(stage: Stage, tmp_path: Path) -> None:
    name = stage.builder.named("podman/many:1")
    with Podman() as other:
        for number, arch in enumerate(("amd64", "arm64")):
            image = Image(arch, (add(File(arch, size=3000, seed=number)),))
            context = write_context(image, tmp_path / arch)
            other.build(context, f"localhost/{arch}", "--arch", arch)
        other.run("manifest", "create", "many")
        for arch in ("amd64", "arm64"):
            other.run("manifest", "add", "many", f"containers-storage:localhost/{arch}:latest")
        other.run("manifest", "push", "--all", "--tls-verify=false", "many", f"docker://{name}")
        # The list itself is among the images, and is passed over.
        assert len(open_store(root=other.root).images()) == 2
    stage.podman.run("pull", "--quiet", "--tls-verify=false", "--arch", "arm64", name)
    raw = stage.builder.registry.get(
        "podman/many/manifests/1", accept="application/vnd.oci.image.index.v1+json"
    )
    index = json.loads(raw)
    try:
        (inspected,) = stage.podman.inspect(name)
        assert inspected["Architecture"] == "arm64"
        assert len(inspected["RepoDigests"]) == 2
        for digest in inspected["RepoDigests"]:
            assert len(content_only(stage.scan(stage.podman.root, "--image", digest))) == 1
        assert len(index["manifests"]) == 2
    finally:
        stage.podman.rmi(name)


def test_copies_for_other_user_ids_are_not_counted(stage: Stage) -> None:
    mapping = ("--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000")
    with Podman() as other:
        other.pull(stage.names[1])
        before = stage.scan(other.root)
        # What the engine found out of the kernel: without this it needs no copy.
        found = os.path.join(other.run_root, "overlay", "idmapped-lower-dir-")
        if os.path.exists(f"{found}true"):
            os.rename(f"{found}true", f"{found}false")
        other.run("create", "--network", "none", *mapping, stage.names[1], "true")
        with open(f"{other.root}/overlay-images/images.json", encoding="utf-8") as file:
            (record,) = json.load(file)
        assert len(record["mapped-layers"]) == 1
        assert stage.scan(other.root) == before


def test_additional_image_store(stage: Stage, tmp_path: Path) -> None:
    option = ("--storage-opt", f"overlay.imagestore={stage.podman.root}")
    with Podman() as other:
        (image,) = stage.podman.inspect(stage.names[1])
        image_of = f"FROM {stage.names[1]}\nCOPY own /own\n"
        (tmp_path / "own").write_bytes(b"x" * 500)
        (tmp_path / "Dockerfile").write_text(image_of)
        args = ("build", "--quiet", "--isolation", "chroot", "--tag", "localhost/own:1")
        other.buildah(*option, *args, str(tmp_path))
        store = ContainersStorageStore(other.root, additional=[stage.podman.root])
        images = {image.image_id: image for image in store.images()}
        assert list(store.problems) == []
        names = [name.familiar for image in images.values() for name in image.names if name.tag]
        assert {"localhost/own:1", *stage.names} <= set(names)
        own = next(one for one in images.values() if "localhost/own:1" in map(str, one.names))
        homes = [os.path.dirname(os.path.dirname(layer.folder)) for layer in own.layers]
        assert homes == [stage.podman.root] * len(image["RootFS"]["Layers"]) + [other.root]


def test_image_built_by_buildah_has_digests_once_it_was_pulled(
    stage: Stage, tmp_path: Path
) -> None:
    name = stage.builder.named("podman/built:1")
    with Podman() as builder:
        builder.build(write_context(BASE, tmp_path / "base"), "localhost/base:1")
        own = Image("own", (add(File("own", size=7000, seed=9)),), "localhost/base:1")
        builder.build(write_context(own, tmp_path / "own"), name)
        (built,) = builder.inspect(name)
        result = run("scan", "-d", builder.root, "-o", "-", "--allow-partial", "--image", name)
        assert result.status == 3
        assert json.loads(result.out)["layers"] == {}
        repository = name.removesuffix(":1")
        assert result.lines == [error(undigested(name, repository, *built["RootFS"]["Layers"]))]
        builder.push(name)
        builder.pull(name)
        once = stage.scan(builder.root, "--image", name)
    manifest = json.loads(
        stage.builder.registry.get(
            "podman/built/manifests/1", accept="application/vnd.oci.image.manifest.v1+json"
        )
    )
    assert content_only(once).keys() == {layer["digest"] for layer in manifest["layers"]}
    assert 7000 in content_only(once).values()


def test_rootless_store_has_the_same_content(stage: Stage) -> None:
    require_programs(*podman_engine.ROOTLESS_PROGRAMS)
    wanted = stage.names[1:]
    with Podman(rootless=True) as rootless:
        try:
            for name in wanted:
                rootless.pull(name)
        except EngineError as error:
            require(condition=False, reason=f"a user cannot run Podman here: {error}")
        assert os.stat(rootless.root).st_uid != 0
        chosen = [argument for name in wanted for argument in ("--image", name)]
        ours = content_only(stage.scan(rootless.root, *chosen))
        assert ours == content_only(stage.scan(stage.podman.root, *chosen))
        result = run_as_nobody("scan", "-d", rootless.root, "-o", "-", *chosen)
        assert (result.status, result.lines) == (0, [])
        assert content_only(json.loads(result.out)) == ours
        # The same, as the user finds it.
        environment = {"HOME": rootless.home, "_CONTAINERS_ROOTLESS_UID": "65534"}
        (listed,) = [
            one
            for one in json.loads(run("stores", "--format", "json", env=environment).out)["stores"]
            if one["root"] == rootless.root
        ]
        assert (listed["kind"], listed["engine"]) == ("containers-storage", "podman")
        assert listed["images"] == len(wanted)
        with open(f"{rootless.root}/overlay-layers/layers.json", encoding="utf-8") as file:
            tars = sum(record["diff-size"] for record in json.load(file))
        assert listed["recorded"] == {"bytes": tars, "of": "tar"}
