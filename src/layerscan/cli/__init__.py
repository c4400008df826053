"""The command line: one module per command, and here what is common to all.

Owns the exit status and what becomes of an error. Only ``cli`` prints: data to
stdout, everything else to stderr. What is imported here, every call of the
program waits for; the rest is imported where it is used.
"""

import os
import signal
import sys

from layerscan import __version__
from layerscan.cli.output import complain, drop_output, manner, write_message
from layerscan.cli.status import ExitStatus
from layerscan.errors import LayerscanError, MissingPackageError

TYPE_CHECKING = False  # type checkers know the name; importing typing costs 5 ms
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import NoReturn, TextIO


_COMMON = ("-q", "--quiet", "-v", "--verbose", "--no-color")
_INSTEAD_OF_COMMAND = ("-h", "--help", "--help-all", "-V", "--version")


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the program with `argv`, by default that of the process; returns the exit status."""
    arguments = _command_first(list(sys.argv[1:] if argv is None else argv))
    try:
        return _run(arguments)
    except BrokenPipeError:
        return _pipe_closed()
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line
        where = _where(error) if {"-v", "--verbose"}.intersection(arguments) else ""
        what = _unforeseen(error)
    # Only here the memory is free that the failed call held.
    drop_output()
    try:
        write_message(where)
        complain("error", what)
    except BrokenPipeError:
        return _pipe_closed()
    return ExitStatus.BAD_INPUT


def _command_first(arguments: list[str]) -> list[str]:
    """The arguments with the command before the options that may stand before it.

    `scan` is the default command: the script it replaces had no commands.
    """
    place = 0
    while place < len(arguments) and arguments[place] in _COMMON:
        place += 1
    first = arguments[place : place + 1]
    if first and (not first[0].startswith("-") or first[0] in _INSTEAD_OF_COMMAND):
        return [*first, *arguments[:place], *arguments[place + 1 :]]
    return ["scan", *arguments]


def _pipe_closed() -> int:
    """Whoever read the output or the messages has enough."""
    drop_output()
    return ExitStatus.PIPE_CLOSED


def _unforeseen(error: Exception) -> str:
    """What to say of an error that no command expects."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    kind = type(error).__name__
    return f"this is a fault of layerscan: {kind}: {error}; please report it with what -v shows"


def _where(error: Exception) -> str:
    """Where in the program an error comes from."""
    import traceback

    from layerscan.text import printable

    # What the error says may come from a store or a registry.
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "".join(f"{printable(line, longest=None)}\n" for line in lines)


def _run(arguments: list[str]) -> int:
    try:
        signal.signal(signal.SIGTERM, _terminate)
        _prepare_output()
        manner.quiet, manner.coloured = False, True
        status: int = ExitStatus.DONE
        if arguments[0] in ("-V", "--version"):
            print(f"layerscan {__version__}")
        elif arguments[0] == "__images":
            # For the scripts of `completion`; it is no command for people.
            from layerscan.cli.image_names import print_image_names

            print_image_names(arguments[1:])
        else:
            status = _run_command(arguments)
        sys.stdout.flush()
    except (LayerscanError, MissingPackageError) as error:
        complain("error", str(error))
        return ExitStatus.BAD_INPUT
    except KeyboardInterrupt:
        complain("error", "interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        # What cannot be read is told where it is read; left is, as a rule, a
        # full disk behind stdout.
        drop_output()
        complain("error", f"{error.filename or 'stdout'}: {error.strerror}")
        return ExitStatus.BAD_INPUT
    return status


def _run_command(arguments: list[str]) -> int:
    from layerscan.cli.summary import RunSummary

    options = _parse(arguments)
    manner.quiet, manner.coloured = options.quiet, not options.no_color
    options.summary = RunSummary()
    status: int = options.run(options)
    if options.verbose:
        options.summary.tell_times()
    return status


def _parse(arguments: list[str]) -> "argparse.Namespace":
    from layerscan.cli.parser import parse_arguments

    try:
        return parse_arguments(arguments)
    except SystemExit:
        # Of --help, whose output may be in the buffer still.
        sys.stdout.flush()
        raise


def _prepare_output() -> None:
    # Python has no stream where the caller closed the descriptor: then writing
    # data fails, as it does for other programs, and messages go nowhere.
    if sys.stdout is None:
        sys.stdout = _stream(os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = _stream(os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        # A name may hold what the terminal's encoding does not.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _stream(flags: int) -> "TextIO":
    """A stream of nothing, for the rest of the process."""
    return open(os.open(os.devnull, flags), "w", closefd=False)


def _terminate(*_: object) -> "NoReturn":
    raise SystemExit(ExitStatus.TERMINATED)
