"""What the tests of predictions share: layers of declared trees, and images of them."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from layerscan.digest import sha256
from layerscan.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from layerscan.prediction.images import Prediction, predict
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.sources.registry import RegistrySource
from tests.builders import tree
from tests.builders.registry_server import LAYER, OpenRegistry

BASE: tuple[tree.Op, ...] = (
    tree.Dir("bin"),
    tree.File("bin/busybox", size=40_000, seed=1),
    tree.Link("bin/sh", "bin/busybox"),
    tree.Symlink("lib", "usr/lib"),
    *tree.many("usr/lib", 20, size=700, seed=2),
)
TOP: tuple[tree.Op, ...] = (
    tree.File("etc/conf", content=b"x" * 5000),
    tree.Whiteout("bin/old"),
)


@dataclass(frozen=True)
class Packed:
    """A layer as a registry has it."""

    blob: bytes
    diff_id: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return sha256(self.blob)


def packed(*ops: tree.Op, pack: Callable[[bytes], bytes] | None = None) -> Packed:
    return packed_tar(b"".join(tree.tar_stream(ops)), pack)


def packed_tar(tar: bytes, pack: Callable[[bytes], bytes] | None = None) -> Packed:
    return Packed(gzip.compress(tar, mtime=0) if pack is None else pack(tar), sha256(tar))


def put_image(
    registry: OpenRegistry,
    name: str,
    layers: Sequence[Packed],
    *,
    platform: str = "amd64",
) -> dict[str, object]:
    """An image for Linux under ``PATH:TAG`` or ``PATH``; its descriptor, as an index has it."""
    path, _, tag = name.partition(":")
    architecture, _, variant = platform.partition("/")
    says = {"architecture": architecture, "os": "linux"} | ({"variant": variant} if variant else {})
    config = {**says, "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]}}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _put(registry, path, json.dumps(config).encode(), OCI_CONFIG),
        "layers": [
            _put(registry, path, one.blob, LAYER) | {"annotations": dict(one.annotations)}
            for one in layers
        ],
    }
    raw = json.dumps(document).encode()
    found = registry.put_manifest(path, raw, OCI_MANIFEST, tag or None)
    return {
        "mediaType": OCI_MANIFEST,
        "digest": found.digest,
        "size": found.size,
        "platform": says,
    }


def put_index(registry: OpenRegistry, name: str, images: Mapping[str, Sequence[Packed]]) -> None:
    """An index of images by platform."""
    path, _, tag = name.partition(":")
    entries = [
        put_image(registry, path, layers, platform=platform) for platform, layers in images.items()
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    registry.put_manifest(path, json.dumps(document).encode(), OCI_INDEX, tag)


def _put(registry: OpenRegistry, path: str, content: bytes, media_type: str) -> dict[str, object]:
    found = registry.put_blob(path, content, media_type)
    return {"mediaType": media_type, "digest": found.digest, "size": found.size}


@contextmanager
def sources(registry: OpenRegistry, *names: str) -> Iterator[list[RegistrySource]]:
    with RegistryClient() as client:
        yield [
            RegistrySource(name, parse(f"{registry.address}/{name}"), lambda: client)
            for name in names
        ]


def predicted(registry: OpenRegistry, *names: str, **options: object) -> Prediction:
    """What images of these names would cost."""
    with sources(registry, *names) as opened:
        return predict(opened, **options)  # type: ignore[arg-type]


def leftovers() -> list[str]:
    """The threads of a prediction that are still there."""
    ours = ("worker-", "fetch", "decompress")
    return [one.name for one in threading.enumerate() if one.name.startswith(ours)]
