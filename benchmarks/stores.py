"""Complete overlay2 stores to scan, and layers metadata documents to merge.

Made once from a seed and kept, like the trees of ``corpus``, whose mark they
use: it holds the hash of the recipe and of the names and lengths of what was
made, and both are checked before a store is used again.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from benchmarks import corpus
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import File, Link, Op, Symlink


@dataclass(frozen=True)
class StoreRecipe:
    """What a store looks like.

    Attributes:
        name: of its folder.
        images: how many, each with a name and pushed.
        bases: how many bases they are on, in turns.
        base_files: files in each layer of a base, bottom up.
        own_files: files in each layer that an image has on top for itself.
        seed: of names and lengths.
    """

    name: str
    images: int
    bases: int
    base_files: tuple[int, ...]
    own_files: tuple[int, ...]
    seed: int = 1

    @property
    def layers(self) -> int:
        """How many layers there are, each counted once."""
        return self.bases * len(self.base_files) + self.images * len(self.own_files)


ONE_BASE = {
    "small": StoreRecipe("store-one-base-small", 32, 1, (1200, 600, 200), (20, 5)),
    "large": StoreRecipe("store-one-base", 32, 1, (12_000, 6_000, 2_000, 200), (200, 20)),
}
"""The store of the target: 32 images on one base, of a full distribution at large."""

MANY = {
    "small": StoreRecipe("store-many-small", 40, 4, (300, 100), (20, 5, 1)),
    "large": StoreRecipe("store-many", 300, 6, (3_000, 1_000, 300, 50), (60, 15)),
}
"""Many images on a few bases: hundreds at large."""


def make_store(recipe: StoreRecipe, root: str) -> str:
    """The folder of the store of `recipe` below `root`, made unless it is there whole."""
    folder = os.path.join(root, recipe.name)
    mark = folder + corpus.MARK
    wanted = hashlib.sha256(repr(astuple(recipe)).encode()).hexdigest()
    if corpus.read_mark(mark) == f"{wanted} {corpus.listing_digest(corpus.listing(folder))}":
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(root, exist_ok=True)
    _build(recipe, folder)
    corpus.write_mark(mark, f"{wanted} {corpus.listing_digest(corpus.listing(folder))}")
    return folder


def _build(recipe: StoreRecipe, folder: str) -> None:
    store = StoreBuilder(folder, seed=recipe.seed)
    dice = random.Random(recipe.seed)  # noqa: S311 - to be the same each time
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


def make_documents(layers: int, root: str, seed: int = 1) -> dict[str, str]:
    """Layers metadata of three architectures with so many layers each: file by architecture."""
    dice = random.Random(seed)  # noqa: S311 - to be the same each time
    os.makedirs(root, exist_ok=True)
    files = {}
    for architecture in ("amd64", "arm", "arm64"):
        document = {"fs_block_size": 4096, "layers": dict(_layers(layers, dice))}
        path = os.path.join(root, f"layers-{layers}-{architecture}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2, sort_keys=True)
        files[architecture] = path
    return files


def _layers(count: int, dice: random.Random) -> Iterator[tuple[str, dict[str, int]]]:
    for _ in range(count):
        size = dice.randint(0, 200_000_000)
        usage = size + dice.randint(0, 1_000_000)
        yield f"sha256:{dice.getrandbits(256):064x}", {"size": size, "usage": usage}
