"""The registry client and `inspect` against the real registry, filled by real tools.

What is expected comes from ``skopeo inspect`` and from the files that were
pushed; nothing of layerscan is asked for it.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.errors import RefusedByRegistryError
from layerscan.reference import parse
from layerscan.registry import RegistryClient, retry
from tests.builders.documents import sha256
from tests.builders.image_archives import write_layout
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.registry_case import PASSWORD, described, fault, log_in, opened, repository
from tests.builders.tree import File
from tests.cli_runner import error, run
from tests.conftest import require_programs
from tests.engines.cutter import Cutter
from tests.engines.registry import Registry
from tests.engines.skopeo import call, raw, skopeo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("docker_config")]


@dataclass
class Shelf:
    """A registry, a folder for layouts, and images that lie in both, by architecture."""

    address: str
    folder: Path
    images: dict[str, Image] = field(default_factory=dict)

    def raw(self, name: str) -> bytes:
        return raw(self.at(name))

    def at(self, name: str) -> str:
        return f"{self.address}/{name}"

    def copy(self, what: Image | Index, name: str, *options: str) -> None:
        """Have skopeo put it into the registry."""
        copy(write_layout(what, "x", self.folder), self.at(name), *options)

    def report(self, name: str, *more: str) -> dict[str, Any]:
        result = run("inspect", self.at(name), "--format", "json", *more)
        assert (result.status, result.lines) == (0, [])
        found: dict[str, Any] = json.loads(result.out)
        return found


def copy(source: str, target: str, *options: str) -> None:
    skopeo("copy", "--dest-tls-verify=false", *options, source, f"docker://{target}")


@pytest.fixture(scope="module")
def shelf(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    require_programs("skopeo", "buildah")
    shelf = Shelf(registry.address, tmp_path_factory.mktemp("shelf"))
    base = Layer.of(File("base", size=300_000, seed=1), File("zeros", bytes(500_000)))
    for platform in ("amd64", "arm64", "arm/v7"):
        architecture = platform.partition("/")[0]
        own = Layer.of(File(f"own/{architecture}", size=50_000, seed=len(architecture)))
        shelf.images[architecture] = Image.of(base, own, platform=platform)
        shelf.copy(shelf.images[architecture], f"acme/one:{architecture}")
    # skopeo packs only what is not packed yet.
    bare = [Layer.of(File(f"bare{n}", bytes(90_000)), packed="") for n in range(2)]
    shelf.copy(Image.of(*bare), "acme/zstd:1", "--dest-compress-format", "zstd")
    shelf.copy(shelf.images["amd64"], "acme/docker:1", "--format", "v2s2")
    images = shelf.images.values()
    shelf.copy(Index((*images, *map(attestation, images))), "acme/index:1", "--all")
    make_list(shelf, tmp_path_factory.mktemp("buildah"))
    return shelf


def make_list(shelf: Shelf, folder: Path) -> None:
    """A Docker manifest list, made and pushed by buildah."""
    buildah = ("buildah", "--root", folder / "root", "--runroot", folder / "run")
    storage = ("--storage-driver", "vfs")
    call(*buildah, *storage, "manifest", "create", "list")
    for architecture in ("amd64", "arm64"):
        source = f"docker://{shelf.at('acme/docker')}:{architecture}"
        shelf.copy(shelf.images[architecture], f"acme/docker:{architecture}", "--format", "v2s2")
        call(*buildah, *storage, "manifest", "add", "--tls-verify=false", "list", source)
    target = f"docker://{shelf.at('acme/list:1')}"
    call(*buildah, *storage, "manifest", "push", "--tls-verify=false", "--all", "--format", "v2s2",
         "list", target)  # fmt: skip


NAMES = ["acme/one:amd64", "acme/zstd:1", "acme/docker:1", "acme/index:1", "acme/list:1"]


@pytest.mark.parametrize("name", NAMES)
def test_raw_is_byte_for_byte_what_skopeo_gets(shelf: Shelf, name: str) -> None:
    result = run("inspect", "--raw", shelf.at(name))
    assert (result.status, result.lines) == (0, [])
    assert result.out == shelf.raw(name)
    pinned = f"{name.partition(':')[0]}@{sha256(result.out)}"
    assert run("inspect", "--raw", shelf.at(pinned)).out == result.out


@pytest.mark.parametrize(
    ("name", "packed"),
    [("acme/one:arm", "gzip"), ("acme/docker:1", "gzip"), ("acme/zstd:1", "zstd")],
)
def test_an_image_is_what_its_manifest_and_config_say(shelf: Shelf, name: str, packed: str) -> None:
    raw = shelf.raw(name)
    manifest = json.loads(raw)
    report = shelf.report(name)
    assert (report["kind"], report["digest"], report["size"]) == ("image", sha256(raw), len(raw))
    assert report["media_type"] == manifest["mediaType"]
    (image,) = report["images"]
    config = json.loads(skopeo("inspect", "--config", "--raw", "--tls-verify=false",
                             f"docker://{shelf.at(name)}"))  # fmt: skip
    assert image["architecture"] == config["architecture"]
    assert image["image_id"] == manifest["config"]["digest"]
    assert [(layer["digest"], layer["archive_size"]) for layer in image["layers"]] == [
        (layer["digest"], layer["size"]) for layer in manifest["layers"]
    ]
    assert image["archive_size"] == sum(layer["size"] for layer in manifest["layers"])
    table = run("inspect", shelf.at(name)).text
    assert table.count(f" {packed} ") == len(manifest["layers"])


def test_each_platform_of_an_index_is_told_and_attestations_apart(shelf: Shelf) -> None:
    report = shelf.report("acme/index:1")
    index = json.loads(shelf.raw("acme/index:1"))
    images = index["manifests"][:3]
    assert [one["platform"] for one in report["images"]] == [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
    ]
    assert [one["digest"] for one in report["images"]] == [one["digest"] for one in images]
    for one, entry in zip(report["images"], images, strict=True):
        manifest = json.loads(shelf.raw(f"acme/index@{entry['digest']}"))
        assert [layer["digest"] for layer in one["layers"]] == [
            layer["digest"] for layer in manifest["layers"]
        ]
    assert report["attestations"] == [
        {"digest": one["digest"], "size": one["size"], "about": image["digest"]}
        for one, image in zip(index["manifests"][3:], images, strict=True)
    ]
    assert report["others"] == []


def test_one_platform_of_an_index_is_chosen(shelf: Shelf) -> None:
    for options in (("--arch", "arm"), ("--platform", "linux/arm"), ("--platform", "linux/arm/v7")):
        report = shelf.report("acme/index:1", *options)
        assert [one["platform"] for one in report["images"]] == ["linux/arm/v7"]
        assert [one["about"] for one in report["attestations"]] == [report["images"][0]["digest"]]
    result = run("inspect", shelf.at("acme/index:1"), "--arch", "riscv64")
    digest = sha256(shelf.raw("acme/index:1"))
    assert (result.status, result.lines) == (
        2,
        [
            error(
                f"{shelf.at('acme/index')}@{digest}: has no architecture riscv64; it has: "
                "linux/amd64, linux/arm/v7, linux/arm64"
            )
        ],
    )


def test_a_manifest_list_of_buildah_is_an_index_too(shelf: Shelf) -> None:
    report = shelf.report("acme/list:1")
    assert report["kind"] == "index"
    assert report["media_type"].endswith("manifest.list.v2+json")
    manifests = json.loads(shelf.raw("acme/list:1"))["manifests"]
    assert [(one["architecture"], one["digest"]) for one in report["images"]] == [
        (one["platform"]["architecture"], one["digest"]) for one in manifests
    ]


def test_layers_come_out_as_they_went_in(shelf: Shelf) -> None:
    manifest = json.loads(shelf.raw("acme/one:arm64"))
    layers = shelf.images["arm64"].layers
    assert [layer["digest"] for layer in manifest["layers"]] == [one.digest for one in layers]
    with repository(shelf.address, "acme/one") as repo:
        for layer in layers:
            with repo.stream(described(layer.blob)) as chunks:
                assert gzip.decompress(b"".join(chunks)) == layer.tar


def test_what_is_pushed_is_what_skopeo_gets(shelf: Shelf, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    image = Image.of(Layer(content, ""))
    with repository(shelf.address, "acme/pushed") as repo:
        for blob in (content, image.config):
            assert repo.push_blob(described(blob), opened(blob))
            assert not repo.push_blob(described(blob), opened(blob))
        repo.push_manifest(image.document, image.media_type, "1")
    assert shelf.raw("acme/pushed:1") == image.document
    skopeo("copy", "--src-tls-verify=false", f"docker://{shelf.at('acme/pushed:1')}",
         f"dir:{tmp_path}/copy")  # fmt: skip
    assert (tmp_path / "copy" / sha256(content)[7:]).read_bytes() == content
    # The same registry gives it to another repository, without an upload.
    with repository(shelf.address, "acme/mounted") as repo:
        pushed = described(content)
        assert not repo.push_blob(pushed, opened(b""), mount_from=("acme/none", "acme/pushed"))
        assert repo.has(pushed)


def test_chunks_are_taken_by_the_real_registry_too(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from http import HTTPStatus

    from layerscan.registry import upload

    content = os.urandom(1_500_000)
    monkeypatch.setattr(upload, "CHUNK", 1 << 19)
    put = upload.Upload._put

    def refused_whole(self: upload.Upload, length: int) -> None:
        if length:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise RefusedByRegistryError("too large", status=status, code="")
        put(self, length)

    monkeypatch.setattr(upload.Upload, "_put", refused_whole)
    with repository(shelf.address, "acme/chunks") as repo:
        assert repo.push_blob(described(content), opened(content))
        assert repo.fetch(described(content), limit=1 << 22) == content


def test_an_upload_over_a_bad_network_arrives(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.2)
    content = os.urandom(20_000_000)
    told: list[int] = []
    blob = described(content)
    with (
        Cutter(shelf.address, after=6_000_000, times=2) as network,
        repository(network.address, "acme/cut") as repo,
    ):
        assert repo.push_blob(blob, opened(content), on_bytes=told.append)
        assert network.cut == 2
        assert repo.fetch(blob, limit=len(content)) == content
    # This registry drops what came before the cut: what was told of is taken back.
    assert sum(told) == len(content)
    assert min(told) < 0


# Passwords.


@pytest.fixture(scope="module")
def locked() -> Iterator[Registry]:
    """A registry that wants a password."""
    require_programs("docker-registry", "setpriv", "htpasswd")
    with Registry({"me": PASSWORD, "other": "another"}) as started:
        yield started


def push_image(locked: Registry, shelf: Shelf) -> str:
    name = f"{locked.address}/acme/locked:1"
    source = f"docker://{shelf.at('acme/one:amd64')}"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false",
         "--dest-creds", f"me:{PASSWORD}", source, f"docker://{name}")  # fmt: skip
    return name


def test_the_password_of_dockers_file_opens_the_registry(
    locked: Registry, shelf: Shelf, docker_config: Path
) -> None:
    name = push_image(locked, shelf)
    log_in(docker_config, locked.address)
    result = run("inspect", "--raw", name)
    assert (result.status, result.out) == (0, shelf.raw("acme/one:amd64"))
    with RegistryClient() as client:
        repo = client.repository(parse(name))
        assert repo.push_blob(described(b"more"), opened(b"more"))
        assert repo.fetch(described(b"more"), limit=10) == b"more"


def test_the_password_of_a_helper_opens_the_registry(
    locked: Registry, shelf: Shelf, docker_config: Path, tmp_path: Path
) -> None:
    name = push_image(locked, shelf)
    helper = tmp_path / "docker-credential-tests"
    answer = json.dumps({"ServerURL": locked.address, "Username": "me", "Secret": PASSWORD})
    helper.write_text(f'#!/bin/sh\n[ "$1 $(cat)" = "get {locked.address}" ] && echo \'{answer}\'\n')
    helper.chmod(0o755)
    docker_config.write_text(json.dumps({"credHelpers": {locked.address: "tests"}}))
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert run("inspect", "--raw", name, env=env).out == shelf.raw("acme/one:amd64")
    without = run("inspect", "--raw", name)
    assert (without.status, without.lines) == (
        2,
        [
            error(
                f"credentials of {locked.address}: Docker's configuration names "
                "docker-credential-tests, which is not on PATH"
            )
        ],
    )


def test_a_wrong_password_is_an_error_that_says_whose_and_from_where(
    locked: Registry, shelf: Shelf, docker_config: Path
) -> None:
    name = push_image(locked, shelf)
    log_in(docker_config, locked.address, password="wr0ng")  # noqa: S106 - the tests' own
    wrong = run("inspect", name)
    assert wrong.status == 2
    (line,) = wrong.lines
    assert line.startswith(error(f"{name}: the registry answers 401 (Unauthorized): UNAUTHORIZED"))
    assert line.endswith(f"; the credentials are those of user me from {docker_config}")
    assert "wr0ng" not in line
    docker_config.unlink()
    (line,) = run("inspect", name).lines
    assert line.endswith(f"; there are no credentials for {locked.address}: 'docker login' stores "
                         "some")  # fmt: skip
    with repository(locked.address, "acme/locked") as repo:
        blob = described(b"x")
        assert "401" in fault(lambda: repo.push_blob(blob, opened(b"x")), RefusedByRegistryError)


def test_a_registry_that_is_not_there_is_one_line(registry: Registry) -> None:
    result = run("inspect", f"{registry.address}/acme/none:1")
    assert (result.status, result.text) == (2, "")
    (line,) = result.lines
    assert line.startswith(
        error(f"{registry.address}/acme/none:1: not found in the registry (404): ")
    )
