"""Whatever a store is like, no descriptor of it stays open."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import StoreError
from layerscan.stores import open_store
from tests.builders.detected_case import containerd, docker, storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.builders.machine import Machine


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0,))


def built(kind: str, root: str) -> str:
    match kind:
        case "overlay2":
            return docker(root, images=2).root
        case "containerd":
            return containerd(root, "moby", "default").root
    return storage(root, images=2).root


def use(kind: str, root: str) -> int:
    """How many layers the store has, and has still, in both ways to read it."""
    found = 0
    for exact in (False, True):
        store = open_store(kind, root, exact=exact)
        store.has_images()
        layers = [layer for image in store.images() for layer in image.layers]
        found += sum(store.still_has(layer) for layer in layers)
    return found


def damaged(root: str) -> Iterator[str]:
    """The files of a store, each without its second half while it is the turn of it."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not (length := os.path.getsize(path)):
                continue
            with open(path, "rb+") as file:
                content = file.read()
                file.truncate(length // 2)
            yield path
            with open(path, "wb") as file:
                file.write(content)


@pytest.mark.parametrize(
    ("kind", "layers"), [("overlay2", 2), ("containerd", 1), ("containers-storage", 2)]
)
def test_nothing_stays_open(machine: Machine, kind: str, layers: int) -> None:
    root = built(kind, machine.path("store"))
    before = os.listdir("/proc/self/fd")
    assert use(kind, root) == 2 * layers
    assert os.listdir("/proc/self/fd") == before
    refused = 0
    for path in damaged(root):
        with suppress(StoreError):
            refused += use(kind, root) < 2 * layers
        assert os.listdir("/proc/self/fd") == before, path
    assert refused
    assert use(kind, root) == 2 * layers
