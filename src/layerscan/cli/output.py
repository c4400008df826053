"""Where output goes: data to stdout or atomically to a file, messages to stderr."""

import os
import sys
from contextlib import contextmanager
from errno import EPIPE

from layerscan.errors import LayerscanError
from layerscan.text import printable

TYPE_CHECKING = False  # as in layerscan.cli
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from layerscan.prediction.images import Prediction
    from layerscan.scanning.result import Scan


class Manner:
    """How this run is to talk to people, by the options that all commands have."""

    quiet = False  # only errors, and data
    coloured = True  # colour and progress, where a terminal takes them


manner = Manner()


def complain(kind: str, *messages: str) -> None:
    """For each message a line on stderr: ``layerscan: warning: …``; raises as `write_message`.

    GitHub Actions gets errors and warnings once more, to show beside the job. With ``-q``
    there are only errors.
    """
    if manner.quiet and kind != "error":
        return
    is_shown = kind != "note" and os.environ.get("GITHUB_ACTIONS") == "true"
    for message in messages:
        text = printable(message, longest=None)
        write_message(f"layerscan: {kind}: {text}\n")
        if is_shown:
            # docs.github.com, "Workflow commands for GitHub Actions"; it is one line already.
            write_message(f"::{kind} title=layerscan::{text.replace('%', '%25')}\n")


def write_message(text: str) -> None:
    """Write lines that are fit to print to stderr; BrokenPipeError where nobody reads it."""
    try:
        sys.stderr.write(text)
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


def may_be_styled(stream: "TextIO") -> bool:
    """Whether `stream` is a terminal that does more than write one character after the other."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def may_be_coloured(stream: "TextIO") -> bool:
    """The same, and the user has nothing against it."""
    return may_be_styled(stream) and manner.coloured and not os.environ.get("NO_COLOR")


def is_for_people() -> bool:
    """Whether stderr is a terminal that is to show progress."""
    return may_be_coloured(sys.stderr) and not manner.quiet


def is_stdout(path: str) -> bool:
    """Whether `path`, as ``-o`` takes it, means stdout."""
    return path in ("-", "/dev/stdout")


def check_out_file(path: str, option: str = "-o") -> None:
    """Refuse a `path` of an option that cannot be written before the work, not after it."""
    if is_stdout(path):
        return
    if not path:
        raise LayerscanError(f"{option} takes the name of a file, not an empty one")
    from layerscan.files.writing import located

    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise LayerscanError(f"{path}: is a directory; {option} takes a file")
    if not os.path.isdir(folder):
        raise LayerscanError(f"{path}: there is no folder {folder}; make it first")
    with _told(path), located(path) as (at, _):
        if _is_special(path):
            if not os.access(path, os.W_OK):
                raise LayerscanError(f"{path}: no permission to write to it")
        elif not os.access(".", os.W_OK, dir_fd=at):
            raise LayerscanError(f"{path}: no permission to write in {folder}")


def check_outputs(out_file: str | None, report: str | None) -> None:
    """The same for ``-o``, and where it shares stdout with a report, that of ``--format``."""
    if out_file is None:
        return
    check_out_file(out_file)
    if is_stdout(out_file) and report is not None:
        raise LayerscanError(f"-o {out_file} and --format both want stdout: give one of them")


def write_metadata(path: str, result: "Scan | Prediction", *, by_arch: bool) -> int:
    """Write the layers metadata of a result, of one architecture or `by_arch`; gives its length."""
    from layerscan import layersmeta

    if by_arch:
        data = layersmeta.dumps_by_arch(result.documents())
    else:
        data = layersmeta.dumps(result.document())
    write_data(path, data)
    return len(data)


def print_json(document: object) -> None:
    """Print a report as JSON: every figure in bytes, digests in full."""
    import json

    # The same text to a reader of JSON, and no command to GitHub Actions.
    print(json.dumps(document, indent=2).replace("##[", "#\\u0023["))


def write_data(path: str, data: bytes) -> None:
    """Write `data` to the file `path`, whole or not at all; ``-`` is stdout.

    A new file takes the old one's place only when all of it is on the disk; a
    symlink stays, its target is replaced; see `layerscan.files.writing`. LayerscanError
    where it cannot be written: what was there is untouched; of stdout, it is an OSError.
    """
    if is_stdout(path):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from layerscan.files.writing import write_file, write_special

    with _told(path):
        (write_special if _is_special(path) else write_file)(path, data)


def write_digests(path: str, data: bytes) -> None:
    """The same, but into the very file that is there: a CI run may have it open."""
    from layerscan.files.writing import write_in_place

    with _told(path):
        written = not is_stdout(path) and write_in_place(path, data)
    if not written:
        write_data(path, data)


@contextmanager
def _told(path: str) -> "Iterator[None]":
    """What goes wrong with the file is told as its."""
    try:
        yield
    except OSError as error:
        raise LayerscanError(f"{path}: cannot be written: {error.strerror}") from None


def _is_special(path: str) -> bool:
    """Whether `path` is there and no regular file: a FIFO, /dev/null, /dev/fd/63.

    To be asked of the path as given: what /dev/fd/63 links to is no path.
    """
    return os.path.exists(path) and not os.path.isfile(path)
