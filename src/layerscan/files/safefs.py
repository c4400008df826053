"""Reading files in folders that may be damaged, hostile or in use.

Owns how a file is opened: relative to the open folder it is in, never through
a symbolic link, never waiting for a FIFO, at most so many bytes. Knows nothing
of what the folder is: a store, an App, a layout, a cache.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# O_NONBLOCK: opening a FIFO must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class Fault(Exception):  # noqa: N818 - kept as a value more often than raised
    """Something in a folder that cannot be used. Who reads the folder makes a message of it.

    It is at the absolute path `where`, and `what` is wrong with it, to be read after the path
    and a colon. It is `gone` if it is not there: an engine at work may just have removed it,
    and what is there in its place may be found by reading again.
    """

    def __init__(self, where: str, what: str, *, gone: bool = False) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what
        self.gone = gone


class IrregularFileError(OSError):
    """A regular file was to be opened, and what is there is none."""


class FolderEntry(NamedTuple):
    """What a name in a folder is: its ``stat.S_IFMT``, and what differs if it was changed."""

    kind: int
    identity: tuple[int, int, int, int]


class Folder:
    """A folder held open, so that what its path means cannot change meanwhile.

    This and all methods raise `Fault` for what cannot be used, or is of another kind.

    Args:
        path: absolute path of the folder.
        within: the open folder that it is directly in.
        follow: whether `path` may be a symbolic link: of a folder that the user named.
    """

    def __init__(self, path: str, within: "Folder | None" = None, *, follow: bool = False) -> None:
        self.path = path
        at = None if within is None else within.fd
        name = path if within is None else os.path.basename(path)
        flags = _FOLDER & ~os.O_NOFOLLOW if follow else _FOLDER
        try:
            self.fd: int = os.open(name, flags, dir_fd=at)
        except OSError as error:
            raise _fault(error, path, name, at, stat.S_IFDIR) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. The folder cannot be used any more."""
        os.close(self.fd)

    def where(self, name: str) -> str:
        """The absolute path of `name` in this folder."""
        return f"{self.path}/{name}"

    def folder(self, *names: str) -> "Folder":
        """Open a folder inside, each of `names` inside the one before it."""
        found = self
        for name in names:
            outer = found
            try:
                found = Folder(outer.where(name), within=outer)
            finally:
                if outer is not self:
                    outer.close()
        return found

    def folder_if_there(self, *names: str) -> "Folder | None":
        """As `folder`, but None where one of them is not there."""
        return _if_there(self.folder, *names)

    def open(self, name: str) -> tuple[int, int]:
        """Open the regular file `name`: its descriptor, for the caller to close, and its length."""
        try:
            file, found = open_regular(name, self.fd)
        except OSError as error:
            raise _fault(error, self.where(name), name, self.fd, stat.S_IFREG) from error
        return file, found.st_size

    def read(self, name: str, limit: int) -> bytes:
        """All of the regular file `name`, of at most `limit` bytes: four system calls."""
        file, length = self.open(name)
        try:
            if length > limit:
                raise Fault(self.where(name), f"is longer than {limit} bytes")
            # A byte more than there should be, to see that it is all.
            content = os.read(file, length + 1)
        except OSError as error:
            raise Fault(self.where(name), reason(error)) from error
        finally:
            os.close(file)
        if len(content) != length:
            # Engines replace these files whole; another reading may see it still.
            raise Fault(self.where(name), "changed while it was read", gone=True)
        return content

    def read_if_there(self, name: str, limit: int) -> bytes | None:
        """As `read`, but None where there is no such file."""
        return _if_there(self.read, name, limit)

    def look(self, name: str) -> FolderEntry | None:
        """What `name`, a path within this folder, is; None if it is not there.

        The last component is not followed. The caller has looked at those before it.
        """
        found = self._stat(name)
        if found is None:
            return None
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        return FolderEntry(stat.S_IFMT(found.st_mode), identity)

    def require(self, name: str, kind: int) -> os.stat_result:
        """Make sure that `name`, a path as in `look`, is there and of `kind`; what it is."""
        found = self._stat(name)
        if found is None:
            raise Fault(self.where(name), "is missing", gone=True)
        there = stat.S_IFMT(found.st_mode)
        if there != kind:
            raise Fault(self.where(name), _is_not(kind, there))
        return found

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault(self.where(name), reason(error)) from error

    def link(self, name: str) -> str | None:
        """What the symbolic link `name` in this folder says; None if it is not a link."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError:
            return None

    def folders(self) -> set[str]:
        """The names of the folders in this one: cheaper than to `require` each of them."""
        try:
            with os.scandir(self.fd) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError as error:
            raise Fault(self.path, reason(error)) from error

    def names(self) -> list[str]:
        """The names in this folder, sorted."""
        try:
            return sorted(os.listdir(self.fd))
        except OSError as error:
            raise Fault(self.path, reason(error)) from error


def _if_there(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
    try:
        return read(*args, **options)
    except Fault as fault:
        if fault.gone:
            return None
        raise


def or_fault(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | Fault:
    """What `read` gives, or the fault that it raises."""
    try:
        return read(*args, **options)
    except Fault as fault:
        return fault


def open_regular(
    name: str, within: int | None = None, *, follow: bool = False
) -> tuple[int, os.stat_result]:
    """Open a regular file: its descriptor, for the caller to close, and what it is.

    `name` is in the folder with the descriptor `within`, or a path. To `follow` a symbolic
    link is for a file that the user named.

    Raises:
        IrregularFileError: it is no regular file.
        OSError: it cannot be opened.
        ValueError: the name has a NUL character.
    """
    file = os.open(name, _FILE & ~os.O_NOFOLLOW if follow else _FILE, dir_fd=within)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise IrregularFileError(errno.EINVAL, "is no regular file")
    return file, found


def _fault(error: OSError, where: str, name: str, at: int | None, wanted: int) -> Fault:
    """The fault for an `open` of `name` that failed; says what is there instead."""
    if isinstance(error, FileNotFoundError):
        return Fault(where, "is missing", gone=True)
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
        try:
            kind = stat.S_IFMT(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        except OSError:
            return Fault(where, reason(error))
        return Fault(where, _is_not(wanted, kind))
    return Fault(where, reason(error))


def _is_not(wanted: int, kind: int) -> str:
    if kind == stat.S_IFLNK:
        return "is a symbolic link, which is not followed here"
    return "is no folder" if wanted == stat.S_IFDIR else "is no regular file"


def reason(error: OSError) -> str:
    """Why a system call failed, for a message."""
    if isinstance(error, PermissionError):
        return "permission denied; use sudo"
    return error.strerror or str(error)
