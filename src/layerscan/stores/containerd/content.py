"""containerd's content store: manifests, configs and layer archives, by digest.

Owns where a blob is, and that a document that is read is the one that its
digest says. All namespaces share these files; which namespace knows of one is
not looked at. A blob that is not there is no fault in itself: other platforms'
are never fetched, and archives may be discarded once they are unpacked.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self, TypeVar

from layerscan import digest as digests
from layerscan import oci
from layerscan.errors import DocumentError
from layerscan.oci import Config, Descriptor, Index
from layerscan.platforms import is_plain
from layerscan.stores.safefs import Fault, Folder

CONTENT = "io.containerd.content.v1.content"

D = TypeVar("D", "_Parts | Index", Config)

_CONFIG_TYPES = (oci.OCI_CONFIG, "application/vnd.docker.container.image.v1+json")
"""Of the configs of images; other manifests are of charts, signatures, Apps, …"""

_DEEPEST = 4
"""Indexes within indexes; more than one is not seen."""
_MOST_MANIFESTS = 1000
_MOST_LAYERS = 1000
"""The kernel stacks at most 500 (overlayfs, OVL_MAX_STACK)."""


class Variant(NamedTuple):
    """An image for one platform, as its documents say it.

    Attributes:
        config_digest: of its config; its image id.
        config: its config.
        layers: digest of each layer, bottom up.
        documents: digests of the indexes, manifest and config that lead to it.
        chain_ids: of its layers, bottom up.
    """

    config_digest: str
    config: Config
    layers: tuple[str, ...]
    documents: tuple[str, ...]
    chain_ids: tuple[str, ...]


class _Parts(NamedTuple):
    """What is kept of a manifest: there may be many.

    Attributes:
        config: digest of the image's config; empty if it is of no image.
        layers: digest of each layer, bottom up.
    """

    config: str
    layers: tuple[str, ...]


class Content:
    """The blobs of a content store, held open while it is read.

    Args:
        root: containerd's root.

    Attributes:
        absent: how often an index referred to something that is not there.

    Raises:
        Fault: they cannot be opened.
    """

    def __init__(self, root: Folder) -> None:
        self._blobs = root.folder(CONTENT, "blobs", "sha256")
        self._manifests: dict[str, _Parts | Index | Fault] = {}
        self._configs: dict[str, Config | Fault] = {}
        self.absent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._blobs.close()

    def path(self, digest: str) -> str:
        """Absolute path of the blob, whether it is there or not."""
        return self._blobs.where(_hex(digest))

    def has(self, digest: str) -> bool:
        """Whether the blob is there.

        Raises:
            Fault: that cannot be seen.
        """
        return self._blobs.look(_hex(digest)) is not None

    def variants(self, digest: str, media_type: str) -> Iterator[Variant | Fault]:
        """What the manifest or index `digest` stands for: an image for each platform there is.

        What is no image is passed over, and so is what an index refers to and
        is not there.

        Returns:
            The images, and in place of those that cannot be read the reason.
        """
        if media_type in oci.INDEX_TYPES + oci.MANIFEST_TYPES:
            yield from self._variants(Descriptor(media_type, digest, 0), (), [_MOST_MANIFESTS])

    def _variants(
        self, descriptor: Descriptor, above: tuple[str, ...], left: list[int]
    ) -> Iterator[Variant | Fault]:
        """The images of `descriptor`, which the indexes `above` lead to; `left` may follow."""
        left[0] -= 1
        if left[0] < 0 or len(above) >= _DEEPEST:
            yield Fault(self.path(descriptor.digest), "refers to too many manifests")
            return
        documents = (*above, descriptor.digest)
        try:
            document = self._manifest(descriptor)
            if isinstance(document, _Parts):
                if document.config:
                    yield self._variant(document, documents)
                return
        except Fault as fault:
            if above and fault.gone:
                self.absent += 1
            else:
                yield fault
            return
        for entry in document.manifests:
            if entry.media_type in oci.INDEX_TYPES + oci.MANIFEST_TYPES and not (
                entry.is_attestation
            ):
                yield from self._variants(entry, documents, left)

    def _variant(self, manifest: _Parts, documents: tuple[str, ...]) -> Variant:
        digest = manifest.config
        config = self._config(digest)
        count = len(config.diff_ids)
        if count > _MOST_LAYERS:
            raise Fault(self.path(digest), f"is no image config: it has {count} layers")
        if count != len(manifest.layers):
            where = self.path(documents[-1])
            raise Fault(where, f"has {len(manifest.layers)} layers, its config {count}")
        chains = tuple(digests.chain_ids(config.diff_ids))
        return Variant(digest, config, manifest.layers, (*documents, digest), chains)

    def _manifest(self, descriptor: Descriptor) -> _Parts | Index:
        def load(raw: bytes, where: str) -> _Parts | Index:
            document = oci.loads(raw, where, media_type=descriptor.media_type)
            if isinstance(document, Index):
                return document
            config = document.config
            return _Parts(
                config.digest if config.media_type in _CONFIG_TYPES else "",
                tuple([layer.digest for layer in document.layers]),
            )

        return self._once(self._manifests, descriptor.digest, oci.MAX_MANIFEST, load)

    def _config(self, digest: str) -> Config:
        def load(raw: bytes, where: str) -> Config:
            config = oci.loads_config(raw, where)
            if not is_plain(config.platform):
                raise Fault(where, "is no image config: its platform is no plain text")
            return config

        return self._once(self._configs, digest, oci.MAX_CONFIG, load)

    def _once(
        self, known: dict[str, D | Fault], digest: str, limit: int, load: Callable[[bytes, str], D]
    ) -> D:
        """The document `digest`, from `known` if it was read before."""
        document = known.get(digest)
        if document is None:
            where = self.path(digest)
            try:
                document = load(self._read(digest, limit), where)
            except DocumentError as error:
                document = Fault(where, str(error).removeprefix(f"{where}: "))
            except Fault as fault:
                document = fault
            known[digest] = document
        if isinstance(document, Fault):
            raise document
        return document

    def _read(self, digest: str, limit: int) -> bytes:
        """The document `digest`.

        Raises:
            Fault: it cannot be read, or does not hash to `digest`.
        """
        raw = self._blobs.read(_hex(digest), limit)
        if digests.sha256(raw) != digest:
            where = self.path(digest)
            raise Fault(where, "does not hash to its name: it was damaged or tampered with")
        return raw


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
