"""``layerscan completion``: a completion script for a shell."""

import argparse
from typing import TYPE_CHECKING

from layerscan.extras import needed

if TYPE_CHECKING:
    from collections.abc import Iterable

HELP = "print a shell's completion script"
DESCRIPTION = """Print the completion script of a shell. It completes commands, options, files
and folders, and where an image is asked for, the names in the store."""
EPILOG = """for the running shell:
  bash   eval "$(layerscan completion bash)"
  fish   layerscan completion fish | source
  zsh    layerscan completion zsh > "${fpath[1]}/_layerscan"
"""

_FOLDERS = {"DIR", "APP_DIR", "PATH"}
_FILES = {"FILE", "OLD", "NEW"}
_FOLDERS_OR_NAMES = {"app", "installed"}
_IMAGES = {"image", "images", "excepted"}

# No `compgen -W`: bash would run what stands in a name between `$(` and `)`.
_BASH_IMAGES = """_layerscan_images() {
  local name
  layerscan __images "${COMP_WORDS[@]}" 2>/dev/null </dev/null | while IFS= read -r name; do
    [[ $name == "$1"* ]] && printf '%s\\n' "$name"
  done
}
"""
_ZSH_IMAGES = """_layerscan_images() {
  local -a names
  names=("${(@f)$(layerscan __images "${words[@]}" 2>/dev/null </dev/null)}")
  compadd -a names
}
"""
# Bash takes a colon for the end of a word. Here names are put together again, and what stands
# before the last colon is taken off the answers, since bash leaves it where it is.
_BASH_WORDS = """_layerscan() {
  local words=() word=0 place
  for ((place = 0; place < ${#COMP_WORDS[@]}; place++)); do
    if ((place > 1)) && [[ ${COMP_WORDS[place]} == :* || ${words[-1]} == *: ]]; then
      words[-1]+=${COMP_WORDS[place]}
    else
      words+=("${COMP_WORDS[place]}")
    fi
    ((place == COMP_CWORD)) && word=$((${#words[@]} - 1))
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$word
  _shtab_layerscan
  local current=${words[word]}
  [[ $COMP_WORDBREAKS == *:* ]] || return 0
  local before=${current%"${current##*:}"}
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -o bashdefault -o default -F _layerscan layerscan
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish", "tcsh"], help="which shell")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    with needed("shtab"):
        import shtab

    images = {
        "bash": "_layerscan_images",
        "zsh": "_layerscan_images",
        "fish": "(layerscan __images (commandline -opc) 2>/dev/null </dev/null)",
        "tcsh": "n",
        "preamble": {"bash": _BASH_IMAGES, "zsh": _ZSH_IMAGES},
    }
    for command in options.parser.commands.values():
        # argparse has no other way to them, shtab uses it too.
        _declare(command._actions, shtab.FILE, shtab.DIRECTORY, images)  # noqa: SLF001
    script = shtab.complete(options.parser, options.shell)
    if options.shell == "bash":
        script = script.rpartition("complete ")[0] + _BASH_WORDS
    print(script)
    return 0


def _declare(
    actions: "Iterable[argparse.Action]", file: object, folder: object, images: object
) -> None:
    """Say of each argument what completes it, in the way of shtab."""
    for action in actions:
        if action.dest in _IMAGES and action.nargs != 0:
            action.complete = images  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS or action.dest in _FOLDERS_OR_NAMES:
            action.complete = folder  # type: ignore[attr-defined]
        elif action.metavar in _FILES:
            action.complete = file  # type: ignore[attr-defined]
