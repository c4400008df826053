"""The exceptions that end a command.

Owns their types only. ``cli`` prints them and chooses the exit status;
``problem`` has what goes wrong without ending anything.
"""


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
