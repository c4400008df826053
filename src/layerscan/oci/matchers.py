"""Which images of an index are wanted, as a value that whoever asks hands over."""

from collections.abc import Collection
from typing import Protocol

from layerscan.errors import DocumentError
from layerscan.oci.documents import Descriptor, Index, Manifest, Platform

LINUX = "linux"


class UnusableIndexError(DocumentError):
    """An index that whoever asks cannot read; the message has not its name."""


class Matcher(Protocol):
    """Which images of an index are wanted; UnusableIndexError if whoever asks cannot read it."""

    @property
    def assumed(self) -> str:
        """The architecture that an image is taken to be for which does not say it; or ""."""

    def takes_top(self, document: Manifest | Index) -> bool:
        """Whether what is asked for itself counts as an image, whatever kind of manifest it is."""

    def takes_entry(self, entry: Descriptor, index: Index) -> bool | None:
        """Whether an entry of an index counts, whatever it is; None: by the usual rules."""

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` is wanted; its parts are empty where not known."""


class UsualRules:
    """Leaves it to the usual rules what of an index is an image; see `Matcher`."""

    @property
    def assumed(self) -> str:
        """Nothing is taken to be what it does not say."""
        return ""

    def takes_top(self, document: Manifest | Index) -> bool:  # noqa: ARG002 - whatever it is
        """The usual rules say it."""
        return False

    def takes_entry(self, entry: Descriptor, index: Index) -> bool | None:  # noqa: ARG002
        """The usual rules say it."""
        return None


class ForLinux(UsualRules):
    """Images for Linux, of some architectures or, with None, of all; see `Matcher`."""

    def __init__(self, architectures: Collection[str] | None = None) -> None:
        self.architectures = architectures

    @property
    def assumed(self) -> str:
        """The only architecture that is wanted, if it is only one."""
        asked = list(self.architectures or ())
        return asked[0] if len(asked) == 1 else ""

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` is wanted."""
        if platform.os not in ("", LINUX):
            return False
        return self.architectures is None or platform.architecture in self.architectures
