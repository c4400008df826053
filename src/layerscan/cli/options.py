"""Options that several commands have: what is to be printed where, threads, architectures."""

import argparse
from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from collections.abc import Callable

    Arguments = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 - its type


def whole_number(what: str, least: int = 1, most: int = 10**9) -> "Callable[[str], int]":
    """What reads a number from `least` to `most`, and says of another text that it is no `what`."""

    def parse(text: str) -> int:
        # Of more digits than that, the number makes no difference.
        number = int(text.lstrip("0")[:9] or 0) if text.isascii() and text.isdigit() else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return number

    return parse


def add_threads_argument(
    parser: "Arguments", meaning: str = "threads of the walk (default: auto)"
) -> None:
    """Declare ``-j/--threads``."""
    number = whole_number("number of threads")
    parser.add_argument("-j", "--threads", metavar="N", type=number, help=meaning)


def add_format_argument(
    parser: "Arguments", for_people: str, meaning: str = "", *, markdown: bool = False
) -> None:
    """Declare ``--format``: JSON, maybe Markdown, or by default what is for people."""
    text = f"{meaning} (default: {for_people})".strip()
    choices = [for_people, "json", *(["markdown"] if markdown else [])]
    parser.add_argument("--format", choices=choices, default=for_people, help=text)


def add_out_file_argument(parser: "Arguments") -> None:
    """Declare ``-o`` of a command that has nothing else to print."""
    parser.add_argument(
        "-o", "--out-file", metavar="FILE", default="-", help="where to write (default: stdout)"
    )


def add_report_arguments(parser: "Arguments", by_arch: str) -> None:
    """Declare what a command has that prints a report, or writes layers metadata."""
    add = parser.add_argument
    add("-o", "--out-file", metavar="FILE", help="write the layers metadata there; - is stdout")
    add("--by-arch", action="store_true", help=by_arch)
    shown = "the report on stdout (default: table, none with -o)"
    add("--format", choices=["table", "json", "markdown", "prometheus"], help=shown)


def add_accounting_argument(parser: "Arguments") -> None:
    """Declare ``--accounting``."""
    parser.add_argument(
        "--accounting",
        choices=["docker", "exact"],
        default="docker",
        help="usage as update clients expect it, or every block that a layer makes the "
        "engine use (default: docker)",
    )


def asked_architectures(options: argparse.Namespace) -> frozenset[str] | None:
    """The architectures that are asked for, None for all; LayerscanError where one is none."""
    from layerscan.layersmeta import is_architecture

    text: str | None = options.arch
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not is_architecture(name):
            raise LayerscanError(f"--arch {text}: {name!r} is no architecture name")
    if not names:
        raise LayerscanError("--arch takes architectures: amd64,arm64")
    return frozenset(names)
