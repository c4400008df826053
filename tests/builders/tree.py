"""Folder trees, declared: what a test wants on disk, said once.

Owns the operations, putting them on disk, their tar stream, and what they add
up to by Docker's size rule. Does not walk and does not read back: what a test
compares with is computed from the declaration alone.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

Path = str | bytes
MTIME = 1_700_000_000
"""The modification time, in seconds, that every entry has in `tar_digest`."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Dir:
    """A folder."""

    path: Path
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: `content`, or `size` bytes made from `seed`."""

    path: Path
    content: bytes | None = None
    size: int = 0
    seed: int = 0
    mode: int = 0o644

    @property
    def data(self) -> bytes:
        return made_up(self.size, self.seed) if self.content is None else self.content


@dataclass(frozen=True, slots=True)
class Sparse:
    """A regular file of `size` bytes that is a hole but for the pieces of `data`."""

    path: Path
    size: int
    data: tuple[tuple[int, bytes], ...] = ()
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Link:
    """Another name, a hard link, of `to`, a path declared before it."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link whose target is the text `to`."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True)
class Fifo:
    """A named pipe."""

    path: Path
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Device:
    """A character device, or a block device if `block`."""

    path: Path
    major: int = 1
    minor: int = 3
    block: bool = False
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Whiteout:
    """A path deleted from the layer beneath: the character device 0:0."""

    path: Path


@dataclass(frozen=True, slots=True)
class Opaque:
    """A folder that hides its namesake in the layer beneath."""

    path: Path
    mode: int = 0o755
    xattr: str = "trusted.overlay.opaque"


Op = Dir | File | Sparse | Link | Symlink | Fifo | Device | Whiteout | Opaque


def many(folder: Path, count: int, *, size: int = 0, seed: int = 0) -> Iterator[File]:
    """`count` files f00000, f00001, … of `size` bytes each, all different."""
    for number in range(count):
        name = b"f%05d" % number
        yield File(os.fsencode(folder) + b"/" + name, size=size, seed=seed * 1_000_003 + number)


