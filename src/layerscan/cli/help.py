"""The help of commands: what most calls need on one screen, and all of it with ``--help-all``.

Loaded where help is asked for only.
"""

import argparse
import sys
from collections.abc import Iterator
from textwrap import fill, wrap

_FEW = {
    "scan": "store data-root image apps-root tag arch out-file by-arch format html compare "
    "max-usage",
    "df": "store data-root list top format html out-file",
    "reclaim": "store data-root unused older-than except need format",
    "publish": "apps-root target layers-meta predict tag arch digest-file dry-run out-dir",
    "predict": "apps-root tag arch device fs out-file cache",
    "check": "app layers-meta arch policy watermark device installed predict format",
}
"""Of commands with many options, those that ``--help`` shows; the others are rarely used."""

_OF_ALL = "help quiet verbose"
_WIDTH = 80  # columns of the usage
_EXAMPLES = 2  # in the short help


def help_of(parser: argparse.ArgumentParser) -> str:
    """What ``--help`` prints: all of a short help, of a long one what most calls need."""
    few = _FEW.get(parser.prog.rpartition(" ")[2])
    if few is None:
        return parser.format_help()
    wanted = {f"--{name}" for name in f"{few} {_OF_ALL}".split()}
    actions = parser._actions  # noqa: SLF001 - argparse has no other way to them, shtab uses it too
    positionals = [one for one in actions if not one.option_strings]
    shown = [one for one in actions if wanted.intersection(one.option_strings)]
    formatter = _ShortFormatter(parser.prog)
    formatter.add_text(_usage(parser))
    formatter.add_text(parser.description)
    for title, part in (("arguments", positionals), ("options", shown)):
        formatter.start_section(title)
        formatter.add_arguments(part)
        formatter.end_section()
    formatter.add_text("\n".join(("examples:", *_examples(parser.epilog or ""))))
    formatter.add_text(f"'{parser.prog} --help-all' shows all options.")
    return formatter.format_help()


def _usage(parser: argparse.ArgumentParser) -> str:
    """What a call must have; the options are beneath."""
    groups = [one for one in parser._mutually_exclusive_groups if one.required]  # noqa: SLF001
    either = [one for group in groups for one in group._group_actions]  # noqa: SLF001
    needed = [
        one
        for one in parser._actions  # noqa: SLF001
        if one.required or one in either or not one.option_strings
    ]
    formatter = _ShortFormatter(f"{parser.prog} [OPTIONS]", width=sys.maxsize)
    formatter.add_usage(None, needed, groups)
    # A value stays with the dots that say there may be more of it.
    usage = formatter.format_help().strip().replace(" ...", "\N{NO-BREAK SPACE}...")
    lines = fill(usage, _WIDTH, subsequent_indent=" " * len("usage: "), break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def _examples(epilog: str) -> Iterator[str]:
    """The lines of the first examples of an epilog; one may go on after a backslash."""
    left, is_more = _EXAMPLES, False
    for line in epilog.partition("examples:\n")[2].splitlines():
        left -= not is_more
        if left < 0:
            return
        is_more = line.endswith("\\")
        yield line


class _ShortFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows an option by its first short and first long name, with its value once."""

    def __init__(self, prog: str, width: int | None = None) -> None:
        super().__init__(prog, max_help_position=28, width=width)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        long = next(name for name in action.option_strings if name.startswith("--"))
        short = [name for name in action.option_strings if not name.startswith("--")]
        value = "" if action.nargs == 0 else f" {action.metavar or _choices(action)}"
        return f"{', '.join([*short[:1], long])}{value}"


def _choices(action: argparse.Action) -> str:
    """What an option takes that has no name for it; many choices stand in its help, too."""
    return "|".join(map(str, action.choices or ()))
