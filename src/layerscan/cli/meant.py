"""Guesses what the user meant by a word that layerscan does not know. Loaded for errors only."""

import os
import shlex
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

_ALIKE = 0.7  # of `difflib`: scna is scan, and --version is not --verbose
_MOST_LOOKED_AT = 10_000  # entries of a folder


def not_a_command(word: str, commands: Collection[str]) -> str:
    """What to say of a `word` that stands where a command does."""
    if os.path.isdir(word):
        path = shlex.quote(word)
        return (
            f"{word} is a folder, not a command: 'layerscan scan -d {path}' reads it as an "
            f"image store, 'layerscan du {path}' measures it"
        )
    hint = _asked(_nearest(word, commands)) or ";"
    return f"{word!r} is not a command{hint} see layerscan --help"


def hint_at_options(given: Iterable[str], known: Collection[str]) -> str:
    """What options may have been meant by those of the words `given` that are not `known`."""
    meant = []
    for word in given:
        if word == "--":
            break
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known:
            meant += [one for one in known if one.startswith(name)] or _nearest(name, known)
    return _asked(dict.fromkeys(meant))


def hint_at_folder(path: str) -> str:
    """Which folder may have been meant by a `path` that is not there."""
    there, missing = os.path.abspath(path), ""
    while not os.path.lexists(there):
        there, missing = os.path.split(there)
    try:
        with os.scandir(there) as entries:
            folders = [one.name for one in islice(entries, _MOST_LOOKED_AT) if one.is_dir()]
    except OSError:
        return ""
    return _asked(os.path.join(there, name) for name in _nearest(missing, folders))


def _nearest(word: str, known: Collection[str]) -> list[str]:
    return get_close_matches(word, known, n=1, cutoff=_ALIKE)


def _asked(meant: Iterable[str]) -> str:
    text = " or ".join(meant)
    return f"; did you mean {text}?" if text else ""
