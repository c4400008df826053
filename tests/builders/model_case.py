"""What tests of the models of file systems share: trees on fresh disks, and what they take."""

from __future__ import annotations

import dataclasses
import os
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

import numpy as np
from hypothesis import strategies as st

from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace
from tests.builders.layer_trees import walked
from tests.builders.tree import Dir, Fifo, File, Link, Symlink, apply
from tests.conftest import require_programs
from tests.engines import loop
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.builders.tree import Op

Lengths = dict[str, int]
"""By the names of attributes: bytes of the value."""

Attributes = dict[str, Lengths]
"""Those of the inodes at these paths."""

_NUMBERS = count()
_LETTERS = "abcdefghij"


class Model(Protocol):
    """A file system whose model says what each inode takes."""

    block_size: int

    def inodes(self, tree: LayerTree) -> NDArray[np.int64] | NDArray[np.float64]: ...


class Refusing(Protocol):
    """A file system whose model says what it cannot hold."""

    def refused(self, tree: LayerTree) -> str: ...


class Disk:
    """A file system at `path` that trees are put onto; `name` says how it was made."""

    def __init__(self, path: str, name: str = "") -> None:
        self.path = path
        self.name = name
        self.block_size = os.statvfs(path).f_bsize

    def folder(self) -> str:
        """A new folder."""
        path = os.path.join(self.path, f"tree{next(_NUMBERS)}")
        os.mkdir(path)
        return path


@contextmanager
def fresh_disk(name: str, place: Path, size: int, *options: str) -> Iterator[Disk]:
    """A fresh file system of that name, mounted below `place`; `options` are for ``mkfs``."""
    require_root()
    require_programs(f"mkfs.{name.partition(',')[0]}", *loop.PROGRAMS[1:])
    with loop.named(name, str(place / "mounted"), size, *options) as mounted:
        yield Disk(mounted, name)


def put(folder: str, ops: Sequence[Op], attributes: Mapping[str, Mapping[str, int]]) -> None:
    """Make `ops` in `folder`, and give what is at those paths attributes, each at once.

    As engines do, folders get theirs before what is in them is made.
    """
    for op in ops:
        path = os.fsdecode(op.path)
        if isinstance(op, Link):
            os.link(f"{folder}/{os.fsdecode(op.to)}", f"{folder}/{path}")
            continue
        parent, name = os.path.split(path)
        apply(os.path.join(folder, parent), dataclasses.replace(op, path=name))
        for attribute, length in attributes.get(path, {}).items():
            os.setxattr(f"{folder}/{path}", attribute, b"v" * length, follow_symlinks=False)


def differences(model: Model, folder: str) -> dict[bytes, tuple[int, float]]:
    """Inodes for which the model is wrong: the bytes that they take, and that it says."""
    os.sync()
    found = walked(folder)
    told = model.inodes(found.tree)
    rows = zip(found.paths, found.usage.tolist(), told.tolist(), strict=True)
    return {path: (real, said) for path, real, said in rows if real != said}


def folder_tree(
    lengths: Sequence[int],
    *,
    kind: InodeKind = InodeKind.FILE,
    attributes: Sequence[tuple[int, int, int, int]] = (),
) -> LayerTree:
    """A folder of empty inodes whose names have these lengths.

    Of each attribute its inode, its namespace, and the lengths of name and value.
    """
    names = np.array(lengths, dtype=np.int32)
    xattrs = np.array(attributes, dtype=np.int32).reshape(-1, 4)
    return LayerTree(
        kinds=np.array([InodeKind.DIRECTORY, *[kind] * len(names)], dtype=np.uint8),
        sizes=np.zeros(len(names) + 1, dtype=np.int64),
        name_directories=np.zeros(len(names), dtype=np.int32),
        name_inodes=np.arange(1, len(names) + 1, dtype=np.int32),
        name_lengths=names,
        xattr_inodes=xattrs[:, 0],
        xattr_namespaces=xattrs[:, 1].astype(np.uint8),
        xattr_name_lengths=xattrs[:, 2],
        xattr_value_lengths=xattrs[:, 3],
    )


def many_names(folder: str, lengths: Sequence[int]) -> None:
    """Fill `folder` with FIFOs, which take no blocks, whose names have these lengths."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, length in enumerate(lengths):
            os.mkfifo(f"{number:x}".rjust(length, "n"), dir_fd=at)
    finally:
        os.close(at)


def attributes_of_one(lengths: st.SearchStrategy[int], most: int) -> st.SearchStrategy[Lengths]:
    """At most so many attributes of an inode, with values of these lengths."""
    # Of all kinds of inodes, as only files and folders can have those of users.
    names = st.text(_LETTERS, min_size=1, max_size=30).map("trusted.{}".format)
    return st.dictionaries(names, lengths, max_size=most)


SHORT_OR_LONG = attributes_of_one(st.one_of(st.integers(0, 60), st.integers(0, 300)), 1)


@st.composite
def trees(
    draw: st.DrawFn,
    *,
    longest_target: int,
    most: int = 40,
    values: st.SearchStrategy[Lengths] = SHORT_OR_LONG,
) -> tuple[list[Op], Attributes]:
    """Small trees of every kind of inode: at most so many, some with such attributes."""
    folders = [""]
    ops: list[Op] = []
    attributes: Attributes = {}
    files: list[str] = []
    names = st.text(_LETTERS, min_size=1, max_size=40)
    sizes = st.one_of(st.integers(0, 5000), st.integers(0, 200_000))
    for name in draw(st.lists(names, max_size=most, unique=True)):
        path = draw(st.sampled_from(folders)) + name
        kind = draw(st.sampled_from("ffflsdp"))
        if kind == "d":
            ops.append(Dir(path))
            folders.append(f"{path}/")
        elif kind == "s":
            ops.append(Symlink(path, "t" * draw(st.integers(1, longest_target))))
            continue
        elif kind == "p":
            ops.append(Fifo(path))
        elif kind == "l" and files:
            ops.append(Link(path, draw(st.sampled_from(files))))
            continue
        else:
            ops.append(File(path, size=draw(sizes)))
            files.append(path)
        attributes[path] = draw(values)
    return ops, attributes


def assert_refuses_what_the_disk_does(
    model: Refusing, disk: Disk, *, targets: Iterable[int] = (), values: Iterable[int] = ()
) -> None:
    """Hold what a model refuses against a disk.

    Args:
        model: the model.
        disk: the disk.
        targets: bytes of targets of symlinks.
        values: bytes of an only attribute's value.
    """
    folder = disk.folder()
    outcomes = set()
    for length in targets:
        tree = folder_tree([1], kind=InodeKind.SYMLINK)._replace(sizes=np.array([0, length]))
        taken = succeeds(partial(os.symlink, "t" * length, f"{folder}/link{length}"))
        assert (model.refused(tree) == "") == taken, f"a target of {length}"
        outcomes.add(taken)
    for length in values:
        path = f"{folder}/file{length}"
        apply(folder, File(os.path.basename(path)))
        tree = folder_tree([1], attributes=[(1, XattrNamespace.USER, 1, length)])
        taken = succeeds(partial(os.setxattr, path, "user.v", b"v" * length))
        assert (model.refused(tree) == "") == taken, f"a value of {length}"
        outcomes.add(taken)
    # The borders are among them.
    assert outcomes == {True, False}


def succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return False
    return True
