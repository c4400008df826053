"""The store of containerd that tests of damage begin with, and how they look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerscan.scanning.scanner import scan
from tests.builders.containerd_case import names, opened
from tests.builders.documents import encoded

if TYPE_CHECKING:
    from tests.builders.containerd import BuiltLayer, ContainerdBuilder, Descriptor


@dataclass
class Case:
    """A store with two images on one base, ``one:1`` and ``two:1``."""

    built: ContainerdBuilder
    base: BuiltLayer
    one: BuiltLayer
    two: BuiltLayer
    manifest: Descriptor

    @property
    def config(self) -> str:
        return self.built.blob_path(self.built.config_of(self.manifest))

    def record(self) -> dict[bytes, object]:
        """Of the layer that only ``one:1`` has, in the database of names."""
        return self.built.snapshot_record(self.one)

    def snapshot(self) -> dict[bytes, object]:
        """Of the same, in the snapshotter's."""
        return self.built.snapshot(self.one)

    def replace(self, content: object) -> str:
        """Give ``one:1`` another manifest; its path."""
        manifest = self.built.blob(encoded(content), self.manifest.media_type)
        self.built.name("docker.io/library/one:1", manifest)
        return self.built.blob_path(manifest.digest)


def check(case: Case, where: str, what: str, *, survivors: list[str] | None = None) -> None:
    """Read the store: this problem and no other; ``two:1`` is read all the same."""
    store = opened(case.built)
    images = store.images()
    assert [(problem.where, problem.what) for problem in store.problems] == [(where, what)]
    assert what.isprintable()
    assert names(images) == [[name] for name in survivors or ["two:1"]]
    assert scan(store).problems == store.problems


ONE = "; left out: one:1"


BOTH = "; left out: one:1, two:1"
