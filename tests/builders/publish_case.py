"""What the tests of `publish` share: images in a registry, their metadata, and Apps on disk."""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from layerscan import layersmeta
from layerscan.digest import sha256
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from tests.builders import tree
from tests.builders.compose_apps import put
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import made_up
from tests.cli_runner import Result, run


@cache
def tar_of(layer: str) -> bytes:
    """The tar of the layer of that name: some libraries, and a program that links to one."""
    library = f"usr/lib/{layer}"
    files = [
        tree.File(f"{library}/lib{number}.so", made_up(20_000, number) + bytes(10_000 * number))
        for number in range(len(layer))
    ]
    program = tree.Symlink(f"usr/bin/{layer}", f"/{library}/lib0.so")
    return b"".join(tree.tar_stream([*files, program]))


@cache
def blob_of(layer: str) -> bytes:
    """The blob of that layer."""
    return gzip.compress(tar_of(layer), mtime=0)


def digest_of(layer: str) -> str:
    return sha256(blob_of(layer))


def encoded(document: object) -> bytes:
    return json.dumps(document, indent=1).encode()


def plain(descriptor: Descriptor, **more: object) -> dict[str, object]:
    found: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    return found | more


def put_image(
    registry: OpenRegistry, path: str, layers: Iterable[str], *, arch: str, tag: str | None = None
) -> Descriptor:
    """An image of the layers of these names."""
    named = list(layers)
    config = registry.put_blob(
        path,
        encoded(
            {
                "architecture": arch,
                "os": "linux",
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [sha256(tar_of(name)) for name in named],
                },
            }
        ),
        OCI_CONFIG,
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": plain(config),
        "layers": [plain(registry.put_blob(path, blob_of(name))) for name in named],
    }
    return registry.put_manifest(path, encoded(manifest), OCI_MANIFEST, tag)


def put_index(
    registry: OpenRegistry,
    path: str,
    tag: str,
    images: Mapping[str, Iterable[str]],
    more: Iterable[dict[str, object]] = (),
) -> Descriptor:
    """An index of images; the key is the architecture, with a variant after ``/``."""
    entries = []
    for platform, layers in images.items():
        arch, _, variant = platform.partition("/")
        image = put_image(registry, path, layers, arch=arch)
        says = {"architecture": arch, "os": "linux"} | ({"variant": variant} if variant else {})
        entries.append(plain(image, platform=says))
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, *more]}
    return registry.put_manifest(path, encoded(document), OCI_INDEX, tag)


def metadata(**layers: Iterable[str]) -> dict[str, LayersMeta]:
    """What scans would say of layers of these names, by architecture."""
    return {
        arch: LayersMeta(
            4096,
            {digest_of(name): LayerMeta(len(name), 4096 * len(name)) for name in names},
        )
        for arch, names in layers.items()
    }


class Bench:
    """A registry with the images of a shop, and the files that publishing it needs."""

    def __init__(self, registry: OpenRegistry, root: Path) -> None:
        self.registry = registry
        self.root = root
        self.apps = root / "apps"
        put_index(
            registry,
            "acme/web",
            "7",
            {"amd64": ["base", "web"], "arm64": ["armbase", "armweb"]},
            [_attestation(registry, "acme/web")],
        )
        put_index(
            registry,
            "acme/db",
            "2",
            {"arm64": ["armbase", "armdb"], "amd64": ["base", "db"], "riscv64": ["x"]},
        )
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
        return run(
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


def _attestation(registry: OpenRegistry, path: str) -> dict[str, object]:
    found = put_image(registry, path, ["statement"], arch="unknown")
    return plain(found, platform={"architecture": "unknown", "os": "unknown"})


def requests_after(registry: OpenRegistry, call: Callable[[], object]) -> list[str]:
    """The methods and paths of the requests that `call` makes."""
    before = len(registry.seen)
    call()
    return [f"{one.method} {one.path}" for one in registry.seen[before:]]
