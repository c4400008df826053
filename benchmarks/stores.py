"""Complete overlay2 stores to scan, and layers metadata documents to merge; from a seed."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.corpus import Made, kept
from benchmarks.settings import Size
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import File, Link, Op, Symlink


@dataclass(frozen=True)
class Store:
    """An overlay2 store.

    Attributes:
        name: of its folder.
        images: how many, each with a name and pushed.
        bases: how many bases they are on, in turns.
        base_files: files in each layer of a base, bottom up.
        own_files: files in each layer that an image has on top for itself.
    """

    name: str
    images: int
    bases: int
    base_files: tuple[int, ...]
    own_files: tuple[int, ...]

    def make(self, root: str) -> Made:
        """The store below `root`."""
        return kept(root, self.name, lambda folder: _build(self, folder))


ONE_BASE = {
    Size.SMALL: Store("store-one-base-small", 32, 1, (1200, 600, 200), (20, 5)),
    Size.LARGE: Store("store-one-base", 32, 1, (12_000, 6_000, 2_000, 200), (200, 20)),
}
"""The store of the target: 32 images on one base, of a full distribution at large."""

MANY = {
    Size.SMALL: Store("store-many-small", 40, 4, (300, 100), (20, 5, 1)),
    Size.LARGE: Store("store-many", 300, 6, (3_000, 1_000, 300, 50), (60, 15)),
}
"""Many images on a few bases: hundreds at large."""


FULL = {
    Size.SMALL: Store("store-full-small", 19, 1, (1000,), (1000,)),
    Size.LARGE: Store("store-full", 99, 1, (10_000,), (10_000,)),
}
"""A hundred layers of ten thousand files at large."""


def _build(recipe: Store, folder: str) -> None:
    store = StoreBuilder(folder, seed=1)
    dice = random.Random(1)  # noqa: S311 - to be the same each time
    bases = [
        _stack(store, None, f"base{number}", recipe.base_files, dice)
        for number in range(recipe.bases)
    ]
    for number in range(recipe.images):
        base = bases[number % recipe.bases]
        own = _stack(store, base[-1], f"app{number}", recipe.own_files, dice)
        repository = f"registry.example.com/fleet/app{number}"
        store.image(
            [*base, *own],
            names=[f"{repository}:1"],
            pushed={repository: None},
            # Without layers of its own it would be the image before it.
            extra=None if own else {"author": f"app{number}"},
        )


def _stack(
    store: StoreBuilder,
    parent: BuiltLayer | None,
    name: str,
    counts: tuple[int, ...],
    dice: random.Random,
) -> list[BuiltLayer]:
    layers = []
    for step, count in enumerate(counts):
        parent = store.layer(parent, *_files(f"{name}/{step}", count, dice))
        layers.append(parent)
    return layers


def _files(folder: str, count: int, dice: random.Random) -> Iterator[Op]:
    """Files of a layer: some 15 a folder, a few of them links, most of them short."""
    for number in range(count):
        path = f"usr/{folder}/{number // 225:03d}/{number // 15 % 15:02d}/f{number:05d}"
        kind = number % 50
        if kind == 48:
            yield Symlink(path, f"f{number - 1:05d}")
        elif kind == 49 and number % 15 > 1:
            yield Link(path, path[:-5] + f"{number - 2:05d}")
        else:
            yield File(path, size=dice.randint(0, 3000), seed=dice.getrandbits(30))


ARCHITECTURES = ("amd64", "arm", "arm64")


@dataclass(frozen=True)
class Documents:
    """Layers metadata of three architectures, with so many layers each."""

    layers: int

    def make(self, root: str) -> Made:
        """The documents below `root`."""
        return kept(
            root, f"documents-{self.layers}", lambda folder: _write_documents(self.layers, folder)
        )


DOCUMENTS = {Size.SMALL: Documents(2_000), Size.LARGE: Documents(50_000)}


def _write_documents(layers: int, folder: str) -> None:
    dice = random.Random(1)  # noqa: S311 - to be the same each time
    for architecture in ARCHITECTURES:
        found = {}
        for _ in range(layers):
            size = dice.randint(0, 200_000_000)
            usage = size + dice.randint(0, 1_000_000)
            found[f"sha256:{dice.getrandbits(256):064x}"] = {"size": size, "usage": usage}
        document = {"fs_block_size": 4096, "layers": found}
        with open(os.path.join(folder, f"{architecture}.json"), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2, sort_keys=True)
