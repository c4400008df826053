"""The option ``--threads``, which every command that walks has."""

import argparse


def add_threads_argument(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Declare ``-j/--threads``."""
    parser.add_argument(
        "-j", "--threads", metavar="N", type=_threads, help="threads of the walk (default: auto)"
    )


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads")
    return int(text[:9])
