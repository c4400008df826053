"""What every source of images gives: images, and their layers as byte streams.

A source is where an image is without an engine: a registry, an OCI layout, an
archive. It knows nothing of what is in a layer.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, Self

from layerscan.digest import Hashing
from layerscan.oci import Platform


class SourceLayer(NamedTuple):
    """One layer of an image that is not unpacked."""

    digest: str  # of the blob as the source has it
    diff_id: str  # of its uncompressed tar, as the image's config says it
    archive_size: int  # bytes of the blob
    media_type: str = ""  # as the manifest gives it; empty where there is none
    annotations: Mapping[str, str] = {}  # of its descriptor


class SourceImage(NamedTuple):
    """One image for one platform.

    `documents` has the bytes of each document that belongs to it: its config first, then its
    manifest and the indexes that led to it, so far as there are any.
    """

    name: str  # in messages
    platform: Platform  # what it runs on, as its config says it
    image_id: str  # digest of its config
    documents: tuple[int, ...]
    layers: tuple[SourceLayer, ...]  # bottom up


class Source(Protocol):
    """Where images are; thread-safe, and used in a ``with``."""

    @property
    def name(self) -> str:
        """What the user called it."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of it after `images`, a line each."""

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images, attestations left out.

        Args:
            architectures: only those of one of these; None for all.

        Raises:
            LayerscanError: it cannot be read, is damaged, or has no such image.
        """

    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The blob of a layer in chunks; length and digest are verified when it ends.

        Args:
            layer: the layer.
            hashing: what computes the digest; None for the thread that reads the chunks.

        Raises:
            LayerscanError: it is not there, or is not what its descriptor says;
                from the iterator, too.
        """

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:
        """A part of the blob of a layer, None where the source gives no parts.

        Only registries do. Nothing is verified: the digest is of the whole.

        Raises:
            LayerscanError: it is not there.
        """

    def close(self) -> None:
        """Close what is open. Idempotent."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Closing:
    """What is closed at the end of a ``with``."""

    def close(self) -> None:
        """Close what is open. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Local(Closing):
    """A source on this machine: a blob is read cheaply here, and verified, only as a whole."""

    def section(self, layer: SourceLayer, offset: int, length: int) -> None:
        """No part of any layer; see `Source`."""
