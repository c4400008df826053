"""Reading the files of a Compose App, which may be anything.

A file is read only if it is a regular one, of bounded length, and lies inside
the Apps root once all symlinks are followed.
"""

import os

from layerscan.errors import ComposeError
from layerscan.files.safefs import open_regular
from layerscan.text import printable


def exists(path: str) -> bool:
    """Whether there is anything at `path`, a symlink that leads nowhere included."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None
    return True


def read_text(path: str, *, root: str, longest: int) -> str:
    """Content of the UTF-8 file `path`, which may be a symlink, without a byte order mark.

    ComposeError where it is missing, unreadable, outside of the Apps root `root`, no regular
    file, of more than `longest` bytes, or no UTF-8.
    """
    try:
        return _read(path, root, longest).decode("utf-8-sig")
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ComposeError(f"{printable(path)}: is not UTF-8 at byte {error.start}") from None


def _read(path: str, root: str, longest: int) -> bytes:
    real, real_root = os.path.realpath(path, strict=True), os.path.realpath(root, strict=True)
    if os.path.commonpath([real, real_root]) != real_root:
        raise _outside(path, root)
    descriptor, _ = open_regular(real)
    try:
        # Where it is that was opened: since it was looked up, another folder or a link
        # may have come into its place.
        opened = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.commonpath([opened, real_root]) != real_root:
            raise _outside(path, root)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(longest + 1)
    finally:
        os.close(descriptor)
    if len(content) > longest:
        raise ComposeError(f"{printable(path)}: is longer than {longest} bytes")
    return content


def _outside(path: str, root: str) -> ComposeError:
    return ComposeError(f"{printable(path)}: is a symlink that leads out of {printable(root)}")
