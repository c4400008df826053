"""Stores where a machine has them."""

import os
import shutil

from tests.builders.containerd import ContainerdBuilder
from tests.builders.containers_storage import StoreBuilder as StorageBuilder
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File


def docker(root: str, *, images: int = 1) -> StoreBuilder:
    os.makedirs(os.path.dirname(root), exist_ok=True)
    store = StoreBuilder(root)
    for number in range(images):
        store.image([store.layer(None, File(f"x{number}"))], names=[f"app:{number}"])
    return store


def storage(root: str, *, images: int = 1) -> StorageBuilder:
    store = StorageBuilder(root)
    for number in range(images):
        store.image([store.layer(None, File(f"y{number}"))], names=[f"x.example/app:{number}"])
    return store


def containerd(root: str, *namespaces: str) -> ContainerdBuilder:
    shutil.rmtree(root, ignore_errors=True)
    store = ContainerdBuilder(root)
    for name in namespaces:
        layer = store.layer(None, File(name))
        store.image([f"x.example/{name}:1"], [layer], namespace=name)
    return store.write()
