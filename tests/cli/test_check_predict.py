"""``check --predict``: an App without metadata, or with other metadata than is wanted."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layerscan.errors import DocumentError
from layerscan.fit import predicted
from layerscan.oci import Platform
from tests.builders import tree
from tests.builders.compose_apps import put
from tests.builders.images import Index, Layer
from tests.builders.predict_case import BASE, TOP
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import run_here

base, top = Layer.of(*BASE), Layer.of(*TOP)
arm = Layer.of(tree.File("arm", size=100_000))
ENGINE = {"store": "overlay2", "keeps_blobs": False, "chain_ids": [], "digests": []}


class Published:
    """An App without metadata: in a registry, as a dry run, and as a store of blobs."""

    def __init__(self, registry: OpenRegistry, root: Path) -> None:
        self.registry = registry
        self.root = root
        images = {"amd64": [base, top], "arm/v6": [base], "arm/v7": [arm, top]}
        Index.of(images).put(registry, "acme/web:7")
        text = f"services:\n  web:\n    image: {registry.address}/acme/web:7\n"
        put(root / "apps" / "shop", {"docker-compose.yml": text})
        self.device()

    def publish(self, *options: object) -> str:
        done = run_here(
            *("publish", self.root / "apps" / "shop", *options),
            *("--target", f"{self.registry.address}/fleet/shop:1"),
        )
        assert done.status == 0, done.lines
        return done.text.strip()

    @property
    def in_registry(self) -> str:
        self.publish("--allow-missing-meta")
        return f"{self.registry.address}/fleet/shop:1"

    @property
    def dry_run(self) -> str:
        self.publish("--allow-missing-meta", "--dry-run", "--out-dir", self.root / "out")
        return str(self.root / "out" / "shop")

    @property
    def store(self) -> str:
        digest = self.publish("--allow-missing-meta")
        folder = self.root / "store" / "blobs" / "sha256"
        folder.mkdir(parents=True)
        for path in ("fleet/shop", "acme/web"):
            for content in (self.registry.blobs(path), self.registry.manifests(path)):
                for name, raw in content.items():
                    (folder / name.removeprefix("sha256:")).write_bytes(raw)
        return f"{self.root / 'store'}@{digest}"

    def device(self, block_size: int = 4096, file_system: object = None, **more: object) -> None:
        disk: dict[str, object] = {
            "block_size": block_size,
            "blocks": 1 << 20,
            "free_blocks": 1 << 19,
            "available_blocks": 1 << 19,
        }
        if file_system is not None:
            disk["file_system"] = file_system
        document: dict[str, object] = {
            "architecture": "arm",
            "volumes": {"data": disk},
            "store_root": "data",
            "docker_root": "data",
            "blobs": [],
        }
        (self.root / "device.json").write_text(json.dumps({**document, **more}))

    def check(self, app: str, *options: object) -> dict[str, Any]:
        device = ("--device", self.root / "device.json", "--format", "json")
        done = run_here("check", "--app", app, *device, *options)
        assert done.status == 0, done.lines
        found: dict[str, Any] = json.loads(done.out)
        return found

    def usage(self, *options: object, architecture: str = "arm") -> dict[str, int]:
        """What `predict` says of the layers."""
        source = f"docker://{self.registry.address}/acme/web:7"
        done = run_here("predict", source, "--arch", architecture, *options, "-o", "-")
        layers = json.loads(done.out)["layers"]
        return {digest: layer["usage"] for digest, layer in layers.items()}


@pytest.fixture
def app(open_registry: OpenRegistry, tmp_path: Path, docker_config: Path) -> Published:
    assert not docker_config.exists()
    return Published(open_registry, tmp_path)


def told(report: dict[str, Any]) -> list[str]:
    return [line for line in report["warnings"] if "predicted" in line]


def missing(report: dict[str, Any]) -> dict[str, int]:
    assert {layer["rule"] for layer in report["missing_layers"]} == {"metadata"}
    return {layer["digest"]: layer["usage"] for layer in report["missing_layers"]}


@pytest.mark.parametrize("where", ["in_registry", "dry_run", "store"])
@pytest.mark.parametrize("policy", ["aktualizr-lite", "composectl", "exact"])
def test_an_app_without_metadata(app: Published, where: str, policy: str) -> None:
    name = getattr(app, where)
    before = app.registry.count("GET", f"/blobs/{arm.digest}")
    without = app.check(name, "--policy", policy)
    assert without["apps"][0]["rule"] != "metadata"
    report = app.check(name, "--policy", policy, "--predict")
    assert report["apps"][0]["rule"] == "metadata"
    # Of two variants of the architecture it is the usual one.
    rule = "exact" if policy == "exact" else "docker"
    usage = app.usage("--accounting", rule)
    assert missing(report) == {one.digest: usage[one.digest] for one in (arm, top)}
    (note,) = told(report)
    assert note.endswith(
        ": its layers metadata is predicted, for ext4,block=4096,inode=256 and the store overlay2"
    )
    read = app.registry.count("GET", f"/blobs/{arm.digest}") - before
    assert read == (1 if where == "store" else 2), "one of them is for `usage`"


def test_an_app_of_several_images(app: Published) -> None:
    Index.of({"arm/v7": [arm, base]}).put(app.registry, "acme/db:1")
    web, db = (f"{app.registry.address}/acme/{name}" for name in ("web:7", "db:1"))
    text = f"services:\n  db:\n    image: {db}\n  web:\n    image: {web}\n"
    put(app.root / "apps" / "shop", {"docker-compose.yml": text})
    report = app.check(app.in_registry, "--predict")
    assert missing(report).keys() == {one.digest for one in (arm, top, base)}


def test_images_of_which_none_is_for_the_device() -> None:
    amd64: Any = SimpleNamespace(image=SimpleNamespace(platform=Platform("amd64", "linux")))
    assert predicted._usual([amd64], "amd64", "acme/web") is amd64
    for found in ([], [amd64]):
        with pytest.raises(DocumentError, match=r"^acme/web: has no image for arm$"):
            predicted._usual(found, "arm", "acme/web")


def test_an_app_with_metadata(app: Published) -> None:
    digest = app.publish("--predict", "--block-size", "1024")
    name = f"{app.registry.address}/fleet/shop@{digest}"
    plain = app.check(name)
    assert app.check(name, "--predict") == plain
    always = app.check(name, "--predict", "always")
    assert told(always)
    assert missing(plain)[top.digest] != missing(always)[top.digest] == app.usage()[top.digest]


def test_for_the_device(app: Published) -> None:
    name = app.dry_run
    app.device(block_size=1024)
    report = app.check(name, "--predict")
    assert missing(report)[arm.digest] == app.usage("--block-size", "1024")[arm.digest]
    app.device()
    other = app.check(name, "--predict", "--fs", "xfs", "--store", "containerd")
    usage = app.usage("--fs", "xfs", "--store", "containerd")
    assert missing(other)[arm.digest] == usage[arm.digest]
    assert "for xfs" in told(other)[0]


def test_for_the_file_system_that_the_device_says(app: Published) -> None:
    name = app.dry_run
    app.device(file_system={"kind": "xfs", "inode": 1024})
    report = app.check(name, "--predict")
    usage = app.usage("--fs", "xfs,inode=1024")
    assert missing(report)[arm.digest] == usage[arm.digest]
    assert not [line for line in report["warnings"] if "file system" in line]
    # Metadata for another one is told, whoever judges.
    digest = app.publish("--predict", "--fs", "btrfs")
    published = f"{app.registry.address}/fleet/shop@{digest}"
    for policy in ("aktualizr-lite", "composectl", "aktualizr-lite-skopeo", "exact"):
        report = app.check(published, "--policy", policy)
        (told_of,) = [line for line in report["warnings"] if "btrfs" in line]
        assert "is said for btrfs,block=4096,nodesize=16384,profile=dup, and the" in told_of
        assert told_of.endswith("device.json is on xfs,inode=1024")


def test_what_the_engine_has(app: Published) -> None:
    name = app.dry_run
    app.device(engine={**ENGINE, "store": "containers-storage", "chain_ids": [arm.diff_id]})
    report = app.check(name, "--policy", "exact", "--predict")
    usage = app.usage("--store", "containers-storage", "--accounting", "exact")
    assert missing(report) == {arm.digest: 0, top.digest: usage[top.digest]}
    # An engine that keeps blobs: the policy counts these itself, so usage must not.
    app.device(engine={**ENGINE, "store": "containerd", "keeps_blobs": True})
    report = app.check(name, "--policy", "exact", "--predict")
    usage = app.usage("--store", "containerd", "--accounting", "docker")
    assert missing(report)[top.digest] == usage[top.digest]


def test_another_architecture(app: Published) -> None:
    report = app.check(app.in_registry, "--predict", "--arch", "amd64")
    usage = app.usage(architecture="amd64")
    assert missing(report) == usage


def test_a_cache(app: Published, tmp_path: Path) -> None:
    name = app.in_registry
    for _ in range(2):
        app.check(name, "--predict", "--cache", tmp_path / "cache")
    assert app.registry.count("GET", f"/blobs/{arm.digest}") == 1


# What is wrong.


def refused(*arguments: object) -> str:
    done = run_here("check", *arguments)
    assert (done.status, done.out) == (2, b"")
    (line,) = done.lines
    return line


def test_metadata_alone_has_no_images(tmp_path: Path) -> None:
    line = refused("--layers-meta", tmp_path / "x.json", "--predict")
    assert line.endswith("--predict reads the images of Apps: give them with --app")


def test_a_layer_that_is_not_in_the_store(app: Published, tmp_path: Path) -> None:
    name = app.store
    device = ("--device", tmp_path / "device.json")
    (tmp_path / "store/blobs/sha256" / arm.digest.removeprefix("sha256:")).unlink()
    line = refused("--app", name, *device, "--predict")
    assert f"image {app.registry.address}/acme/web@sha256:" in line
    assert arm.digest.removeprefix("sha256:") in line


def test_blocks_that_the_file_system_cannot_have(app: Published, tmp_path: Path) -> None:
    name = app.dry_run
    app.device(block_size=512)
    line = refused("--app", name, "--device", tmp_path / "device.json", "--predict")
    assert "512" in line
