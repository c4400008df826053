"""Files that are written whole or not at all, and only where the caller means.

Owns how an output file comes to its place: by descriptors, in a folder that others may
write to as well. A symbolic link there is followed only if it is the caller's or
root's, or in a folder that nobody else can write to; any other is a `LayerscanError`.
That is stricter than the kernel's fs.protected_symlinks (proc(5)), which may be off, and
which lets the owner of a folder lead others. What cannot be done is an `OSError`.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from layerscan.errors import LayerscanError
from layerscan.text import printable

_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def located(path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Where the file that `path` means is or would be, no part of it a symbolic link.

    It is the folder's descriptor, opened with O_PATH until the end of the ``with``, and the
    name in there. With `make`, folders on the way that are not there are made.
    """
    left = _parts(path)
    folder = os.open("/" if path.startswith("/") else ".", os.O_PATH | os.O_CLOEXEC)
    links = 0
    try:
        while True:
            name = left.pop()
            target = _link_target(folder, name, path)
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise LayerscanError(f"{printable(path)}: leads over too many symbolic links")
                left += _parts(target)
                if target.startswith("/"):
                    folder = _exchanged(folder, os.open("/", os.O_PATH | os.O_CLOEXEC))
            elif left:
                if make:
                    _make(folder, name)
                folder = _exchanged(folder, os.open(name, _FOLDER, dir_fd=folder))
            else:
                break
        yield folder, name
    finally:
        os.close(folder)


def open_folder(path: str) -> int:
    """Open the folder `path`, and give its descriptor, for the caller to close.

    It is made if it is not there, and so are those that it is in. Nobody but the caller
    can write to what is made.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with located(path, make=True) as (folder, name):
            _make(folder, name)
            return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        # The whole path says more than the part of it that failed.
        raise OSError(error.errno, error.strerror, path) from None


def is_others(found: os.stat_result) -> bool:
    """Whether others can have written what has this status: neither the caller nor root."""
    return found.st_uid not in (os.geteuid(), 0) or bool(found.st_mode & _WRITABLE_BY_OTHERS)


def write_file(path: str, data: bytes | BinaryIO) -> None:
    """Make `data`, or what is read of it, the content of the file `path`, whole or not at all.

    A new file takes the old one's place only when all of it is on the disk. It has the
    mode of the old one, without set-user-ID and the like, if that is the caller's own
    and nobody else can write to it; else that of a new file. If it cannot be written,
    what was there is untouched.
    """
    with located(path) as (place, name):
        # For fsync: what is opened with O_PATH cannot be synchronized.
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        try:
            write_in(folder, name, data)
        finally:
            os.close(folder)


def write_in(folder: int, name: str, data: bytes | BinaryIO) -> None:
    """As `write_file`, in an open folder. A link of that name is replaced, not followed."""
    replace(folder, name, data, kept=_kept_mode(_stat(folder, name)))
    os.fsync(folder)


def replace(
    folder: int,
    name: str,
    data: bytes | BinaryIO,
    *,
    mode: int = 0o666,
    kept: int | None = None,
    durable: bool = True,
) -> None:
    """Make `data`, or what is read of it, the content of a file, whole or not at all.

    Its mode is `kept`, if there is one, else `mode` less the umask. If it is to be
    `durable`, all of it is on the disk before it takes the old one's place.
    """
    # Of the name so much that 255 bytes are enough, whatever its characters.
    temporary = f".{name[:50]}.{os.urandom(8).hex()}.tmp"
    # Made in here, and not by tempfile: an interrupt at any moment leaves nothing.
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        created = os.open(temporary, flags, mode if kept is None else 0o600, dir_fd=folder)
        with open(created, "wb") as new:
            if isinstance(data, bytes):
                new.write(data)
            else:
                shutil.copyfileobj(data, new)
            new.flush()
            if kept is not None:
                os.fchmod(created, kept)
            if durable:
                os.fsync(created)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        # It may not be there yet, or no more.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


def write_special(path: str, data: bytes) -> None:
    """Write `data` to what is there and is no regular file: a FIFO, ``/dev/fd/63``."""
    with located(path) as (folder, name):
        if _stat(folder, name) is None:
            # Where ``/dev/fd/63`` leads has no path.
            opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        else:
            opened = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with open(opened, "wb") as device:
        device.write(data)


def write_in_place(path: str, data: bytes) -> bool:
    """Write `data` into the very file of the caller's that is there; whether there is one."""
    with located(path) as (folder, name):
        there = _stat(folder, name)
        if there is None or not stat.S_ISREG(there.st_mode) or there.st_uid != os.geteuid():
            return False
        opened = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with open(opened, "wb") as file:
        file.write(data)
        file.truncate(len(data))
        os.fsync(opened)
    return True


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _parts(path: str) -> list[str]:
    """The parts of a path, the last one first; without a last name, that is ``.``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return (parts or ["."])[::-1]


def _exchanged(old: int, new: int) -> int:
    os.close(old)
    return new


def _link_target(folder: int, name: str, path: str) -> str | None:
    """Where the symbolic link `name` leads; None if it is not one."""
    try:
        found = os.open(name, _ANYTHING, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        link = os.fstat(found)
        if not stat.S_ISLNK(link.st_mode):
            return None
        if link.st_uid not in (os.geteuid(), 0) and is_others(os.fstat(folder)):
            raise LayerscanError(
                f"{printable(path)}: {printable(name)} is a symbolic link of user {link.st_uid}, "
                "in a folder that others can write to: it is not followed; give the path that "
                "you mean"
            )
        # Of the very link that was looked at.
        return os.readlink("", dir_fd=found)
    finally:
        os.close(found)


def _make(folder: int, name: str) -> None:
    """Make the folder `name`, if nothing of that name is there."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)


def _kept_mode(old: os.stat_result | None) -> int | None:
    """The mode of the file that is replaced, None where its mode does not count."""
    if old is None or not stat.S_ISREG(old.st_mode) or old.st_uid != os.geteuid():
        return None
    return None if old.st_mode & _WRITABLE_BY_OTHERS else old.st_mode & 0o777
