"""The parser of the whole command line, with one module for each command."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from layerscan.cli import (
    check,
    completion,
    device,
    df,
    diff,
    du,
    inspect,
    merge,
    predict,
    publish,
    reclaim,
    scan,
    stores,
)
from layerscan.cli.output import complain
from layerscan.cli.status import ExitStatus
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_COMMANDS = {
    "scan": scan,
    "df": df,
    "reclaim": reclaim,
    "merge": merge,
    "publish": publish,
    "predict": predict,
    "inspect": inspect,
    "check": check,
    "diff": diff,
    "device": device,
    "stores": stores,
    "du": du,
    "completion": completion,
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose help is output like any other."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**settings)
        self.given: Sequence[str] = ()  # the words that it is to parse
        self.commands: dict[str, _Parser] = {}

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        from layerscan.cli.help import help_of

        # argparse itself passes over what it cannot write.
        print(help_of(self), end="", file=file)

    def error(self, message: str) -> NoReturn:
        from layerscan.cli.meant import hint_at_options

        hint = hint_at_options(self.given, self._option_string_actions)
        complain("error", f"{message}{hint or ';'} see {self.prog} --help")
        self.exit(ExitStatus.BAD_INPUT)


class _AllHelp(argparse.Action):
    """Prints the help of every option, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(parser.format_help(), end="")
        parser.exit()


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options that the `arguments` are, a command first; a usage error ends the process."""
    name = arguments[0]
    if name not in _COMMANDS and not name.startswith("-"):
        from layerscan.cli.meant import not_a_command

        raise LayerscanError(not_a_command(name, _COMMANDS))
    parser = build_parser()
    command = parser.commands.get(name, parser)
    command.given = arguments[1:]
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        takes_folder = hasattr(options, "data_root") and any(map(os.path.isdir, unknown))
        hint = "; -d takes the folder of a store" if takes_folder else ""
        command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def build_parser() -> _Parser:
    """The parser of all commands."""
    parser = _Parser(
        prog="layerscan",
        description="Know what every container image layer really costs on disk.",
        epilog="Without a command it scans: 'layerscan scan --help' has the options. "
        "Exit status: 0 done; 1 'check' finds that it does not fit; 2 usage error or bad "
        "input; 3 something could not be read; 130 interrupted.",
        allow_abbrev=False,
    )
    # For --help only: `main` answers it before there is a parser.
    parser.add_argument("-V", "--version", action="store_true", help="show the version and exit")
    _add_common_arguments(parser)
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
        _add_common_arguments(command)
        command.set_defaults(run=module.run, parser=parser)
        parser.commands[name] = command
    return parser


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--help-all", action=_AllHelp, nargs=0, help="show every option and exit")
    add("-q", "--quiet", action="store_true", help="print only errors and data")
    # `main` itself looks for it: something may fail before the arguments are known.
    add("-v", "--verbose", action="store_true", help="say where the time went")
    add("--no-color", action="store_true", help="no colour and no progress bar, as with NO_COLOR")
