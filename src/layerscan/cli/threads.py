"""The option ``--threads``, which every command that walks or reads layers has."""

import argparse


def add_threads_argument(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup",
    meaning: str = "threads of the walk (default: auto)",
) -> None:
    """Declare ``-j/--threads``."""
    parser.add_argument("-j", "--threads", metavar="N", type=_threads, help=meaning)


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads")
    return int(text[:9])
