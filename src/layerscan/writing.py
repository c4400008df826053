"""Files that are written whole or not at all, and only where the caller means.

Owns how an output file comes to its place: by descriptors, in a folder that others may
write to as well. A symbolic link there is followed only if it is the caller's or
root's, or in a folder that nobody else can write to. That is stricter than the
kernel's fs.protected_symlinks (proc(5)), which may be off, and which lets the owner of
a folder lead others.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from layerscan.errors import LayerscanError
from layerscan.text import printable

_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class FileInFolder(NamedTuple):
    """Where a file is or would be; no part of it is a symbolic link.

    Attributes:
        folder: descriptor of the folder, opened with O_PATH.
        name: of the file in it.
        path: what the user called it.
    """

    folder: int
    name: str
    path: str

    def stat(self) -> os.stat_result | None:
        """What is there, None for nothing."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


@contextmanager
def located(path: str) -> Iterator[FileInFolder]:
    """The file that `path` means; the folder is open until the end of the ``with``.

    Raises:
        LayerscanError: the path leads over a link that others may have put there.
        OSError: a folder of it is not there, or cannot be entered.
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
                folder = _exchanged(folder, os.open(name, _FOLDER, dir_fd=folder))
            else:
                break
        yield FileInFolder(folder, name, path)
    finally:
        os.close(folder)


def write_file(path: str, data: bytes | BinaryIO) -> None:
    """Make `data`, or what is read of it, the content of the file `path`, whole or not at all.

    A new file takes the old one's place only when all of it is on the disk. It has the
    mode of the old one, without set-user-ID and the like, if that is the caller's own
    and nobody else can write to it; else that of a new file.

    Raises:
        LayerscanError: the path leads over a link that others may have put there.
        OSError: it cannot be written; what was there is untouched.
    """
    with located(path) as file:
        _replace(file, data)


def write_special(path: str, data: bytes) -> None:
    """Write `data` to what is there and is no regular file: a FIFO, ``/dev/fd/63``.

    Raises:
        LayerscanError: the path leads over a link that others may have put there.
        OSError: it cannot be written.
    """
    with located(path) as file:
        if file.stat() is None:
            # Where ``/dev/fd/63`` leads has no path.
            opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        else:
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened = os.open(file.name, flags, dir_fd=file.folder)
    with open(opened, "wb") as device:
        device.write(data)


def _parts(path: str) -> list[str]:
    """The parts of a path, the last one first; without a last name, that is ``.``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return (parts or ["."])[::-1]


def _exchanged(old: int, new: int) -> int:
    os.close(old)
    return new


def _link_target(folder: int, name: str, path: str) -> str | None:
    """Where the symbolic link `name` leads, None if it is none.

    Raises:
        LayerscanError: it is one that is not followed.
    """
    try:
        found = os.open(name, _ANYTHING, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        link = os.fstat(found)
        if not stat.S_ISLNK(link.st_mode):
            return None
        if not _is_trusted(link, os.fstat(folder)):
            raise LayerscanError(
                f"{printable(path)}: {printable(name)} is a symbolic link of user {link.st_uid}, "
                "in a folder that others can write to: it is not followed; give the path that "
                "you mean"
            )
        # Of the very link that was looked at.
        return os.readlink("", dir_fd=found)
    finally:
        os.close(found)


def _is_trusted(link: os.stat_result, folder: os.stat_result) -> bool:
    mine = (os.geteuid(), 0)
    if link.st_uid in mine:
        return True
    return folder.st_uid in mine and not folder.st_mode & _WRITABLE_BY_OTHERS


def _replace(file: FileInFolder, data: bytes | BinaryIO) -> None:
    # Of the name so much that 255 bytes are enough, whatever its characters.
    temporary = f".{file.name[:50]}.{os.urandom(8).hex()}.tmp"
    # For fsync: what is opened with O_PATH cannot be synchronized.
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=file.folder)
    try:
        # Made in here, and not by tempfile: an interrupt at any moment leaves nothing.
        try:
            created = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            with open(created, "wb") as new:
                if isinstance(data, bytes):
                    new.write(data)
                else:
                    shutil.copyfileobj(data, new)
                new.flush()
                os.fchmod(created, _mode(file.stat()))
                os.fsync(created)
            os.replace(temporary, file.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            # It may not be there yet, or no more.
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _mode(old: os.stat_result | None) -> int:
    """The mode of the file that is replaced, or that of a new one."""
    if (
        old is not None
        and stat.S_ISREG(old.st_mode)
        and old.st_uid == os.geteuid()
        and not old.st_mode & _WRITABLE_BY_OTHERS
    ):
        return old.st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
