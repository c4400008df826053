"""Images in a registry: what a reference stands for as a source."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager

from layerscan import oci
from layerscan.digest import Hashing
from layerscan.oci import Descriptor
from layerscan.oci.images import IndexedImage
from layerscan.reference import DEFAULT_TAG, Reference
from layerscan.registry import RegistryClient
from layerscan.sources.images import find_images, images_with_configs
from layerscan.sources.model import Source, SourceImage, SourceLayer

_BLOB = "application/octet-stream"
"""The type that a layer is asked for under: whatever it says, it is a blob."""


class RegistrySource(Source):
    """The images under a reference; see `Source`. A digest counts more than a tag.

    `client` gives the registries, and closes them; it is asked when something is wanted.
    `listed` are the images under the reference, where they are known already.
    """

    def __init__(
        self,
        name: str,
        reference: Reference,
        client: Callable[[], RegistryClient],
        listed: Sequence[IndexedImage] | None = None,
    ) -> None:
        self.name = name
        self._reference = reference
        self._client = client
        self._listed = listed

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        repository = self._client().repository(self._reference)
        if self._listed is not None:
            wanted = [
                one
                for one in self._listed
                if architectures is None or one.platform.architecture in architectures
            ]
            return images_with_configs(wanted, repository, source=str(self._reference))
        asked = self._reference.digest or self._reference.tag or DEFAULT_TAG
        fetched = repository.manifest(asked)
        itself = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
        name = str(self._reference)
        document = oci.loads(fetched.raw, name, media_type=fetched.media_type)
        images, self.notes = find_images(repository, itself, document, architectures, source=name)
        return images

    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The blob of a layer; see `Source`."""
        return self._client().repository(self._reference).stream(_descriptor(layer), hashing)

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:
        """A part of the blob of a layer, where the registry serves parts; see `Source`."""
        repository = self._client().repository(self._reference)
        return repository.part(_descriptor(layer), offset, length)


def _descriptor(layer: SourceLayer) -> Descriptor:
    return Descriptor(_BLOB, layer.digest, layer.archive_size)
