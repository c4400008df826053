"""What the tests of `publish` share: images in a registry, their metadata, and Apps on disk."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from layerscan import layersmeta
from layerscan.layersmeta import LayerMeta, LayersMeta
from tests.builders.compose_apps import put
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File, Symlink, made_up
from tests.cli_runner import Result, run_here


@cache
def layer_of(name: str) -> Layer:
    """The layer of that name: some libraries, and a program that links to one."""
    library = f"usr/lib/{name}"
    files = [
        File(f"{library}/lib{number}.so", made_up(20_000, number) + bytes(10_000 * number))
        for number in range(len(name))
    ]
    return Layer.of(*files, Symlink(f"usr/bin/{name}", f"/{library}/lib0.so"))


def image_of(*layers: str, platform: str = "amd64") -> Image:
    """An image of the layers of these names."""
    return Image.of(*map(layer_of, layers), platform=platform)


def index_of(images: Mapping[str, Iterable[str]]) -> Index:
    """An index of images by platform, of the layers of these names."""
    return Index.of({platform: map(layer_of, names) for platform, names in images.items()})


WEB = image_of("base", "web")
ARM_WEB = image_of("armbase", "armweb", platform="arm64")


def metadata(**layers: Iterable[str]) -> dict[str, LayersMeta]:
    """What scans would say of layers of these names, by architecture."""
    return {
        arch: LayersMeta(
            4096,
            {layer_of(name).digest: LayerMeta(len(name), 4096 * len(name)) for name in names},
        )
        for arch, names in layers.items()
    }


class Bench:
    """A registry with the images of a shop, and the files that publishing it needs."""

    def __init__(self, registry: OpenRegistry, root: Path) -> None:
        self.registry = registry
        self.root = root
        self.apps = root / "apps"
        Index((WEB, ARM_WEB, attestation(WEB))).put(registry, "acme/web:7")
        db = {"arm64": ["armbase", "armdb"], "amd64": ["base", "db"], "riscv64": ["x"]}
        index_of(db).put(registry, "acme/db:2")
        self.write_meta(amd64=["base", "web", "db", "unused"], arm64=["armbase", "armweb", "armdb"])
        self.app("shop", web="acme/web:7", db="acme/db:2")

    def app(self, name: str, more: Mapping[str, str] | None = None, **services: str) -> Path:
        """An App with the images, given without their registry."""
        text = "services:\n" + "".join(
            f"  {service}:\n    image: {self.registry.address}/{image}\n    build: .\n"
            for service, image in services.items()
        )
        put(self.apps / name, {"docker-compose.yml": text, "conf/a": "a"} | dict(more or {}))
        return self.apps / name

    def write_meta(self, **layers: Iterable[str]) -> None:
        (self.root / "meta.json").write_bytes(layersmeta.dumps_by_arch(metadata(**layers)))

    def target(self, name: str = "fleet/shop:1") -> str:
        return f"{self.registry.address}/{name}"

    def publish(self, *arguments: object, app: Iterable[str] = ("shop",), to: str = "") -> Result:
        return run_here(
            "publish",
            *(self.apps / name for name in app),
            *("--target", self.target(to) if to else self.target()),
            *("--layers-meta", self.root / "meta.json"),
            *arguments,
            env={"DOCKER_CONFIG": str(self.root)},
        )

    def document(self, digest: str, path: str = "fleet/shop") -> Any:  # noqa: ANN401 - JSON
        held = self.registry.manifests(path) | self.registry.blobs(path)
        return json.loads(held[digest])


def requests_after(registry: OpenRegistry, call: Callable[[], object]) -> list[str]:
    """The methods and paths of the requests that `call` makes."""
    before = len(registry.seen)
    call()
    return [f"{one.method} {one.path}" for one in registry.seen[before:]]
