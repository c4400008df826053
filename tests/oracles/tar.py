"""What unpacking a tar makes, in plain Python: the rules of `layerscan.tar._tar` once more.

Works on entries, not on bytes, with dictionaries and recursion. `found` reads the
same from a disk, where a real engine has unpacked the stream.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace
from tests.builders import tars

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.builders.tars import Entry

OPAQUE = b"trusted.overlay.opaque"
NAMESPACES = {
    b"user": XattrNamespace.USER,
    b"trusted": XattrNamespace.TRUSTED,
    b"security": XattrNamespace.SECURITY,
}
ACLS = {
    b"system.posix_acl_access": XattrNamespace.ACL_ACCESS,
    b"system.posix_acl_default": XattrNamespace.ACL_DEFAULT,
}


class RefusedError(Exception):
    """No engine would unpack it."""


@dataclass(eq=False)
class Node:
    kind: InodeKind
    size: int = 0
    target: bytes = b""
    parent: Node | None = None
    children: dict[bytes, Node] = field(default_factory=dict)
    xattrs: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Made:
    """A name, or an attribute: they are kept in the order in which they are made."""

    node: Node
    text: bytes
    folder: Node | None = None


def clean(path: bytes) -> list[bytes]:
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    return names


def is_dot(path: bytes) -> bool:
    """Whether it is the root by another way to write `.`."""
    depth = 0
    for name in path.split(b"/"):
        if name == b"..":
            depth -= 1
        elif name not in (b"", b"."):
            depth += 1
        if depth < 0:
            return False
    return depth == 0 and not path.startswith(b"/")


class Unpacking:
    """A tree that entries are put into, one after the other."""

    def __init__(self) -> None:
        self.root = Node(InodeKind.DIRECTORY)
        self.root.parent = self.root
        self.nodes = [self.root]
        self.names: list[Made] = []
        self.xattrs: list[Made] = []
        self.paths: list[bytes] = []

    def follow(self, start: Node, path: bytes, links: list[int], *, last: bool = True) -> Node:
        """Where a path leads; `links` has the number of symlinks that may yet be followed."""
        node = self.root if path.startswith(b"/") else start
        names = [name for name in path.split(b"/") if name]
        for place, name in enumerate(names):
            if node.kind != InodeKind.DIRECTORY:
                raise RefusedError("not a folder")
            if name == b".":
                continue
            if name == b"..":
                assert node.parent is not None
                node = node.parent
                continue
            if name not in node.children:
                raise RefusedError("not there")
            folder, node = node, node.children[name]
            if node.kind == InodeKind.SYMLINK and (last or place < len(names) - 1):
                links[0] -= 1
                if links[0] < 0:
                    raise RefusedError("too many symlinks")
                node = self.follow(folder, node.target, links)
        if path.endswith(b"/") and node.kind != InodeKind.DIRECTORY:
            raise RefusedError("not a folder")
        return node

    def add(self, folder: Node, name: bytes, node: Node) -> Node:
        if len(name) > 255:
            raise RefusedError("name too long")
        if node.kind == InodeKind.DIRECTORY:
            node.parent = folder
        folder.children[name] = node
        self.nodes.append(node)
        self.names.append(Made(node, name, folder))
        return node

    def folder(self, names: list[bytes]) -> Node:
        """The folder at a path, made where it is missing."""
        links = [40]
        node = self.root
        for name in names:
            if name not in node.children:
                node = self.add(node, name, Node(InodeKind.DIRECTORY))
            else:
                node = self.follow(node, name, links)
            if node.kind != InodeKind.DIRECTORY:
                raise RefusedError("not a folder")
        return node

    def set_xattr(self, node: Node, name: bytes, value: bytes) -> None:
        namespace = name.partition(b".")[0]
        if name in ACLS:
            if node.kind == InodeKind.SYMLINK:
                return
        elif namespace == b"user":
            if node.kind not in (InodeKind.FILE, InodeKind.DIRECTORY):
                return
        elif namespace not in NAMESPACES:
            return
        if name not in node.xattrs:
            self.xattrs.append(Made(node, name))
        node.xattrs[name] = len(value)

    def strip(self, node: Node, name: bytes) -> None:
        if node.xattrs.pop(name, None) is not None:
            self.xattrs = [
                made for made in self.xattrs if made.node is not node or made.text != name
            ]

    def set_xattrs(self, node: Node, entry: Entry) -> None:
        for name, value in entry.xattrs:
            self.set_xattr(node, name, value)

    def unpack(self, entry: Entry) -> None:
        names = clean(entry.name)
        if not names:
            self.unpack_root(entry)
            return
        *above, name = names
        if name == b".wh..wh..opq":
            self.mark_opaque(above)
            return
        folder = self.folder(above)
        old = folder.children.get(name)
        is_merged = old is not None and old.kind == InodeKind.DIRECTORY and entry.type == tars.DIR
        if old is not None and not is_merged:
            del folder.children[name]
            self.names = [
                made for made in self.names if made.folder is not folder or made.text != name
            ]
            if self.follow(self.root, b"/".join(above), [40]) is not folder:
                raise RefusedError("in what it replaces")
        if name.startswith(b".wh."):
            hidden = name[4:]
            if hidden in (b"", b".", b"..") or hidden in folder.children:
                raise RefusedError("whiteout of what is there")
            self.add(folder, hidden, Node(InodeKind.OTHER))
            return
        if len(b"/" + b"/".join(names)) > 4095:
            raise RefusedError("path too long")
        if entry.type == tars.DIR:
            self.paths.append(b"/".join(names))
        made = old if old is not None and is_merged else self.make(entry, folder, name)
        self.set_xattrs(made, entry)

    def unpack_root(self, entry: Entry) -> None:
        if is_dot(entry.name):
            return
        if entry.type != tars.DIR:
            raise RefusedError("the root")
        self.set_xattrs(self.root, entry)

    def mark_opaque(self, above: list[bytes]) -> None:
        try:
            marked = self.follow(self.root, b"/".join(above), [40])
        except RefusedError:
            marked = self.folder(above)
        self.set_xattr(marked, OPAQUE, b"y")

    def make(self, entry: Entry, folder: Node, name: bytes) -> Node:
        if entry.type == tars.FILE:
            return self.add(folder, name, Node(InodeKind.FILE, len(entry.content)))
        if entry.type == tars.DIR:
            return self.add(folder, name, Node(InodeKind.DIRECTORY))
        if entry.type == tars.SYMLINK:
            if not 0 < len(entry.link) <= 4095:
                raise RefusedError("target")
            return self.add(folder, name, Node(InodeKind.SYMLINK, len(entry.link), entry.link))
        if entry.type == tars.LINK:
            target = self.follow(self.root, b"/".join(clean(entry.link)), [40], last=False)
            if target.kind == InodeKind.DIRECTORY:
                raise RefusedError("link to a folder")
            self.strip(target, b"security.capability")
            self.add(folder, name, target)
            return target
        if entry.type in (tars.CHAR, tars.BLOCK_DEVICE, tars.FIFO):
            return self.add(folder, name, Node(InodeKind.OTHER))
        raise RefusedError("kind of entry")

    def reached(self) -> set[Node]:
        """All nodes that the root leads to."""
        reached = {self.root}
        waiting = [self.root]
        while waiting:
            for child in waiting.pop().children.values():
                if child not in reached:
                    reached.add(child)
                    waiting.append(child)
        return reached

    def tree(self) -> LayerTree:
        """The columns, as the scanner must give them."""
        reached = self.reached()
        nodes = [node for node in dict.fromkeys(self.nodes) if node in reached]
        place = {node: number for number, node in enumerate(nodes)}
        names = [made for made in self.names if made.folder in reached]
        xattrs = [made for made in self.xattrs if made.node in reached]
        return LayerTree(
            np.array([node.kind for node in nodes], np.uint8),
            np.array([node.size for node in nodes], np.int64),
            np.array([place[made.folder] for made in names if made.folder], np.int32),
            np.array([place[made.node] for made in names], np.int32),
            np.array([len(made.text) for made in names], np.int32),
            np.array([place[made.node] for made in xattrs], np.int32),
            np.array([namespace_of(made.text) for made in xattrs], np.uint8),
            np.array([len(name_of(made.text)) for made in xattrs], np.int32),
            np.array([made.node.xattrs[made.text] for made in xattrs], np.int32),
        )


def namespace_of(name: bytes) -> XattrNamespace:
    return ACLS.get(name) or NAMESPACES[name.partition(b".")[0]]


def name_of(name: bytes) -> bytes:
    return b"" if name in ACLS else name.partition(b".")[2]


def unpacked(entries: Iterable[Entry]) -> LayerTree | None:
    """The tree that entries make; None if they are refused."""
    work = Unpacking()
    try:
        for entry in entries:
            work.unpack(entry)
        for path in work.paths:
            work.follow(work.root, path, [40])
    except RefusedError:
        return None
    return work.tree()


class Shape(NamedTuple):
    """A tree without the order in which it was made."""

    kind: int
    size: int
    links: int
    xattrs: tuple[tuple[int, int, int], ...]
    children: tuple[tuple[int, Shape], ...]


def shape(tree: LayerTree) -> Shape:
    """The shape of a scanned tree."""
    children: list[list[tuple[int, int]]] = [[] for _ in tree.kinds]
    links = [0] * len(tree.kinds)
    for folder, inode, length in zip(
        tree.name_directories.tolist(),
        tree.name_inodes.tolist(),
        tree.name_lengths.tolist(),
        strict=True,
    ):
        children[folder].append((length, inode))
        links[inode] += 1
    xattrs: list[list[tuple[int, int, int]]] = [[] for _ in tree.kinds]
    for inode, *xattr in zip(
        tree.xattr_inodes.tolist(),
        tree.xattr_namespaces.tolist(),
        tree.xattr_name_lengths.tolist(),
        tree.xattr_value_lengths.tolist(),
        strict=True,
    ):
        xattrs[inode].append(tuple(xattr))

    def of(inode: int) -> Shape:
        kind = int(tree.kinds[inode])
        return Shape(
            kind,
            int(tree.sizes[inode]),
            1 if kind == InodeKind.DIRECTORY else links[inode],
            tuple(sorted(xattrs[inode])),
            tuple(sorted((length, of(child)) for length, child in children[inode])),
        )

    return of(0)


def found(path: bytes) -> Shape:
    """The shape of what is on the disk."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        kind = InodeKind.DIRECTORY
    elif stat.S_ISREG(status.st_mode):
        kind = InodeKind.FILE
    else:
        kind = InodeKind.SYMLINK if stat.S_ISLNK(status.st_mode) else InodeKind.OTHER
    is_folder = kind == InodeKind.DIRECTORY
    xattrs = [
        (
            namespace_of(name),
            len(name_of(name)),
            len(os.getxattr(path, name, follow_symlinks=False)),
        )
        for name in map(os.fsencode, os.listxattr(path, follow_symlinks=False))
    ]
    return Shape(
        kind,
        0 if is_folder or kind == InodeKind.OTHER else status.st_size,
        1 if is_folder else status.st_nlink,
        tuple(sorted(xattrs)),
        tuple(sorted((len(name), found(path + b"/" + name)) for name in os.listdir(path)))
        if is_folder
        else (),
    )
