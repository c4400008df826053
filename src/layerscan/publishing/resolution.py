"""Images in registries: what their names stand for, and their manifests.

Owns how a reference becomes a digest and, for each architecture, manifests. Each
reference and each manifest is asked for once, whoever wants it and from whatever
thread; what cannot be had is an error for all who want it.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple, TypeVar, cast

from layerscan import layersmeta, oci
from layerscan.errors import DocumentError
from layerscan.oci import Descriptor, Index, Manifest
from layerscan.oci.images import IndexedImage, Listing, TooManyError, list_images
from layerscan.oci.matchers import ForLinux
from layerscan.oci.readers import BlobReader
from layerscan.parallel import in_parallel
from layerscan.reference import Reference
from layerscan.registry import RegistryClient, Repository
from layerscan.text import quoted

T = TypeVar("T")

_MANIFESTS_AT_A_TIME = 4


class ResolvedImage(NamedTuple):
    """An image in a registry."""

    asked: Reference  # its reference as it was asked for
    pinned: Reference  # the same repository with the digest of the manifest or index
    # by architecture, in the index's order; several where it has several variants of one
    # architecture
    images: Mapping[str, tuple[IndexedImage, ...]]
    has: tuple[str, ...]  # the architectures that there are, wanted or not, sorted
    notes: tuple[str, ...]


class Resolver:
    """Looks images up, each once, several at a time; `architectures` None means all."""

    def __init__(
        self, client: RegistryClient, workers: int, architectures: frozenset[str] | None
    ) -> None:
        self._client = client
        self._workers = workers
        self._matcher = ForLinux(architectures)
        self._lock = threading.Lock()
        self._known: dict[Hashable, Future[object]] = {}

    def resolve(self, references: Iterable[Reference]) -> list[ResolvedImage]:
        """What each of `references` stands for: images for Linux that clients can read."""
        tasks = [partial(self._resolved, reference) for reference in references]
        return in_parallel(tasks, workers=self._workers)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for `key`."""
        with self._lock:
            known = self._known.get(key)
            future = self._known.setdefault(key, Future())
        if known is None:
            # In this thread: whoever waits for it waits for one that is at work.
            try:
                future.set_result(compute())
            except BaseException as error:  # noqa: BLE001 - it is raised by result()
                future.set_exception(error)
        return cast("T", future.result())

    def _resolved(self, asked: Reference, _: object) -> ResolvedImage:
        return self.once(("image", asked), lambda: self._look_up(asked))

    def _look_up(self, asked: Reference) -> ResolvedImage:
        repository = self._client.repository(asked)
        fetched = repository.manifest(asked.digest or asked.tag or "")
        document = oci.loads(fetched.raw, str(asked), media_type=fetched.media_type)
        top = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
        reader, workers = _OnceReader(self, repository), _MANIFESTS_AT_A_TIME
        try:
            listing = list_images(top, reader, self._matcher, document=document, workers=workers)
        except TooManyError as error:
            raise DocumentError(f"{asked}: {error.what}") from None
        digest = _pinned_digest(asked, top, document, listing)
        return ResolvedImage(
            asked,
            Reference(asked.registry, asked.path, None, digest),
            _by_architecture(asked, listing),
            tuple(sorted(listing.architectures)),
            tuple(listing.notes(asked.familiar)),
        )


def _by_architecture(asked: Reference, listing: Listing) -> dict[str, tuple[IndexedImage, ...]]:
    found: dict[str, tuple[IndexedImage, ...]] = {}
    for image in listing.images:
        name = image.platform.architecture
        if not name:
            raise DocumentError(f"{asked}: nothing says its architecture; say it with --arch")
        if not layersmeta.is_architecture(name):
            raise DocumentError(f"{asked}: {quoted(name)} is no architecture name")
        found[name] = (*found.get(name, ()), image)
    return found


class _OnceReader(BlobReader):
    """Reads each manifest of a repository once."""

    def __init__(self, resolver: Resolver, repository: Repository) -> None:
        super().__init__(repository, repository.name)
        self._resolver = resolver
        self._repository = repository.name

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        read = super().document
        return self._resolver.once((self._repository, descriptor.digest), lambda: read(descriptor))


def _pinned_digest(
    asked: Reference, top: Descriptor, document: Manifest | Index, listing: Listing
) -> str:
    """The digest that an App names its image by, so that every client can read it."""
    if not listing.architectures:
        what = listing.passed_over[0].what if isinstance(document, Manifest) else ""
        raise DocumentError(
            f"{asked}: {what or f'its index has no image for Linux; it has: {listing.has}'}"
        )
    if isinstance(document, Manifest) or _is_plain(document) or not listing.images:
        return top.digest
    if len(listing.images) == 1:
        return listing.images[0].descriptor.digest
    raise DocumentError(
        f"{asked}: composectl cannot read its index, which has entries without a platform or "
        f"indexes within it, and {len(listing.images)} images: push the image again with platforms"
    )


def _is_plain(index: Index) -> bool:
    """Whether composectl reads an index; see `layerscan.fit.composectl`."""
    return all(
        entry.platform is not None and entry.media_type not in oci.INDEX_TYPES
        for entry in index.manifests
    )
