"""``layerscan completion``: a completion script for a shell."""

import argparse

from layerscan.extras import needed

HELP = "print a shell's completion script"
DESCRIPTION = "Print the completion script of a shell."
EPILOG = """for the running shell:
  bash   eval "$(layerscan completion bash)"
  zsh    layerscan completion zsh > "${fpath[1]}/_layerscan"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="which shell")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    with needed("shtab"):
        import shtab

    print(shtab.complete(options.parser, options.shell))
    return 0
