"""Which images of an index are wanted, as a value that whoever asks hands over."""

from collections.abc import Collection

from layerscan.errors import DocumentError
from layerscan.oci import Descriptor, Index, Manifest, Platform

LINUX = "linux"


class UnusableIndexError(DocumentError):
    """An index that whoever asks cannot read; the message has not its name."""


class Matcher:
    """Takes all images; the usual rules say what of an index is one. Subclasses take less.

    Where whoever asks cannot read an index, they raise UnusableIndexError.
    """

    assumed = ""
    """The architecture that an image is taken to be for which does not say it."""

    def takes_top(self, document: Manifest | Index) -> bool:  # noqa: ARG002 - usual rules
        """Whether what is asked for itself counts as an image, whatever kind of manifest it is."""
        return False

    def takes_entry(self, entry: Descriptor, index: Index) -> bool | None:  # noqa: ARG002
        """Whether an entry of an index counts, whatever it is; None: by the usual rules."""
        return None

    def takes(self, platform: Platform) -> bool:  # noqa: ARG002 - whatever it is
        """Whether an image for `platform` is wanted; its parts are empty where not known."""
        return True


class ForLinux(Matcher):
    """Images for Linux, of some architectures or, with None, of all."""

    def __init__(self, architectures: Collection[str] | None = None) -> None:
        self.architectures = architectures
        if architectures is not None and len(architectures) == 1:
            (self.assumed,) = architectures

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` is wanted."""
        if platform.os not in ("", LINUX):
            return False
        return self.architectures is None or platform.architecture in self.architectures
