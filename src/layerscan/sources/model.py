"""What every source of images gives: images, and their layers as byte streams.

A source is where an image is without an engine: a registry, an OCI layout, an archive.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Self

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


class Source(ABC):
    """Where images are; thread-safe, and used in a ``with``."""

    name: str  # what the user called it

    notes: Sequence[str] = ()  # what the user should know of it after `images`, a line each

    @abstractmethod
    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images, attestations left out; only those of `architectures`, None for all.

        Raises LayerscanError where it cannot be read, is damaged, or has no such image.
        """

    @abstractmethod
    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The blob of a layer in chunks; length and digest are verified when it ends.

        `hashing` computes the digest, None for the thread that reads the chunks. Raises
        LayerscanError, from the iterator, too, where the blob is not there, or is not what
        its descriptor says.
        """

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:  # noqa: ARG002 - see there
        """A part of the blob of a layer, None where the source gives no parts.

        Only registries do. Nothing is verified: the digest is of the whole.
        """
        return None

    def close(self) -> None:  # noqa: B027 - not every source has something to close
        """Close what is open. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
