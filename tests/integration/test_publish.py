"""`publish` on the real registry, which refuses layers manifests; read back by other programs.

What is expected comes from ``skopeo``, ``tar``, ``hashlib`` and the files that
were pushed; nothing of layerscan is asked for it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.builders.documents import INDEX, descriptor, index, sha256
from tests.builders.image_archives import write_layout
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.tree import File
from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines import images as built
from tests.engines.skopeo import SECONDS, SKOPEO, call, raw, skopeo
from tests.engines.truth import Builder, du

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cli_runner import Result
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = pytest.mark.engine

EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@dataclass
class Fleet:
    """Images of two architectures in a registry, their layers' metadata, and an App."""

    registry: Registry
    root: Path
    layers: dict[str, dict[str, int]] = field(default_factory=dict)

    def at(self, name: str) -> str:
        return f"{self.registry.address}/{name}"

    def blob(self, path: str, descriptor: Mapping[str, Any]) -> bytes:
        """A blob, whose digest and size are checked."""
        content = self.registry.get(f"{path}/blobs/{descriptor['digest']}")
        assert (sha256(content), len(content)) == (descriptor["digest"], descriptor["size"])
        return content

    def publish(self, app: Path, target: str, *arguments: object) -> Result:
        meta = self.root / "meta.json"
        result = run("publish", app, "--target", self.at(target), "--layers-meta", meta, *arguments)
        assert result.status == 0, result.lines
        return result


@pytest.fixture(scope="module")
def fleet(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    require_programs("skopeo", "tar")
    root = tmp_path_factory.mktemp("publish")
    fleet = Fleet(registry, root)
    copy = ("copy", "--dest-tls-verify=false", "--all")
    base = Layer.of(File("base", size=100_000, seed=1))
    images = [
        Image.of(base, Layer.of(File("own", size=5000, seed=len(name))), platform=name)
        for name in ("amd64", "arm64")
    ]
    web = write_layout(Index((*images, *map(attestation, images))), "web", root / "layout")
    skopeo(*copy, web, f"docker://{fleet.at('shop/web:1')}")
    bare = {
        name: [Layer.of(File("bare", size=9000, seed=len(name)), packed="")]
        for name in ("arm64", "amd64", "riscv64")
    }
    db = write_layout(Index.of(bare), "db", root / "layout")
    zstd = ("--dest-compress-format", "zstd")
    skopeo(*copy, *zstd, db, f"docker://{fleet.at('shop/db:1')}")
    documents: dict[str, Any] = {}
    for name in ("web", "db"):
        for entry in json.loads(raw(fleet.at(f"shop/{name}:1")))["manifests"]:
            manifest = json.loads(raw(fleet.at(f"shop/{name}@{entry['digest']}")))
            sizes = {layer["digest"]: layer["size"] for layer in manifest["layers"]}
            architecture = entry["platform"]["architecture"]
            if architecture == "unknown":
                continue
            document = documents.setdefault(architecture, {"fs_block_size": 4096, "layers": {}})
            for digest, size in sizes.items():
                document["layers"][digest] = {"size": size * 2, "usage": size * 3}
                fleet.layers.setdefault(architecture, {})[digest] = size
    (root / "meta.json").write_text(json.dumps(documents))
    return fleet


def compose_text(fleet: Fleet, order: list[str]) -> str:
    """The same App, whatever the order of its services."""
    services = {
        "web": f"  web:\n    image: {fleet.at('shop/web:1')}\n    build: .\n    ports: [22:22]\n"
        "    environment: *env\n",
        "db": f"  db: {{image: '{fleet.at('shop/db')}:${{DB_TAG:-1}}', volumes: [data:/data]}}\n",
    }
    text = "".join(services[name] for name in order)
    return f"x-env: &env {{TZ: UTC}}\nservices:\n{text}volumes: {{data: }}\n"


@pytest.fixture(scope="module")
def app(fleet: Fleet) -> Path:
    folder = fleet.root / "apps" / "shop"
    folder.mkdir(parents=True)
    (folder / "docker-compose.yml").write_text(compose_text(fleet, ["web", "db"]))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "current").symlink_to("run.sh")
    return folder


@pytest.fixture(scope="module")
def published(fleet: Fleet, app: Path) -> str:
    """Digest of the App."""
    result = fleet.publish(app, "fleet/shop:1")
    assert (
        f"{fleet.registry.address} takes no layers manifests: published without" in result.lines[0]
    )
    return result.text.strip()


