"""``publish --predict``: the metadata of an App from the images in the registry."""

import json
from pathlib import Path
from typing import Any

import pytest

from layerscan import layersmeta
from tests.builders import tree
from tests.builders.compose_apps import put
from tests.builders.images import Image, Index, Layer
from tests.builders.predict_case import BASE, TOP
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import Result, error, run_here, warning

base, top = Layer.of(*BASE), Layer.of(*TOP)
arm, db = Layer.of(tree.File("arm", size=100)), Layer.of(tree.File("db", size=70_000))
odd = Layer.of(tree.File("odd", size=1))


class Shop:
    """A registry with the images of a shop, and its App."""

    def __init__(self, registry: OpenRegistry, root: Path) -> None:
        self.registry = registry
        self.root = root
        Index.of({"amd64": [base, top], "arm64": [arm, top]}).put(registry, "acme/web:7")
        Index.of({"amd64": [base, db], "arm64": [arm, db], "riscv64": [odd]}).put(
            registry, "acme/db:2"
        )
        self.app("shop", "acme/web:7", "acme/db:2")

    def app(self, name: str, *images: str) -> None:
        services = "".join(
            f"  s{number}:\n    image: {self.registry.address}/{image}\n"
            for number, image in enumerate(images)
        )
        put(self.root / "apps" / name, {"docker-compose.yml": f"services:\n{services}"})

    def publish(self, *arguments: object) -> Result:
        return run_here(
            *("publish", "--apps-root", self.root / "apps"),
            *("--target", f"{self.registry.address}/fleet/{{app}}:1", "--predict", *arguments),
        )

    def metadata(self, digest: str, app: str = "shop") -> Any:  # noqa: ANN401 - JSON
        manifest = json.loads(self.registry.manifests(f"fleet/{app}")[digest])
        blob = self.registry.blobs(f"fleet/{app}")[manifest["layers"][1]["digest"]]
        layersmeta.loads_by_arch(blob, "metadata")
        return json.loads(blob)

    def reads(self, digest: str) -> int:
        return self.registry.count("GET", f"/blobs/{digest}")


@pytest.fixture
def shop(open_registry: OpenRegistry, tmp_path: Path, docker_config: Path) -> Shop:
    assert not docker_config.exists()
    return Shop(open_registry, tmp_path)


def test_each_document_is_read_once(shop: Shop) -> None:
    assert shop.publish().status == 0
    asked = [one for one in shop.registry.requests("acme") if one.startswith("GET")]
    documents = [one for one in asked if "/manifests/" in one or "/blobs/" in one]
    assert len(documents) == len(set(documents))
    # An index and its manifests each.
    assert sum("/acme/web/manifests/" in one for one in documents) == 3
    assert sum("/acme/db/manifests/" in one for one in documents) == 4


def test_it_is_what_predict_writes(shop: Shop, tmp_path: Path) -> None:
    done = shop.publish()
    assert done.status == 0
    assert [line.partition("App shop is in")[0] for line in done.lines] == ["layerscan: note: "]
    found = shop.metadata(done.text.strip())
    assert {name: set(one["layers"]) for name, one in found.items()} == {
        "amd64": {base.digest, top.digest, db.digest},
        "arm64": {arm.digest, top.digest, db.digest},
    }
    assert all(set(one["inodes"]) == set(one["layers"]) for one in found.values())
    # What is published for no architecture is not read; the rest is, once.
    assert (shop.reads(odd.digest), shop.reads(base.digest), shop.reads(top.digest)) == (0, 1, 1)
    written = run_here("predict", "-a", tmp_path / "apps", "--arch", "amd64,arm64", "-o", "-")
    assert found == json.loads(written.out)


def test_for_another_device(shop: Shop) -> None:
    usual = shop.metadata(shop.publish().text.strip())["amd64"]
    for options in (["--fs", "xfs"], ["--accounting", "exact"], ["-s", "containerd"]):
        found = shop.metadata(shop.publish(*options).text.strip())["amd64"]
        assert found["layers"][base.digest]["usage"] != usual["layers"][base.digest]["usage"]
    small = shop.metadata(shop.publish("--block-size", "1024").text.strip())
    assert small["arm64"]["fs_block_size"] == 1024


def test_only_these_architectures(shop: Shop) -> None:
    assert list(shop.metadata(shop.publish("--arch", "arm64").text.strip())) == ["arm64"]
    assert shop.reads(base.digest) == 0


def test_apps_share_what_is_read_and_what_is_kept(shop: Shop, tmp_path: Path) -> None:
    shop.app("other", "acme/web:7")
    first = shop.publish("--cache", tmp_path / "cache")
    assert (first.status, shop.reads(base.digest)) == (0, 1)
    assert shop.publish("--cache", tmp_path / "cache").out == first.out
    assert shop.reads(base.digest) == 1


def test_one_app_that_fails_keeps_no_other_from_being_published(shop: Shop) -> None:
    Image.of(base, odd).put(shop.registry, "acme/broken:1")
    del shop.registry.blobs("acme/broken")[odd.digest]
    shop.app("broken", "acme/broken:1")
    shop.app("missing", "acme/none:1")
    done = shop.publish()
    assert done.status == 3
    assert done.text.startswith("shop\tsha256:")
    errors = [line for line in done.lines if line.startswith(error(""))]
    where = f"{shop.registry.address}/acme/broken"
    assert errors[0].startswith(error(f"App broken: image {where}:1: {where}@{odd.digest}: "))
    assert errors[1].startswith(error("App missing: "))
    assert len(errors) == 2
    assert not shop.registry.manifests("fleet/broken")
    # Or without metadata, if that is what is wanted.
    done = shop.publish("--allow-missing-meta")
    assert done.text.startswith("broken\tsha256:")
    assert done.lines[0].startswith(warning(f"App broken: cannot be predicted: image {where}:1: "))


def test_options_that_contradict(shop: Shop) -> None:
    both = shop.publish("--layers-meta", "x.json")
    assert (both.status, len(both.lines)) == (2, 1)
    assert "not allowed with" in both.lines[0]
    done = shop.publish("--fs", "xfs", "--block-size", "100")
    assert (done.status, done.out) == (2, b"")
    assert "100" in done.lines[0]
