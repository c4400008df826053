"""Faults that a person has judged not to change what the program does.

They are in the file `same` beside this one: a source and the function in it, why
the fault changes nothing, the lines before and the lines after the change.
"""

from __future__ import annotations

import re
from pathlib import Path

_FILE = Path(__file__).parent / "same"
_ENTRY = re.compile(r"(\S+):(\S*) (\S.*)\n((?:  \S.*\n)*)- (.*)\n\+ (.*)\n")


def judged(text: str | None = None) -> dict[tuple[str, str, str, str], str]:
    """The reason for each fault that is listed, by `Result.change`.

    Raises:
        ValueError: an entry is not as described in the file.
    """
    text = _FILE.read_text(encoding="utf-8") if text is None else text
    found = {}
    for entry in re.split(r"\n{2,}", re.sub("(?m)^#.*\n", "", text).strip()):
        match = _ENTRY.fullmatch(f"{entry}\n")
        if entry and not match:
            raise ValueError(f"not an entry of {_FILE.name}: {entry!r}")
        if match:
            file, name, reason, more, before, after = match.groups()
            found[file, name, before, after] = " ".join([reason, *more.split()])
    return found
