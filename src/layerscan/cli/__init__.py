"""The command line: one module per command, and here what is common to all.

Owns the parser, the exit status and what becomes of an error. Only ``cli``
prints: data to stdout, everything else to stderr.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from layerscan import __version__
from layerscan.cli import completion, du, merge, scan
from layerscan.cli.output import complain
from layerscan.cli.status import ExitStatus
from layerscan.errors import LayerscanError

_COMMANDS = {"scan": scan, "merge": merge, "du": du, "completion": completion}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        complain("error", f"{message}; see {self.prog} --help")
        self.exit(ExitStatus.BAD_INPUT)


class _Version(argparse.Action):
    """Print the version and the walk in use, without loading the walk."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from layerscan.walker import implementation_name

        try:
            print(f"layerscan {__version__} ({implementation_name()} walk)")
        except LayerscanError as error:
            parser.error(str(error))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="layerscan",
        description="Know what every container image layer really costs on disk.",
        epilog="Without a command it scans: 'layerscan scan --help' has the options. "
        "Exit status: 0 done; 2 usage error or bad input; 3 something could not be read; "
        "130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version and the walk in use, and exit"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: its arguments; default: those of the process.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # `scan` is the default command: the script it replaces had no commands.
    if not arguments or (arguments[0].startswith("-") and not _is_for_all(arguments[0])):
        arguments.insert(0, "scan")
    try:
        return _run(arguments)
    except BrokenPipeError:
        # Whoever read the output has enough.
        _drop_output()
        return ExitStatus.PIPE_CLOSED


def _run(arguments: list[str]) -> int:
    try:
        signal.signal(signal.SIGTERM, _terminate)
        _prepare_output()
        options = build_parser().parse_args(arguments)
        status: int = options.run(options)
        sys.stdout.flush()
    except LayerscanError as error:
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
        _drop_output()
        complain("error", f"{error.filename or 'stdout'}: {error.strerror}")
        return ExitStatus.BAD_INPUT
    except SystemExit:
        # Of --help and --version, whose output may be in the buffer still.
        sys.stdout.flush()
        raise
    return status


def _prepare_output() -> None:
    # Python has no stream where the caller closed the descriptor: then writing
    # data fails, as it does for other programs, and messages go nowhere.
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        # A name may hold what the terminal's encoding does not.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _drop_output() -> None:
    """Let go of what is buffered and cannot be written, or the interpreter's end complains."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_for_all(option: str) -> bool:
    return option in ("-h", "--help", "--version")


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(ExitStatus.TERMINATED)
