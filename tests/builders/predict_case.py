"""What the tests of predictions share: two layers as trees, and predicting images."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from layerscan.prediction.images import Prediction, predict
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.sources.registry import RegistrySource
from tests.builders import tree
from tests.builders.registry_server import OpenRegistry

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
