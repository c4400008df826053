"""`scan --resolve-digests` on a real engine's store and the real registry.

The images are built here and pushed by skopeo, so the engine knows no digest of
them. What is expected comes from ``docker image inspect`` and ``skopeo inspect``.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.registry_case import PASSWORD, log_in
from tests.cli_runner import error, run, undigested, warning
from tests.conftest import require_programs
from tests.engines.images import siblings, write_context
from tests.engines.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli_runner import Result
    from tests.engines.docker import Docker
    from tests.engines.images import Image

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.usefixtures("docker_config")]

SECONDS = 60
SKOPEO = ("skopeo", "--insecure-policy")


def call(*argv: str) -> bytes:
    """Run a program to its end; what it printed."""
    done = subprocess.run(argv, check=False, capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass(frozen=True)
class Stage:
    """Images that were built and never pushed by the engine, and a copy of each in the registry."""

    docker: Docker
    registry: Registry
    folder: Path

    def build(self, image: Image, name: str) -> str:
        context = write_context(image, self.folder / f"{image.name}-{name.replace('/', '-')}")
        full = f"{self.registry.address}/{name}"
        self.docker.build(context, full)
        return full

    def copy(self, name: str, *options: str, target: str | None = None) -> None:
        """Put the engine's image `name` into the registry, past the engine."""
        archive = self.folder / "archive.tar"
        self.docker.run("save", "--output", str(archive), name)
        self.skopeo("copy", "--dest-tls-verify=false", *options,
                    f"docker-archive:{archive}", f"docker://{target or name}")  # fmt: skip
        archive.unlink()

    def skopeo(self, *argv: str) -> bytes:
        return call(*SKOPEO, *argv)

    def pushed_layers(self, name: str) -> list[str]:
        raw = self.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
        return [layer["digest"] for layer in json.loads(raw)["layers"]]

    def diff_ids(self, name: str) -> list[str]:
        listed = self.docker.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
        found: list[str] = json.loads(listed)
        return found

    def scan(self, *names: str, resolve: bool = True, whole: bool = True) -> Result:
        """Write the document of the images `names`, the `whole` of it or what there is."""
        images = [word for name in names for word in ("--image", name)]
        options = ["--resolve-digests"] * resolve + ["--allow-partial"] * (not whole)
        result = run("scan", "-d", self.docker.data_root, "-o", "-", *images, *options)
        assert result.status == (0 if whole else 3)
        return result

    def layers(self, *names: str) -> dict[str, Any]:
        result = self.scan(*names)
        assert result.lines == []
        found: dict[str, Any] = json.loads(result.out)["layers"]
        return found


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    require_programs("skopeo")
    assert base_image
    return Stage(docker, registry, tmp_path_factory.mktemp("resolve"))


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_digests_come_from_the_registry_in_either_format(
    stage: Stage, base_image: str, form: str
) -> None:
    (image,) = siblings(f"resolved-{form}", base=base_image)
    name = stage.build(image, f"resolve/{form}:1")
    repository = name.removesuffix(":1")
    without = stage.scan(name, resolve=False, whole=False)
    assert without.lines == [error(undigested(name, repository, *stage.diff_ids(name)))]
    assert json.loads(without.out)["layers"] == {}
    stage.copy(name, "--format", form)
    assert list(stage.layers(name)) == sorted(stage.pushed_layers(name))


def test_figures_are_those_of_the_same_layers_pushed_by_the_engine(
    stage: Stage, base_image: str
) -> None:
    (image,) = siblings("resolved-twice", base=base_image)
    name = stage.build(image, "resolve/twice:1")
    stage.copy(name)
    by_lookup = stage.layers(name)
    by_position = [by_lookup[digest] for digest in stage.pushed_layers(name)]
    other = f"{stage.registry.address}/resolve/pushed:1"
    stage.docker.tag(name, other)
    stage.docker.push(other)
    by_engine = json.loads(stage.scan(other, resolve=False).out)["layers"]
    assert [by_engine[digest] for digest in stage.pushed_layers(other)] == by_position


def test_an_index_gives_the_images_own_platform(
    stage: Stage, base_image: str, docker_config: Path
) -> None:
    require_programs("buildah")
    docker_config.write_text("{}")  # buildah insists on it
    (image,) = siblings("resolved-index", base=base_image)
    name = stage.build(image, "resolve/index:1")
    alone = name.replace(":1", ":amd64")
    stage.copy(name, target=alone)
    folder = stage.folder / "buildah"
    buildah = ("buildah", "--root", f"{folder}/root", "--runroot", f"{folder}/run",
               "--storage-driver", "vfs", "manifest")  # fmt: skip
    for words in (
        ("create", "list"),
        ("add", "--tls-verify=false", "list", f"docker://{alone}"),
        ("push", "--tls-verify=false", "--all", "list", f"docker://{name}"),
    ):
        call(*buildah, *words)
    assert list(stage.layers(name)) == sorted(stage.pushed_layers(alone))


def test_an_image_that_was_rebuilt_since_is_not_taken_for_the_one_here(
    stage: Stage, base_image: str
) -> None:
    old, new = siblings("resolved-old", "resolved-new", base=base_image)
    there = stage.build(new, "resolve/moved:1")
    stage.copy(there)
    name = stage.build(old, "resolve/moved:1")
    repository = name.removesuffix(":1")
    result = stage.scan(name, whole=False)
    assert result.lines == [
        warning(
            f"image {name}: what {repository} has under its name is another image (rebuilt or "
            "retagged since?); its layers' digests are not taken"
        ),
        error(undigested(name, repository, *stage.diff_ids(name))),
    ]
    assert json.loads(result.out)["layers"] == {}


def test_one_image_that_is_nowhere_does_not_keep_the_others_from_being_found(
    stage: Stage, base_image: str
) -> None:
    here, nowhere = siblings("resolved-here", "resolved-nowhere", base=base_image)
    name = stage.build(here, "resolve/here:1")
    stage.copy(name)
    absent = stage.build(nowhere, "resolve/nowhere:1")
    result = stage.scan(name, absent, whole=False)
    assert sorted(json.loads(result.out)["layers"]) == sorted(stage.pushed_layers(name))
    where = absent.removesuffix(":1")
    first, second = result.lines
    assert first.startswith(
        warning(f"image {absent}: its layers' digests cannot be looked up in {where}: {absent}: ")
    )
    assert "not found in the registry (404)" in first
    # What both stand on has its digest in the repository of the one that is there.
    assert second == error(undigested(absent, where, stage.diff_ids(absent)[-1]))


@pytest.fixture(scope="module")
def locked() -> Iterator[Registry]:
    require_programs("docker-registry", "setpriv", "htpasswd")
    with Registry({"me": PASSWORD}) as started:
        yield started


def test_a_registry_with_a_password_is_asked_with_it(
    stage: Stage, base_image: str, locked: Registry, docker_config: Path
) -> None:
    private = Stage(stage.docker, locked, stage.folder)
    (image,) = siblings("resolved-private", base=base_image)
    name = private.build(image, "resolve/private:1")
    private.copy(name, "--dest-creds", f"me:{PASSWORD}")
    refused = private.scan(name, whole=False)
    assert f"there are no credentials for {locked.address}" in refused.lines[0]
    log_in(docker_config, locked.address)
    assert len(private.layers(name)) == len(private.diff_ids(name))
