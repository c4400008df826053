"""How tests of bbolt's reader read a file."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containerd.bolt import Bucket, Database
from tests.builders.bolt_contents import items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Plain = dict[bytes, bytes | "Plain"]

NAME = "db"


@contextmanager
def read(folder: Path, content: bytes | None = None, *, copied: bool = True) -> Iterator[Database]:
    """The database in the file, after `content` was written to it."""
    if content is not None:
        (folder / NAME).write_bytes(content)
    with Folder(os.fspath(folder)) as opened, Database(opened, NAME, copied=copied) as database:
        yield database


def fault(folder: Path, content: bytes) -> str:
    """What is wrong with a file of that content, once all of it is read, in one go or not."""
    said = []
    for copied in (True, False):
        with pytest.raises(Fault) as caught, read(folder, content, copied=copied) as database:
            plain(database.root)
        assert caught.value.where == os.fspath(folder / NAME)
        assert caught.value.what.isprintable()
        said.append(caught.value.what)
    assert said[0] == said[1]
    return said[0]


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - to be the same in every run


def plain(bucket: Bucket) -> Plain:
    """All of a bucket."""
    return {
        key: value if isinstance(value, bytes) else plain(value) for key, value in items(bucket)
    }
