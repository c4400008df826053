"""Where output goes: data to stdout or atomically to a file, messages to stderr."""

import os
import stat
import sys
from contextlib import suppress
from errno import EPIPE

from layerscan.errors import LayerscanError
from layerscan.text import printable


def complain(kind: str, message: str) -> None:
    """One line on stderr: ``layerscan: warning: …``.

    Raises:
        BrokenPipeError: stderr is a pipe that nobody reads.
    """
    line = printable(message, longest=None)
    try:
        print(f"layerscan: {kind}: {line}", file=sys.stderr)
    except OSError as error:
        if error.errno == EPIPE:
            raise
        # Of anything else, a full disk say, there is nowhere left to tell.
        drop_output()


def drop_output() -> None:
    """Let go of what is buffered and cannot be written, or the interpreter's end complains."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_for_people() -> bool:
    """Whether stderr is a terminal that may show colour and progress."""
    return (
        sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def is_stdout(path: str) -> bool:
    """Whether `path`, as ``-o`` takes it, means stdout."""
    return path in ("-", "/dev/stdout")


def check_out_file(path: str) -> None:
    """Find out that `path` cannot be written before the work, not after it.

    Raises:
        LayerscanError: it cannot.
    """
    if is_stdout(path):
        return
    if not path:
        raise LayerscanError("-o takes the name of a file, not an empty one")
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise LayerscanError(f"{path}: is a directory; -o takes a file")
    if not os.path.isdir(folder):
        raise LayerscanError(f"{path}: there is no folder {folder}; make it first")
    writable = path if _is_special(path) else folder
    if not os.access(writable, os.W_OK):
        raise LayerscanError(f"{path}: no permission to write in {writable}")


def check_outputs(out_file: str | None, report: str | None) -> None:
    """The same for ``-o``, and that it does not share stdout with a report.

    Args:
        out_file: what ``-o`` says, None without it.
        report: what ``--format`` says, None without it.

    Raises:
        LayerscanError: the file cannot be written, or both want stdout.
    """
    if out_file is None:
        return
    check_out_file(out_file)
    if is_stdout(out_file) and report is not None:
        raise LayerscanError(f"-o {out_file} and --format both want stdout: give one of them")


def write_data(path: str, data: bytes) -> None:
    """Write `data` to the file `path`, whole or not at all; ``-`` is stdout.

    A new file takes the old one's place only when all of it is on the disk; a
    symlink stays, its target is replaced.

    Raises:
        LayerscanError: it cannot be written; what was there is untouched.
        OSError: stdout cannot be written.
    """
    if is_stdout(path):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        if _is_special(path):
            with open(path, "wb") as device:
                device.write(data)
        else:
            _replace(os.path.realpath(path), data)
    except OSError as error:
        raise LayerscanError(f"{path}: cannot be written: {error.strerror}") from None


def _is_special(path: str) -> bool:
    """Whether `path` is there and no regular file: a FIFO, /dev/null, /dev/fd/63.

    To be asked of the path as given: what /dev/fd/63 links to is no path.
    """
    return os.path.exists(path) and not os.path.isfile(path)


def _replace(target: str, data: bytes) -> None:
    folder, name = os.path.split(target)
    # Of the name so much that 255 bytes are enough, whatever its characters.
    temporary = os.path.join(folder, f".{name[:50]}.{os.urandom(8).hex()}.tmp")
    try:
        # Made in here, and not by tempfile: an interrupt at any moment leaves nothing.
        with open(temporary, "xb", opener=_open_for_me) as file:
            os.fchmod(file.fileno(), _mode(target))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        # It may not be there yet, or no more.
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _open_for_me(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mode(target: str) -> int:
    """The mode of the file that is replaced, or that of a new one."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
