"""The store that tests of damage have before it is damaged, and how they look at it afterwards."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import File

LINK = "is a symbolic link, which is not followed here"
HEX = "0123456789abcdef" * 4


@dataclass
class Case:
    """A store with two images on one base, ``one:1`` and ``two:1``."""

    store: StoreBuilder
    base: BuiltLayer
    one: BuiltLayer
    two: BuiltLayer
    image_one: str
    image_two: str

    @classmethod
    def build(cls, root: Path) -> "Case":
        store = StoreBuilder(root)
        base = store.layer(None, File("base", size=10))
        one, two = (store.layer(base, File(name, size=20)) for name in ("one", "two"))
        ids = [
            store.image(
                [base, layer], names=[f"{name}:1"], pushed={f"docker.io/library/{name}": None}
            )
            for name, layer in (("one", one), ("two", two))
        ]
        return cls(store, base, one, two, *ids)

    def layer(self, name: str) -> Path:
        """A file of the layer that only ``one:1`` has."""
        return Path(self.store.layer_path(self.one, name))

    def folder(self, name: str = "") -> Path:
        """A file in the folder of that layer in overlay2, or the folder."""
        return Path(self.store.folder_path(self.one), name)

    def names(self) -> Path:
        return Path(self.store.repositories_path())

    def config(self) -> Path:
        return Path(self.store.config_path(self.image_one))

    def known(self) -> Path:
        return Path(self.store.v2metadata_path(self.one.diff_id))

    def replace_config(self, content: bytes) -> Path:
        """Give ``one:1`` another config, which hashes to its name."""
        image_id = self.store.raw_image(content)
        os.unlink(self.config())
        self.store.repositories = {"one": {"one:1": image_id}, "two": {"two:1": self.image_two}}
        self.store._write_repositories()
        return Path(self.store.config_path(image_id))


def check(case: Case, expected: dict[Path, str], survivors: set[str]) -> None:
    """Read the store: exactly these problems, exactly these images by name."""
    store = Overlay2Store(case.store.root)
    names = {name.familiar for image in store.images() for name in image.names if name.tag}
    found = {problem.where: problem.what for problem in store.problems}
    assert found == {os.fspath(path): what for path, what in expected.items()}
    assert len(found) == len(store.problems)
    assert names == survivors
    assert all(what.isprintable() for what in found.values())


def replace_by(path: Path, kind: str) -> str:
    """Put another kind of thing in a file's place. Returns what is said of it."""
    moved = path.with_name("moved")
    path.rename(moved)
    if kind == "missing":
        return "is missing"
    if kind == "link":
        path.symlink_to(moved)
        return LINK
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        here = os.open(path.parent, os.O_RDONLY)
        # A socket's path is short: from the folder, which may be deep.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
    return "is no regular file"