@lru_cache(maxsize=4096)
def made_up(size: int, seed: int) -> bytes:
    """`size` bytes that look random and are the same for the same `seed`."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


def with_parents(ops: Iterable[Op]) -> list[Op]:
    """`ops` with every folder that they imply declared before its content."""
    known: set[bytes] = set()
    whole: list[Op] = []
    for op in ops:
        parts = os.fsencode(op.path).split(b"/")
        if not all(parts) or b"." in parts or b".." in parts:
            raise ValueError(f"not a plain relative path: {op.path!r}")
        for end in range(1, len(parts)):
            folder = b"/".join(parts[:end])
            if folder not in known:
                known.add(folder)
                whole.append(Dir(folder))
        if isinstance(op, (Dir, Opaque)):
            known.add(b"/".join(parts))
        whole.append(op)
    return whole


def apply(folder: Path | os.PathLike[str], *ops: Op) -> None:
    """Put `ops` into `folder`, which exists, in their order.

    Modes do not depend on the umask; those of folders are set last, so that a
    folder of mode 000 can have content. Paths may be longer than PATH_MAX.

    Raises:
        OSError: an operation failed; PermissionError where it needs root.
    """
    with _Parents(folder) as parents:
        folders = []
        for op in with_parents(ops):
            at, name = parents.of(op.path)
            _create(parents, at, name, op)
            if isinstance(op, (Dir, Opaque)):
                folders.append(op)
        for op in reversed(folders):
            at, name = parents.of(op.path)
            # fchmodat follows symbolic links, but a folder is none.
            os.chmod(name, op.mode, dir_fd=at)


class _Parents:
    """Opens the folder that a path is in, and keeps it open for the next path."""

    def __init__(self, root: Path | os.PathLike[str]) -> None:
        self._root = self._at = os.open(root, _OPEN_FOLDER)
        self._folder: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    def of(self, path: Path) -> tuple[int, bytes]:
        """Descriptor of the folder that `path` is in, and the last name of `path`."""
        *folder, name = os.fsencode(path).split(b"/")
        if folder != self._folder:
            self._leave()
            for part in folder:
                inner = os.open(part, _OPEN_FOLDER, dir_fd=self._at)
                self._close()
                self._at = inner
            self._folder = folder
        return self._at, name

    def _leave(self) -> None:
        self._close()
        self._at, self._folder = self._root, []

    def _close(self) -> None:
        if self._at != self._root:
            os.close(self._at)


def _create(parents: _Parents, at: int, name: bytes, op: Op) -> None:
    match op:
        case Dir():
            os.mkdir(name, 0o700, dir_fd=at)
        case Opaque():
            os.mkdir(name, 0o700, dir_fd=at)
            inner = os.open(name, _OPEN_FOLDER, dir_fd=at)
            try:
                os.setxattr(inner, op.xattr, b"y")
            finally:
                os.close(inner)
        case File() | Sparse():
            _write(at, name, op)
        case Link():
            at = os.dup(at)  # `of` closes the folder that it leaves
            try:
                other, target = parents.of(op.to)
                os.link(target, name, src_dir_fd=other, dst_dir_fd=at, follow_symlinks=False)
            finally:
                os.close(at)
        case Symlink():
            os.symlink(os.fsencode(op.to), name, dir_fd=at)
        case Fifo() | Device() | Whiteout():
            kind, mode, device = _node(op)
            os.mknod(name, kind | 0o600, device, dir_fd=at)
            os.chmod(name, mode, dir_fd=at)


def _node(op: Fifo | Device | Whiteout) -> tuple[int, int, int]:
    """File type, mode and device number of a node."""
    match op:
        case Fifo():
            return stat.S_IFIFO, op.mode, 0
        case Whiteout():
            return stat.S_IFCHR, 0, 0
        case Device():
            kind = stat.S_IFBLK if op.block else stat.S_IFCHR
            return kind, op.mode, os.makedev(op.major, op.minor)


def _write(at: int, name: bytes, op: File | Sparse) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=at)
    with os.fdopen(file, "wb", buffering=0) as out:
        if isinstance(op, File):
            out.write(op.data)
        else:
            out.truncate(op.size)
            for offset, piece in op.data:
                os.pwrite(out.fileno(), piece, offset)
        os.fchmod(out.fileno(), op.mode)


def docker_size(ops: Iterable[Op]) -> int:
    """What Docker records as the layer's size in bytes, see docs/explanation/accounting.md.

    The lengths of all that is no folder, symbolic links counting their
    target's length, every inode once.
    """
    total = 0
    for op in ops:
        match op:
            case File():
                total += op.size if op.content is None else len(op.content)
            case Sparse():
                total += op.size
            case Symlink():
                total += len(os.fsencode(op.to))
            case _:
                pass  # folders and nodes have no length; a hard link's inode counts already
    return total


def tar_digest(ops: Iterable[Op]) -> str:
    """The diff_id of a layer with this content: the digest of its tar stream."""
    total = hashlib.sha256()
    for piece in tar_stream(ops):
        total.update(piece)
    return "sha256:" + total.hexdigest()


def tar_stream(ops: Iterable[Op]) -> Iterator[bytes]:
    """The tar that a layer with this content is unpacked from, piece by piece.

    Deletions are the entries ``.wh.<name>`` and ``.wh..wh..opq`` of the OCI
    image spec, "Representing Changes".
    """
    for op in with_parents(ops):
        for header, content in _tar_entries(op):
            yield header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            size = 0
            for piece in content:
                size += len(piece)
                yield piece
            yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def tar_of(*ops: Op) -> bytes:
    """The whole of that tar."""
    return b"".join(tar_stream(ops))


def tar_headers(ops: Iterable[Op]) -> Iterator[tuple[bytes, str, int]]:
    """Header bytes, name and content length of each entry of that tar."""
    for op in with_parents(ops):
        for header, _ in _tar_entries(op):
            block = header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            yield block, header.name, header.size


def _tar_entries(op: Op) -> Iterator[tuple[tarfile.TarInfo, Iterable[bytes]]]:
    header = tarfile.TarInfo(os.fsdecode(op.path))
    header.mtime = MTIME
    # Whoever unpacks a hard link gives its mode to the inode.
    unsaid = {Symlink: 0o777, Link: 0o644}.get(type(op), 0)
    header.mode = getattr(op, "mode", unsaid)
    content: Iterable[bytes] = ()
    match op:
        case Dir() | Opaque():
            header.type = tarfile.DIRTYPE
        case File():
            content = (op.data,)
            header.size = len(op.data)
        case Sparse():
            content = _sparse_content(op)
            header.size = op.size
        case Link() | Symlink():
            header.type = tarfile.LNKTYPE if isinstance(op, Link) else tarfile.SYMTYPE
            header.linkname = os.fsdecode(op.to)
        case Fifo():
            header.type = tarfile.FIFOTYPE
        case Device():
            header.type = tarfile.BLKTYPE if op.block else tarfile.CHRTYPE
            header.devmajor, header.devminor = op.major, op.minor
        case Whiteout():
            folder, name = os.path.split(header.name)
            header.name = os.path.join(folder, ".wh." + name)
    yield header, content
    if isinstance(op, Opaque):
        marker = tarfile.TarInfo(header.name + "/.wh..wh..opq")
        marker.mtime = MTIME
        yield marker, ()


def _sparse_content(op: Sparse) -> Iterator[bytes]:
    """The file's content, holes as zeros, never more than a piece in memory."""
    for start in range(0, op.size, _CHUNK):
        chunk = io.BytesIO(bytes(min(_CHUNK, op.size - start)))
        for offset, piece in op.data:
            low = max(offset, start)
            high = min(offset + len(piece), start + len(chunk.getbuffer()))
            if low < high:
                chunk.seek(low - start)
                chunk.write(piece[low - offset : high - offset])
        yield chunk.getvalue()
