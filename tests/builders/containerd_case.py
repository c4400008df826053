"""How tests of containerd's store make one, and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerscan.oci import Platform
from layerscan.stores.containerd import reading
from layerscan.stores.containerd.store import ContainerdStore
from tests.builders.containerd import ContainerdBuilder
from tests.builders.tree import File

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.stores.model import Image
    from tests.builders.containerd import BuiltLayer

AMD64 = Platform("amd64", "linux")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContainerdBuilder:
    """A store without images. The machine is an amd64, whatever this one is."""
    monkeypatch.setattr(reading, "this_machine", lambda: AMD64)
    return ContainerdBuilder(tmp_path / "containerd")


def stack(built: ContainerdBuilder, *names: str) -> list[BuiltLayer]:
    layers: list[BuiltLayer] = []
    for name in names:
        layers.append(built.layer(layers[-1] if layers else None, File(name, size=5000)))
    return layers


def opened(built: ContainerdBuilder, **options: object) -> ContainerdStore:
    return ContainerdStore(built.write().root, **options)  # type: ignore[arg-type]


def read(built: ContainerdBuilder, **options: object) -> list[Image]:
    """The images; there must be no problem and nothing to note."""
    store = opened(built, **options)
    images = store.images()
    assert (store.problems, store.notes, store.vanished) == ((), (), ())
    return images


def names(images: list[Image]) -> list[list[str]]:
    return [
        [*(name.familiar for name in image.names if name.tag), *image.other_names]
        for image in images
    ]
