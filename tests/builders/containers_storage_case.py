"""The store of containers/storage that tests of damage begin with, and how they look at it."""

import os
from dataclasses import dataclass
from pathlib import Path

from layerscan.stores.containers_storage.store import ContainersStorageStore
from tests.builders.containers_storage import BuiltImage, BuiltLayer, StoreBuilder
from tests.builders.tree import File

OTHER_ID = "ab" * 32


@dataclass
class Case:
    """A store with two images on one base, ``one:1`` and ``two:1``."""

    store: StoreBuilder
    base: BuiltLayer
    one: BuiltLayer
    two: BuiltLayer
    image_one: BuiltImage
    image_two: BuiltImage

    @classmethod
    def build(cls, root: Path) -> "Case":
        store = StoreBuilder(root)
        base = store.layer(None, File("base", size=10))
        one, two = (store.layer(base, File(name, size=20)) for name in ("one", "two"))
        images = [
            store.image([base, layer], names=[f"x.example/{name}:1"])
            for name, layer in (("one", one), ("two", two))
        ]
        return cls(store, base, one, two, *images)

    @property
    def layers_folder(self) -> str:
        return self.store.path("overlay-layers")

    def document(self, name: str) -> Path:
        return Path(self.store.document_path(self.image_one, name))

    def change_layer(self, layer: BuiltLayer, **keys: object) -> str:
        """Change keys of a layer's record. Returns where it is in messages."""
        layer.record.update(keys)
        self.store.write_layers()
        return f"{self.store.layers_path()}[{self.store.layers.index(layer)}]"

    def change_image(self, **keys: object) -> str:
        """Change keys of the record of ``one:1``. Returns where it is in messages."""
        self.image_one.record.update(keys)
        self.store.write_images()
        return f"{self.store.images_path()}[0]"


def check(
    case: Case,
    expected: dict[str | os.PathLike[str], str],
    survivors: set[str],
    *,
    exact: bool = False,
) -> None:
    """Read the store: exactly these problems, exactly these images by name."""
    store = ContainersStorageStore(case.store.root, exact=exact)
    names = {name.path for image in store.images() for name in image.names if name.tag}
    found = {problem.where: problem.what for problem in store.problems}
    assert found == {os.fspath(path): what for path, what in expected.items()}
    assert len(found) == len(store.problems)
    assert names == survivors
    assert all(what.isprintable() for what in found.values())


ONE = "; left out: x.example/one:1"


BOTH = "; left out: x.example/one:1, x.example/two:1"
