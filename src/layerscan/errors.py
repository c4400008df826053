"""What can go wrong, as values and exceptions.

Owns the exception that ends a command and the problem that does not. It does
not print and does not choose an exit status; ``cli`` does both.
"""

from dataclasses import dataclass


class LayerscanError(Exception):
    """Bad input or a usage error: the command ends with exit status 2.

    The message is one line that says what is wrong, where, and what to do.
    """


class StoreError(LayerscanError):
    """An image store that cannot be opened at all."""


class ReferenceSyntaxError(LayerscanError):
    """Text that is no image reference, by the grammar of ``reference``."""


class DocumentError(LayerscanError):
    """A layers metadata document that is malformed or contradicts another."""


class ComposeError(LayerscanError):
    """A Compose App that cannot be read: its folder, file, YAML or variables."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that could not be read while the rest could.

    A scan that met one is partial: exit status 3.

    Attributes:
        where: the file, folder, layer or image concerned.
        what: what is wrong with it and, where it helps, what to do.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
