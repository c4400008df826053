"""Text that cannot be trusted, made safe to print: on one line, and bounded.

What a store, a registry, a file or a user says goes into messages and tables by these
functions only.
"""

import os

LONGEST = 400
"""Characters of a text that are shown; what is cut ends with an ellipsis."""

_LONGEST_VALUE = 100


# What GitHub Actions reads as a command, in a line or at its beginning (actions/runner,
# ActionCommand.cs).
_COMMAND, _COMMAND_FIRST = "##[", "::"


def printable(text: str, *, longest: int | None = LONGEST) -> str:
    """`text` on one line whatever is in it, and bounded.

    What is not printable is escaped as in Python's strings, and so is what a CI system
    would take for a command.
    """
    cut = text if longest is None or len(text) <= longest else text[:longest] + "…"
    safe = cut if cut.isprintable() else "".join(map(_escaped, cut))
    return _disarmed(safe)


def is_harmless(text: str) -> bool:
    """Whether `printable` leaves `text`, and each part of it, as it is; it may say no too often."""
    return text.isprintable() and _COMMAND not in text and _COMMAND_FIRST not in text


def _disarmed(text: str) -> str:
    """`text` in which a CI system finds no command."""
    # Blanks before it do not count.
    if text.lstrip().startswith(_COMMAND_FIRST):
        text = text.replace(":", r"\x3a", 1)
    return text.replace(_COMMAND, r"#\x23[") if _COMMAND in text else text


def printable_path(path: str | bytes) -> str:
    """A path as `printable`, but whole, and so that no byte of it is lost.

    A byte that is no text is shown as ``x`` and its two hex digits after a backslash,
    which is itself shown twice.
    """
    safe = "".join("\\\\" if c == "\\" else _escaped(c) for c in os.fsdecode(path))
    return _disarmed(safe)


def quoted(text: str) -> str:
    """`text` as a JSON string: bounded, ASCII, on one line."""
    # Loaded here: the shortest commands need no JSON.
    import json

    return json.dumps(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")


def shown(value: object) -> str:
    """Any value as Python writes it: bounded, and printable whatever is in it."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]!r}…"
    written = repr(value)
    return written if len(written) <= _LONGEST_VALUE else written[:_LONGEST_VALUE] + "…"


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