def test_an_app_is_byte_for_byte_what_skopeo_gets(fleet: Fleet, published: str) -> None:
    content = raw(fleet.at("fleet/shop:1"))
    assert sha256(content) == published
    assert raw(fleet.at(f"fleet/shop@{published}")) == content
    assert run("inspect", "--raw", fleet.at("fleet/shop:1")).out == content
    app = json.loads(content)
    bundle, metadata = app["layers"]
    of_index = bundle["annotations"]["org.foundries.app.bundle.index.digest"]
    listed = fleet.registry.get(f"fleet/shop/blobs/{of_index}")
    with tarfile.open(fileobj=io.BytesIO(fleet.blob("fleet/shop", bundle))) as tar:
        files = {one.name: tar.extractfile(one) for one in tar if one.isfile()}
        hashes = {name: sha256(file.read()) for name, file in files.items() if file}
    assert json.loads(listed) == hashes
    assert app == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.fio+compose-app",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": EMPTY,
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "application/octet-stream",
                **_named(bundle),
                "annotations": {
                    "org.foundries.app.bundle.index.digest": sha256(listed),
                    "org.foundries.app.bundle.index.size": str(len(listed)),
                },
            },
            {
                "mediaType": "application/json",
                **_named(metadata),
                "annotations": {"layers-meta": "v1"},
            },
        ],
        "annotations": {"compose-app": "v1"},
    }
    for blob in (app["config"], bundle, metadata):
        fleet.blob("fleet/shop", blob)


