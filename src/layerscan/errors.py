"""The exceptions that end a command.

Owns their types only. ``cli`` prints them and chooses the exit status;
``problem`` has what goes wrong without ending anything.
"""


class LayerscanError(Exception):
    """Bad input or a usage error: the command ends with exit status 2.

    The message is one line that says what is wrong, where, and what to do.
    """


class MissingPackageError(ImportError):
    """A package that the command needs is not installed: exit status 2, too.

    It is no `LayerscanError`, since those of one image or App may be a warning while the
    rest goes on. The message names the extra that installs the package.
    """


class StoreError(LayerscanError):
    """An image store that cannot be opened at all."""


class ReferenceSyntaxError(LayerscanError):
    """Text that is no image reference, by the grammar of ``reference``."""


class DocumentError(LayerscanError):
    """A layers metadata document that is malformed or contradicts another."""


class ComposeError(LayerscanError):
    """A Compose App that cannot be read: its folder, file, YAML or variables."""


class NoAppsError(ComposeError):
    """A folder without a Compose App."""


class SourceError(LayerscanError):
    """An image's source is not there, is damaged, or holds what cannot be unpacked."""


class AbsentError(LayerscanError):
    """A blob or document that is referred to and is not there."""


class AbsentBlobError(DocumentError, AbsentError):
    """One that a folder or archive does not have."""


class RegistryError(LayerscanError):
    """A registry that cannot be reached, or does not do what it must."""


class NotInRegistryError(RegistryError, AbsentError):
    """A manifest, blob or repository that the registry has not (404)."""


class RefusedByRegistryError(RegistryError):
    """A request that the registry refuses.

    Attributes:
        status: the HTTP status, a 4xx as a rule.
        code: the registry's own error code (``MANIFEST_INVALID``), "" for none.
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
