"""A store that a user may not read, or not all of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerscan.errors import StoreError
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.overlay2_case import Case
from tests.builders.user import as_nobody
from tests.cli_runner import OPEN, let_all_read, open_to_all


@pytest.fixture
def readable() -> Iterator[Case]:
    """A store that everybody may read, where everybody gets to."""
    with open_to_all() as folder:
        case = Case.build(folder / "docker")
        let_all_read(case.store)
        yield case
        for path, _, _ in os.walk(folder):
            os.chmod(path, 0o700)


def test_store_that_may_not_be_read(readable: Case) -> None:
    root = readable.store.root

    def opened() -> str:
        try:
            Overlay2Store(root)
        except StoreError as error:
            return str(error)
        return "opened"

    assert as_nobody(opened) == "opened"
    os.chmod(readable.store.path("image"), 0)
    assert as_nobody(opened) == f"{root}/image: permission denied; use sudo"
    os.chmod(readable.store.path("image"), OPEN)
    os.chmod(root, 0)
    assert as_nobody(opened) == f"{root}: permission denied; use sudo"
    os.chmod(root, OPEN)
    os.chmod(os.path.dirname(root), 0)
    assert as_nobody(opened) == f"{root}: permission denied; use sudo"
    os.chmod(os.path.dirname(root), OPEN)


def test_parts_that_may_not_be_read(readable: Case) -> None:
    os.chmod(readable.layer("size"), 0)
    os.chmod(readable.known(), 0)

    def read() -> tuple[int, list[str]]:
        store = Overlay2Store(readable.store.root)
        return len(store.images()), [str(problem) for problem in store.problems]

    count, problems = as_nobody(read)
    denied = "permission denied; use sudo"
    assert count == 1
    assert problems == sorted(
        [
            f"{readable.layer('size')}: {denied}; left out: one:1",
            f"{readable.known()}: {denied}; no digest is known of layer {readable.one.diff_id}",
        ]
    )


def test_folder_of_all_layers_that_may_not_be_read(readable: Case) -> None:
    path = Path(readable.store.image_path("layerdb"))
    path.chmod(0)

    def read() -> list[str]:
        store = Overlay2Store(readable.store.root)
        store.images()
        return [str(problem) for problem in store.problems]

    denied = "permission denied; use sudo; left out: one:1, two:1"
    assert as_nobody(read) == [f"{path}: {denied}"]