def _named(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    return {"digest": descriptor["digest"], "size": descriptor["size"]}


def test_its_metadata_has_all_layers_of_its_architectures(fleet: Fleet, published: str) -> None:
    app = json.loads(raw(fleet.at(f"fleet/shop@{published}")))
    metadata = json.loads(fleet.blob("fleet/shop", app["layers"][1]))
    assert metadata == {
        architecture: {
            "fs_block_size": 4096,
            "layers": {
                digest: {"size": size * 2, "usage": size * 3, "archive_size": size}
                for digest, size in fleet.layers[architecture].items()
            },
        }
        for architecture in ("amd64", "arm64")
    }
    for architecture in metadata:
        assert len(metadata[architecture]["layers"]) == 3


def test_its_bundle_is_unpacked_by_tar_and_names_images_by_digest(
    fleet: Fleet, published: str, tmp_path: Path
) -> None:
    app = json.loads(raw(fleet.at(f"fleet/shop@{published}")))
    (tmp_path / "b.tgz").write_bytes(fleet.blob("fleet/shop", app["layers"][0]))
    call("tar", "-xzf", tmp_path / "b.tgz", "-C", tmp_path)
    assert (tmp_path / "run.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(tmp_path / "current") == "run.sh"
    services = yaml.safe_load((tmp_path / "docker-compose.yml").read_text())["services"]
    assert services.keys() == {"web", "db"}
    for name, service in services.items():
        repository, _, digest = service["image"].partition("@")
        assert repository == fleet.at(f"shop/{name}")
        assert sha256(raw(fleet.at(f"shop/{name}:1"))) == digest
        assert "build" not in service
        assert len(service["labels"]["io.compose-spec.config-hash"]) == 64
    assert services["web"]["environment"] == {"TZ": "UTC"}


def test_skopeo_copies_what_it_refers_to(fleet: Fleet, published: str, tmp_path: Path) -> None:
    source = ("--src-tls-verify=false", f"docker://{fleet.at(f'fleet/shop@{published}')}")
    skopeo("copy", *source, f"dir:{tmp_path}/app")
    manifest = (tmp_path / "app" / "manifest.json").read_bytes()
    assert sha256(manifest) == published
    for layer in json.loads(manifest)["layers"]:
        content = (tmp_path / "app" / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert sha256(content) == layer["digest"]


def test_two_copies_of_an_app_have_one_digest_and_are_uploaded_once(
    fleet: Fleet, app: Path, published: str, tmp_path: Path
) -> None:
    other = tmp_path / "shop"
    shutil.copytree(app, other, symlinks=True)
    (other / "docker-compose.yml").write_text("# copy\n" + compose_text(fleet, ["db", "web"]))
    for path in other.iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    result = fleet.publish(other, "fleet/shop:1")
    assert result.text.strip() == published
    assert result.lines[-1].endswith("nothing had to be uploaded")


def test_a_dry_run_has_the_same_documents(
    fleet: Fleet, app: Path, published: str, tmp_path: Path
) -> None:
    never = ("--layers-manifests", "never")
    result = fleet.publish(app, "fleet/dry:1", "--dry-run", "--out-dir", tmp_path, *never)
    assert result.text.strip() == published
    assert sha256((tmp_path / "shop" / "manifest.json").read_bytes()) == published
    done = subprocess.run(
        [*SKOPEO, "inspect", "--raw", "--tls-verify=false", f"docker://{fleet.at('fleet/dry:1')}"],
        check=False,
        capture_output=True,
        timeout=SECONDS,
    )
    assert done.returncode != 0


# From the build to the device's document.


class Chain:
    """Two services, each built for two architectures, pushed, and put into an index."""

    def __init__(self, builder: Builder, base: str) -> None:
        self.builder = builder
        self.names: dict[str, dict[str, str]] = {"amd64": {}, "arm64": {}}
        for image in built.siblings("chain-web", "chain-db", base=base):
            self._add("amd64", image.name, builder.pushed(image, f"chain/{image.name}:amd64"))
            other = builder.foreign("linux/arm64", f"chain/{image.name}:arm64")
            self._add("arm64", image.name, other)
            self._index(image)

    def _add(self, architecture: str, service: str, name: str) -> None:
        self.names[architecture][service] = name

    def _index(self, image: built.Image) -> None:
        entries = []
        for architecture, names in self.names.items():
            content = raw(names[image.name])
            platform = {"architecture": architecture, "os": "linux"}
            media_type = json.loads(content)["mediaType"]
            entries.append(descriptor(content, media_type, platform=platform))
        self.builder.put_manifest(f"chain/{image.name}:7", index(entries), INDEX)

    def scan(self, architecture: str, apps: Path, out: Path) -> dict[str, Any]:
        """As on the machine that built for this architecture: there, the tag is its image."""
        docker = self.builder.docker
        for service, name in self.names[architecture].items():
            docker.tag(name, self.builder.named(f"chain/{service}:7"))
        arguments = ("--apps-root", apps, "--tag", "7", "--arch", architecture, "-o", out)
        registry = ("--factory-registry", self.builder.registry.address)
        result = run("scan", "-d", docker.data_root, *arguments, *registry)
        assert (result.status, result.lines) == (0, [])
        document: dict[str, Any] = json.loads(out.read_text())
        return document

    def figures(self, architecture: str) -> dict[str, dict[str, int]]:
        """By digest: ``du`` of the layer's folder and its record, and the registry's size."""
        found: dict[str, dict[str, int]] = {}
        docker = self.builder.docker
        for name in self.names[architecture].values():
            folders = docker.layer_folders(name)
            for folder, layer in zip(folders, json.loads(raw(name))["layers"], strict=True):
                found[layer["digest"]] = {"folder": du(folder), "archive_size": layer["size"]}
        return found


@pytest.mark.root
def test_the_whole_chain(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    require_programs("skopeo", "du")
    chain = Chain(Builder(docker, registry, tmp_path), base_image)
    apps, address = tmp_path / "apps", registry.address
    (apps / "shop").mkdir(parents=True)
    (apps / "shop" / "docker-compose.yml").write_text(
        f"services:\n  web: {{image: {address}/chain/chain-web, build: .}}\n"
        f"  db: {{image: '{address}/chain/chain-db:main'}}\n"
    )
    scans = {name: chain.scan(name, apps, tmp_path / f"{name}.json") for name in chain.names}
    merged = tmp_path / "merged.json"
    pairs = [f"{name}={tmp_path / name}.json" for name in scans]
    assert run("merge", *pairs, "-o", merged).status == 0
    target = f"{address}/chain/{{app}}:7"
    options = ("--layers-meta", merged, "--tag", "7", "--factory-registry", address)
    digest_file = tmp_path / "digest"
    result = run("publish", "-a", apps, "--target", target, *options, "--digest-file", digest_file)
    assert result.status == 0, result.lines
    report = json.loads(run("inspect", f"{address}/chain/shop:7", "--format", "json").out)
    assert report["digest"] == result.text.strip() == digest_file.read_text().strip()
    assert [one["service"] for one in report["app"]["services"]] == ["db", "web"]
    assert [one["architecture"] for one in report["app"]["architectures"]] == ["amd64", "arm64"]
    for one in report["app"]["architectures"]:
        scan, truth = scans[one["architecture"]], chain.figures(one["architecture"])
        layers = {layer["digest"]: layer for layer in one["layers"]}
        assert layers.keys() == scan["layers"].keys() == truth.keys()
        for digest, layer in layers.items():
            assert (layer["size"], layer["usage"]) == (
                scan["layers"][digest]["size"],
                scan["layers"][digest]["usage"],
            )
            assert layer["archive_size"] == truth[digest]["archive_size"]
            # Beside the folder there is the tar-split file, of no more than some KiB.
            assert 0 <= layer["usage"] - truth[digest]["folder"] < 100_000
        assert one["totals"]["archive_size"] == sum(
            figures["archive_size"] for figures in truth.values()
        )
