"""Images in registries: what their names stand for, and their layers.

Owns how a reference becomes a digest and, for each architecture, the layers of
a manifest. Each reference and each manifest is asked for once, whoever wants it
and from whatever thread; what cannot be had is an error for all who want it.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Self, TypeVar, cast

from layerscan import digest as digests
from layerscan import layersmeta, oci
from layerscan.errors import DocumentError, LayerscanError
from layerscan.oci import Descriptor, Index, Manifest
from layerscan.reference import Reference
from layerscan.registry import RegistryClient, Repository

T = TypeVar("T")

_SYSTEMS = ("", "linux")


class ResolvedImage(NamedTuple):
    """An image in a registry.

    Attributes:
        asked: its reference as it was asked for.
        pinned: the same repository with the digest of the manifest or index.
        manifests: by architecture its manifests, in the index's order; several
            where it has several variants of one architecture.
    """

    asked: Reference
    pinned: Reference
    manifests: Mapping[str, tuple[Descriptor, ...]]


class Images:
    """Looks images up, each once; use it in a ``with``.

    Args:
        client: the registries.
        workers: how many look-ups are under way at a time.
    """

    def __init__(self, client: RegistryClient, workers: int) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="image")
        self._lock = threading.Lock()
        self._known: dict[Hashable, Future[object]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def resolve(self, references: Iterable[Reference]) -> list[ResolvedImage]:
        """What each of `references` stands for.

        Raises:
            LayerscanError: one of them cannot be had, or is no image for Linux.
        """
        return list(self._pool.map(self._resolved, references))

    def layers(
        self, wanted: Iterable[tuple[ResolvedImage, Descriptor]]
    ) -> list[tuple[Descriptor, ...]]:
        """The layers of each manifest of an image, bottom up.

        Raises:
            LayerscanError: a manifest cannot be had.
        """
        return [
            manifest.layers for manifest in self._pool.map(lambda one: self._manifest(*one), wanted)
        ]

    def _once(self, key: Hashable, compute: Callable[[], T]) -> T:
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

    def _resolved(self, asked: Reference) -> ResolvedImage:
        return self._once(("image", asked), lambda: self._look_up(asked))

    def _look_up(self, asked: Reference) -> ResolvedImage:
        repository = self._client.repository(asked)
        fetched = repository.manifest(asked.digest or asked.tag or "")
        pinned = Reference(asked.registry, asked.path, None, fetched.digest)
        document = oci.loads(fetched.raw, str(asked), media_type=fetched.media_type)
        if isinstance(document, Index):
            found = self._of_index(asked, repository, document)
        else:
            itself = Descriptor(fetched.media_type, fetched.digest, len(fetched.raw))
            self._once((repository.name, itself.digest), lambda: document)
            found = {_architecture(repository, document, str(asked)): (itself,)}
        if not found:
            raise DocumentError(f"{asked}: its index has no image for Linux")
        return ResolvedImage(asked, pinned, found)

    def _of_index(
        self, asked: Reference, repository: Repository, index: Index
    ) -> dict[str, tuple[Descriptor, ...]]:
        found: dict[str, tuple[Descriptor, ...]] = {}
        entries = [
            entry
            for entry in index.manifests
            if not entry.is_attestation
            and (entry.platform is None or entry.platform.os in _SYSTEMS)
        ]
        if len(entries) > oci.MOST_IMAGES:
            raise DocumentError(f"{asked}: its index has more than {oci.MOST_IMAGES} images")
        for entry in entries:
            architecture = entry.platform.architecture if entry.platform else ""
            if not architecture:
                manifest = self._fetch(repository, entry)
                architecture = _architecture(repository, manifest, str(asked))
            _check_architecture(architecture, str(asked))
            if entry not in found.get(architecture, ()):
                found[architecture] = (*found.get(architecture, ()), entry)
        return found

    def _manifest(self, image: ResolvedImage, descriptor: Descriptor) -> Manifest:
        return self._fetch(self._client.repository(image.pinned), descriptor)

    def _fetch(self, repository: Repository, descriptor: Descriptor) -> Manifest:
        def fetch() -> Manifest:
            source = f"{repository.name}@{descriptor.digest}"
            if descriptor.media_type not in oci.MANIFEST_TYPES:
                raise DocumentError(
                    f"{source}: is no image manifest, though an index has it as one"
                )
            raw = repository.fetch(descriptor, limit=oci.MAX_MANIFEST)
            manifest = oci.loads(raw, source, media_type=descriptor.media_type)
            assert isinstance(manifest, Manifest)  # noqa: S101 - its type was looked at
            return manifest

        return self._once((repository.name, descriptor.digest), fetch)


def _architecture(repository: Repository, manifest: Manifest, source: str) -> str:
    """The architecture of a manifest, which its config says."""
    config = manifest.config
    if config.size == 0 or config.digest == digests.sha256(b"{}"):
        raise DocumentError(f"{source}: is no image: its config is empty")
    # Whatever type it is given: it is a blob.
    raw = repository.fetch(config._replace(media_type=oci.OCI_CONFIG), limit=oci.MAX_CONFIG)
    try:
        architecture = oci.loads_config(raw, f"{repository.name}@{config.digest}")
    except DocumentError as error:
        raise DocumentError(f"{source}: is no image: {error}") from None
    _check_architecture(architecture.platform.architecture, source)
    return architecture.platform.architecture


def _check_architecture(text: str, source: str) -> None:
    if not layersmeta.is_architecture(text):
        raise LayerscanError(f"{source}: {text[:80]!r} is no architecture name")
