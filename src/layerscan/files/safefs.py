"""Reading files in folders that may be damaged, hostile or in use.

Owns how a file is opened: relative to the open folder it is in, never through
a symbolic link, never waiting for a FIFO, at most so many bytes. Knows nothing
of what the folder is: a store, an App, a layout, a cache.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# O_NONBLOCK: opening a FIFO must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class Fault(Exception):  # noqa: N818 - kept as a value more often than raised
    """Something in a folder that cannot be used. Who reads the folder makes a message of it.

    Attributes:
        where: absolute path of the file or folder.
        what: what is wrong with it, to be read after its path and a colon.
        gone: it is not there: if the engine is at work, it may just have been
            removed, and what is here in its place may be found by reading again.
    """

    def __init__(self, where: str, what: str, *, gone: bool = False) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what
        self.gone = gone


class IrregularFileError(OSError):
    """A regular file was to be opened, and what is there is none."""


class FolderEntry(NamedTuple):
    """What a name in a folder is.

    Attributes:
        kind: the file type, ``stat.S_IFMT`` of its mode.
        identity: differs if the entry was replaced or written to meanwhile.
    """

    kind: int
    identity: tuple[int, int, int, int]


class Folder:
    """A folder held open, so that what its path means cannot change meanwhile.

    Args:
        path: absolute path of the folder.
        within: the open folder that it is directly in; without it `path` is
            opened as it is, its last component being no symbolic link.
        follow: whether it may be one after all: of a folder that the user named.

    Attributes:
        path: as given.
        fd: its descriptor, until `close`.

    Raises:
        Fault: it cannot be opened, or is no folder.
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
        """Open a folder inside, each of `names` inside the one before it.

        Raises:
            Fault: one of them cannot be opened, or is no folder.
        """
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
        try:
            return self.folder(*names)
        except Fault as fault:
            if fault.gone:
                return None
            raise

    def open(self, name: str) -> tuple[int, int]:
        """Open the regular file `name` to read it.

        Returns:
            Its descriptor, for the caller to close, and its length in bytes.

        Raises:
            Fault: it cannot be opened, or is no regular file.
        """
        try:
            file, found = open_regular(name, self.fd)
        except OSError as error:
            raise _fault(error, self.where(name), name, self.fd, stat.S_IFREG) from error
        return file, found.st_size

    def read(self, name: str, limit: int) -> bytes:
        """All of the regular file `name`: four system calls.

        Raises:
            Fault: it cannot be read, is no regular file, or is longer than
                `limit` bytes.
        """
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
        try:
            return self.read(name, limit)
        except Fault as fault:
            if fault.gone:
                return None
            raise

    def look(self, name: str) -> FolderEntry | None:
        """What `name`, a path within this folder, is; None if it is not there.

        The last component is not followed; for a path of several components
        the caller has looked at those before it.

        Raises:
            Fault: it cannot be looked at.
        """
        found = self._stat(name)
        if found is None:
            return None
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        return FolderEntry(stat.S_IFMT(found.st_mode), identity)

    def require(self, name: str, kind: int) -> None:
        """Make sure that `name`, a path as in `look`, is there and of `kind`.

        Raises:
            Fault: it is not.
        """
        found = self._stat(name)
        if found is None:
            raise Fault(self.where(name), "is missing", gone=True)
        there = stat.S_IFMT(found.st_mode)
        if there != kind:
            raise Fault(self.where(name), _is_not(kind, there))

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault(self.where(name), reason(error)) from error

    def folders(self) -> set[str]:
        """The names of the folders in this one: cheaper than to `require` each of them.

        Raises:
            Fault: it cannot be listed.
        """
        try:
            with os.scandir(self.fd) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError as error:
            raise Fault(self.path, reason(error)) from error

    def names(self) -> list[str]:
        """The names in this folder, sorted.

        Raises:
            Fault: it cannot be listed.
        """
        try:
            return sorted(os.listdir(self.fd))
        except OSError as error:
            raise Fault(self.path, reason(error)) from error


class Opened:
    """What is held open while it is read, and closed at the end of a ``with``."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def or_fault(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | Fault:
    """What `read` gives, or the fault that it raises."""
    try:
        return read(*args, **options)
    except Fault as fault:
        return fault


def open_regular(
    name: str, within: int | None = None, *, follow: bool = False
) -> tuple[int, os.stat_result]:
    """Open a regular file to read it.

    Args:
        name: its name in the folder `within`, or without that its path.
        within: descriptor of the folder.
        follow: whether the last component may be a symbolic link; for a path that the
            user gave.

    Returns:
        Its descriptor, for the caller to close, and what it is.

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
