"""containerd's content store: manifests, configs and layer archives, by digest.

Owns where a blob is, and that a document that is read is the one that its
digest says. All namespaces share these files; which namespace knows of one is
not looked at. A blob that is not there is no fault in itself: other platforms'
are never fetched, and archives may be discarded once they are unpacked.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple, TypeVar

from layerscan import digest as digests
from layerscan import oci
from layerscan.errors import AbsentError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Config, Descriptor, Index, Manifest, Platform
from layerscan.oci.images import IndexedImage, TooManyError, Why, list_images
from layerscan.oci.matchers import Matcher
from layerscan.oci.platforms import is_plain
from layerscan.oci.readers import UnreadableError
from layerscan.stores.engine_files import document_fault, read_verified
from layerscan.stores.readings import image_config

CONTENT = "io.containerd.content.v1.content"

D = TypeVar("D", "Manifest | Index", Config)


class AbsentFaultError(AbsentError):
    """A blob that is not there; `fault` says so."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Variant(NamedTuple):
    """An image for one platform, as its documents say it: layers are bottom up."""

    config_digest: str  # its image id
    platform: Platform
    config: Config
    layers: tuple[str, ...]  # their digests
    documents: tuple[str, ...]  # digests of the indexes, manifest and config that lead to it
    chain_ids: tuple[str, ...]


class ContentStore(ExitStack):
    """The blobs of a content store under containerd's root, held open while it is read."""

    def __init__(self, root: Folder) -> None:
        super().__init__()
        self._root = root
        self._folders: dict[str, Folder] = {}
        self._documents: dict[str, Manifest | Index | Fault] = {}
        self._configs: dict[str, Config | Fault] = {}

    def path(self, digest: str) -> str:
        """Absolute path of the blob, whether it is there or not."""
        return f"{self._root.path}/{CONTENT}/blobs/{digests.blob_path(digest)}"

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self._folder(digest).look(digest.partition(":")[2]) is not None

    def variants(self, digest: str, media_type: str) -> tuple[list[Variant], list[Fault], int]:
        """What the manifest or index `digest` stands for: an image for each platform there is.

        These, and why others cannot be read, and how many an index refers to that are not
        there. What is no image is passed over.
        """
        top = Descriptor(media_type, digest, 0)
        try:
            listing = list_images(top, self, Matcher(), configs=True)
        except TooManyError:
            return [], [Fault(self.path(digest), "refers to too many manifests")], 0
        except AbsentFaultError as absent:
            return [], [absent.fault], 0
        faults = [one.error for one in listing.passed_over if isinstance(one.error, Fault)]
        variants = []
        for one in listing.images:
            try:
                variants.append(self._variant(one))
            except Fault as fault:
                faults.append(fault)
        return variants, faults, sum(one.why is Why.ABSENT for one in listing.passed_over)

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        """A manifest or index; see `layerscan.oci.readers.Reader`."""
        load = partial(oci.loads, media_type=descriptor.media_type)
        return self._once(self._documents, descriptor.digest, oci.MAX_MANIFEST, load)

    def config(self, descriptor: Descriptor) -> Config:
        """A config; see `layerscan.oci.readers.Reader`."""
        return self._once(self._configs, descriptor.digest, oci.MAX_CONFIG, image_config)

    def _variant(self, image: IndexedImage) -> Variant:
        config, manifest = image.config, image.manifest
        assert config is not None  # noqa: S101 - configs were asked for
        count = len(config.diff_ids)
        if count != len(manifest.layers):
            where = self.path(image.descriptor.digest)
            raise Fault(where, f"has {len(manifest.layers)} layers, its config {count}")
        if not is_plain(image.platform):
            raise Fault(self.path(image.indexes[-1].digest), "names a platform that is not text")
        documents = (*image.indexes, image.descriptor, manifest.config)
        return Variant(
            manifest.config.digest,
            image.platform,
            config,
            tuple([layer.digest for layer in manifest.layers]),
            tuple([document.digest for document in documents]),
            tuple(digests.chain_ids(config.diff_ids)),
        )

    def _folder(self, digest: str) -> Folder:
        """The folder with the blobs of the algorithm of `digest`."""
        algorithm = digests.algorithm(digest)
        if algorithm not in self._folders:
            folder = self._root.folder(CONTENT, "blobs", algorithm)
            self._folders[algorithm] = self.enter_context(folder)
        return self._folders[algorithm]

    def _once(
        self, known: dict[str, D | Fault], digest: str, limit: int, load: Callable[[bytes, str], D]
    ) -> D:
        """The document `digest`, from `known` if it was read before."""
        document = known.get(digest)
        if document is None:
            where = self.path(digest)
            try:
                name = digest.partition(":")[2]
                raw = read_verified(self._folder(digest), name, limit, digest)
                with document_fault(where):
                    document = load(raw, where)
            except Fault as fault:
                document = fault
            known[digest] = document
        if not isinstance(document, Fault):
            return document
        if document.gone:
            raise AbsentFaultError(document)
        raise UnreadableError(document)
