"""The step of a build that made each layer, as an image config's ``history`` tells it.

It is for people: nobody relies on it, and where it is missing, or is not about as many
layers as the image has, no step is known.
"""

import re
from collections.abc import Mapping

_LONGEST = 500  # characters of a step that are kept
_MOST = 10_000  # entries that are looked at

# The classic builder writes the shell's command, BuildKit the line of the Dockerfile.
_SHELL = re.compile(r"(?:\|\d+ .*?)?/bin/sh -c ", re.DOTALL)
_NO_RUN = "#(nop) "
_BUILDKIT = " # buildkit"
_BLANKS = re.compile(r"\s+")


def layer_steps(config: Mapping[str, object], layers: int) -> tuple[str, ...]:
    """The steps that made an image's `layers`, bottom up; empty where they are not known."""
    history = config.get("history")
    if not isinstance(history, list) or len(history) > _MOST:
        return ()
    steps = []
    for entry in history:
        if not isinstance(entry, dict):
            return ()
        if entry.get("empty_layer") is not True:
            text = entry.get("created_by") or entry.get("comment")
            steps.append(_step(text) if isinstance(text, str) else "")
    return tuple(steps) if len(steps) == layers else ()


def _step(text: str) -> str:
    """A step as its Dockerfile may have said it, on one line."""
    # What is cut away at the end needs no look.
    text = text[: 2 * _LONGEST].removesuffix(_BUILDKIT)
    shell = _SHELL.match(text.removeprefix("RUN "))
    if shell is not None:
        rest = text.removeprefix("RUN ")[shell.end() :]
        text = rest.removeprefix(_NO_RUN) if rest.startswith(_NO_RUN) else f"RUN {rest}"
    return _BLANKS.sub(" ", text).strip()[:_LONGEST]
