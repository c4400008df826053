"""Reading the documents of images, wherever they lie."""

from typing import Protocol

from layerscan import oci
from layerscan.oci import Config, Descriptor, Index, Manifest
from layerscan.oci.blobs import Blobs
from layerscan.oci.platforms import platform_text

_BLOB = "application/octet-stream"


class Reader(Protocol):
    """Whoever reads the documents of images."""

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        """The manifest or index that `descriptor` refers to, as its type says.

        Raises AbsentError where it is not there, UnreadableError where it cannot be used and
        others may be, and any other LayerscanError where that ends all.
        """

    def config(self, descriptor: Descriptor) -> Config:
        """The config that `descriptor` refers to; raises as `document`."""


class UnreadableError(Exception):
    """A document that cannot be used, where others are to be read all the same; `error` is why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class BlobReader:
    """Reads documents from where `blobs` are, called `name` in messages; see `Reader`."""

    def __init__(self, blobs: Blobs, name: str) -> None:
        self._blobs = blobs
        self._name = name

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        """The manifest or index; see `Reader`."""
        raw = self._blobs.fetch(descriptor, limit=oci.MAX_MANIFEST)
        return oci.loads(raw, self._where(descriptor), media_type=descriptor.media_type)

    def config(self, descriptor: Descriptor) -> Config:
        """The config; see `Reader`. Whatever type it is given, it is a blob."""
        raw = self._blobs.fetch(descriptor._replace(media_type=_BLOB), limit=oci.MAX_CONFIG)
        return oci.loads_config(raw, f"{self._where(descriptor)}: config")

    def _where(self, descriptor: Descriptor) -> str:
        platform = descriptor.platform
        return self._name if platform is None else f"{self._name}: {platform_text(platform)}"
