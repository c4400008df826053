"""The packages that only some commands need, and the extra that installs each.

Owns what is said where one is missing. Who needs one imports it where it is used,
within `needed`; what can do without one asks `is_installed`.
"""

from contextlib import contextmanager

from layerscan.errors import MissingPackageError

TYPE_CHECKING = False  # as in layerscan.cli
if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = {
    "backports.zstd": ("predict", "unpacking zstd needs backports-zstd"),
    "dotenv": ("apps", "reading the .env of an App needs python-dotenv"),
    "httpx": ("registry", "asking registries needs httpx"),
    "numpy": ("predict", "predictions and file tables need numpy"),
    "shtab": ("completion", "completion scripts need shtab"),
    "yaml": ("apps", "reading Compose files needs pyyaml"),
}
"""By the name to import: the extra, and what needs the package."""


@contextmanager
def needed(package: str) -> "Iterator[None]":
    """Import `package`, one of `PACKAGES`, within this.

    Raises:
        MissingPackageError: it is not installed, or cannot be loaded.
    """
    try:
        yield
    except ImportError as error:
        extra, need = PACKAGES[package]
        # One that is there and broken is told as what it is.
        why = f", which cannot be loaded ({error})" if is_installed(package) else ""
        raise MissingPackageError(f"{need}{why}: pip install 'layerscan[{extra}]'") from error


def is_installed(package: str) -> bool:
    """Whether `package` can be found, without loading it."""
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        # Of what it is in, of the package backports for example.
        return False
