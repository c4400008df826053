"""The variables of a Compose App: the process's and those of its ``.env``.

python-dotenv splits the file into names and values. Their interpolation is
ours: python-dotenv's knows only ``${NAME}`` and ``${NAME:-text}``.
"""

import io
import re
from collections import ChainMap
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from layerscan.apps.files import exists, read_text
from layerscan.apps.interpolation import interpolate
from layerscan.errors import ComposeError
from layerscan.extras import needed
from layerscan.text import printable

if TYPE_CHECKING:
    from dotenv.parser import Binding

LONGEST_FILE = 256 * 1024  # bytes of the longest .env that is read
LONGEST_VALUES = 1024 * 1024  # characters that its values may have in sum once interpolated
_LONGEST_BLANK = 512
_BLANK = re.compile(r"[^\S\r\n]+")
_NAME = re.compile(r"[\w.\-\[\]]+")
_LINE_END = re.compile(r"\r\n|\n|\r")


class Environment(NamedTuple):
    """The values of the variables that an App's Compose file can use."""

    values: Mapping[str, str]
    # by name of a variable from the ``.env`` those variables, set nowhere, for which its value has
    # empty text
    unset: Mapping[str, tuple[str, ...]]

    def unset_behind(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """The variables set nowhere that are used in the values of `variables`."""
        return tuple(name for variable in variables for name in self.unset.get(variable, ()))


def load_environment(path: str, *, root: str, process: Mapping[str, str]) -> Environment:
    """Read the ``.env`` at `path`, which need not exist.

    Values in single quotes are taken as they are; in others, variables of the
    process and of earlier lines are replaced by the rules of Compose files. The
    file must not lie outside of the Apps root `root`.

    Raises:
        ComposeError: the file cannot be read, or a line of it is malformed.
    """
    if not exists(path):
        return Environment(process, {})
    text = read_text(path, root=root, longest=LONGEST_FILE)
    # python-dotenv's search for the comment behind a value takes time by the
    # square of the length of a blank.
    if any(len(blank[0]) > _LONGEST_BLANK for blank in _BLANK.finditer(text)):
        raise ComposeError(
            f"{printable(path)}: has a blank of more than {_LONGEST_BLANK} characters"
        )
    with needed("dotenv"):
        from dotenv.parser import parse_stream

    own: dict[str, str] = {}
    unset: dict[str, tuple[str, ...]] = {}
    environment = Environment(ChainMap(dict(process), own), unset)
    length = 0
    for binding in parse_stream(io.StringIO(text)):
        where = f"{printable(path)}:{_line(binding)}"
        if binding.error:
            raise ComposeError(f"{where}: is no NAME=value")
        name, value = binding.key, binding.value
        if name is None:  # a comment
            continue
        if not _NAME.fullmatch(name):
            raise ComposeError(f"{where}: {printable(name)!r} is no variable's name")
        if value is None or name in process:
            # A name alone stands for the process's variable, and a value of
            # the process's hides that of the file.
            continue
        # The character that the value begins with in the file, which may be a quote.
        quote = binding.original.string.partition("=")[2].lstrip()[:1]
        own[name], unset[name] = _value(value, quote, environment, where)
        length += len(own[name])
        if length > LONGEST_VALUES:
            raise ComposeError(f"{where}: the values have more than {LONGEST_VALUES} characters")
    return environment


def _value(
    value: str, quote: str, environment: Environment, where: str
) -> tuple[str, tuple[str, ...]]:
    """The interpolated value, and the variables set nowhere behind it."""
    if quote == "'":
        return value, ()
    if quote == '"':
        # Compose reads this escape, python-dotenv leaves it alone.
        value = value.replace(r"\$", "$$")
    try:
        result = interpolate(value, environment.values)
    except ComposeError as error:
        raise ComposeError(f"{where}: {error}") from None
    return result.text, result.unset + environment.unset_behind(result.variables)


def _line(binding: "Binding") -> int:
    """The line of the name; a binding begins with the empty lines before it."""
    before = binding.original.string
    blank = before[: len(before) - len(before.lstrip())]
    return binding.original.line + len(_LINE_END.findall(blank))
