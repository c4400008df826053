"""Publishing Compose Apps: from a folder and a registry's images to an App in a registry.

Owns the order of it: what is looked up, which documents are made of it, and
that an App manifest is put into the registry only after all that it refers to.
The documents' bytes are `layerscan.apps.document`'s matter, requests the
registry client's. It prints nothing.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import BinaryIO, Literal, NamedTuple

from layerscan import digest as digests
from layerscan.apps import document as documents
from layerscan.apps.bundle import BUNDLE_TYPE
from layerscan.apps.discovery import App
from layerscan.errors import LayerscanError, NotInRegistryError, RefusedByRegistryError
from layerscan.oci import OCI_INDEX, OCI_MANIFEST, Descriptor
from layerscan.parallel import in_parallel
from layerscan.publishing.preparation import PlannedApp, Prepared, Settings, plan, prepare
from layerscan.publishing.resolution import Resolver
from layerscan.reference import Reference
from layerscan.registry import RegistryClient, Repository

# Whether they are put into the registry: where it takes them, always, or never.
LayersManifests = Literal["auto", "always", "never"]

# The HTTP status of a registry that does not take a document of this kind.
_REFUSALS = (400, 405, 415, 422)
# Codes with such a status that are not about the kind of document.
_OTHER_FAULTS = frozenset({"NAME_INVALID", "NAME_UNKNOWN", "TAG_INVALID", "DIGEST_INVALID"})


class AppsProgress(NamedTuple):
    """How far a run has come: Apps that are done or have failed, of how many; bytes sent."""

    done: int
    apps: int
    sent: int


class Published(NamedTuple):
    """An App that is in the registry, or with a dry run would be.

    Attributes:
        digest, size: of its App manifest.
        sent: bytes of blobs that were uploaded.
    """

    app: str
    target: Reference
    digest: str
    size: int
    architectures: tuple[str, ...]
    has_metadata: bool
    has_layers_manifests: bool
    sent: int
    warnings: tuple[str, ...]


class Failed(NamedTuple):
    """An App that is not published, and why, in one line."""

    app: str
    reason: str


class Run(NamedTuple):
    """What a run is about.

    Attributes:
        apps: the Apps, each with the reference that it is to be under.
        scratch: an empty folder for the bundles.
        dry_run: where to write the documents instead, None to publish.
        workers: how many Apps are under way at a time.
    """

    apps: Sequence[tuple[PlannedApp, Reference]]
    settings: Settings
    layers_manifests: LayersManifests
    scratch: str
    dry_run: str | None = None
    workers: int = 8


def plan_apps(
    apps: Sequence[App], settings: Settings, client: RegistryClient, *, workers: int = 8
) -> list[PlannedApp | Failed]:
    """Read Apps and look their images up, each once; one that fails keeps no other from it.

    `workers` says how many Apps, and how many look-ups, are under way at a time.
    """
    resolver = Resolver(client, workers, settings.architectures)

    def task(app: App, _: object) -> PlannedApp | Failed:
        try:
            return plan(app, settings, resolver)
        except LayerscanError as error:
            return Failed(app.name, str(error))

    return in_parallel([partial(task, app) for app in apps], workers=workers)


def publish(
    run: Run, client: RegistryClient, on_progress: Callable[[AppsProgress], object] | None = None
) -> list[Published | Failed]:
    """Publish Apps; one that fails keeps no other from being published.

    Publishing what is there already uploads nothing. `on_progress` is called from any
    thread, one at a time.

    Returns:
        What became of each App, in their order.
    """
    lock, progress = threading.Lock(), AppsProgress(0, len(run.apps), 0)

    def count(*, done: int = 0, sent: int = 0) -> None:
        nonlocal progress
        with lock:
            progress = progress._replace(done=progress.done + done, sent=progress.sent + sent)
            if on_progress is not None:
                on_progress(progress)

    def task(planned: PlannedApp, target: Reference, _: object) -> Published | Failed:
        try:
            upload = _AppUpload(client.repository(target), target, count)
            return _publish(run, planned, upload)
        except LayerscanError as error:
            return Failed(planned.app.name, str(error))
        except OSError as error:
            where = error.filename or planned.app.name
            return Failed(planned.app.name, f"{where}: {error.strerror}")
        finally:
            count(done=1)

    return in_parallel([partial(task, *one) for one in run.apps], workers=run.workers)


def _publish(run: Run, planned: PlannedApp, upload: "_AppUpload") -> Published:
    """Publish one App, or write out what would be pushed, to its folder of the dry run."""
    bundle = os.path.join(run.scratch, f"{os.urandom(8).hex()}.tgz")
    try:
        prepared = prepare(planned, run.settings, bundle)
        if run.dry_run is None:
            return upload.run(prepared, run.layers_manifests)
        taken = run.layers_manifests != "never"
        raw = prepared.app_manifest(with_layers_manifests=taken)
        folder = os.path.join(run.dry_run, planned.app.name)
        prepared.write_to(folder, raw, with_layers_manifests=taken)
        return _published(prepared, upload.target, raw, has_layers_manifests=taken)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(bundle)


class _AppUpload:
    """One App on its way into the repository; `count` is told of the bytes that are sent."""

    def __init__(
        self, repository: Repository, target: Reference, count: Callable[..., None]
    ) -> None:
        self.repository = repository
        self.target = target
        self.count = count
        self.sent = 0

    def run(self, prepared: Prepared, layers_manifests: LayersManifests) -> Published:
        self._blob(documents.CONFIG_DESCRIPTOR, partial(BytesIO, documents.CONFIG))
        bundle, index = prepared.bundle
        # push_blob closes it.
        self._blob(bundle, lambda: open(prepared.bundle_path, "rb"))  # noqa: SIM115
        self._blob(documents.descriptor_of(index, BUNDLE_TYPE), partial(BytesIO, index))
        if prepared.metadata is not None:
            self._blob(prepared.metadata_descriptor, partial(BytesIO, prepared.metadata))
        taken, refused = layers_manifests != "never", ""
        try:
            if taken:
                self._layers_manifests(prepared)
            raw = self._app_manifest(prepared, with_layers_manifests=taken)
        except RefusedByRegistryError as error:
            if not (taken and _is_refusal(error)):
                raise
            refused = f"{self.target.registry} takes no layers manifests"
            if layers_manifests == "always":
                raise LayerscanError(
                    f"{refused}, which --layers-manifests always asks for: {error}"
                ) from None
            taken, refused = False, f"{refused}: published without them ({error})"
            raw = self._app_manifest(prepared, with_layers_manifests=False)
        tag = self.target.tag
        if tag is not None and not self._is_under(tag, digests.sha256(raw)):
            self.repository.push_manifest(raw, OCI_MANIFEST, tag)
        published = _published(prepared, self.target, raw, has_layers_manifests=taken)
        warnings = (refused, *published.warnings) if refused else published.warnings
        return published._replace(sent=self.sent, warnings=warnings)

    def _blob(self, descriptor: Descriptor, opened: Callable[[], BinaryIO]) -> None:
        self.repository.push_blob(descriptor, opened, on_bytes=self._count)

    def _count(self, sent: int) -> None:
        self.sent += sent
        self.count(sent=sent)

    def _layers_manifests(self, prepared: Prepared) -> None:
        for architecture, descriptor in prepared.layers_manifest_descriptors.items():
            if self.repository.has(descriptor):
                continue
            try:
                raw = prepared.layers_manifests[architecture]
                self.repository.push_manifest(raw, OCI_INDEX, descriptor.digest)
            except NotInRegistryError as error:
                # It looks for the layers, which are in the images' repositories.
                raise RefusedByRegistryError(str(error), status=400, code="") from None

    def _app_manifest(self, prepared: Prepared, *, with_layers_manifests: bool) -> bytes:
        """Put the App manifest under its digest."""
        raw = prepared.app_manifest(with_layers_manifests=with_layers_manifests)
        descriptor = documents.descriptor_of(raw, OCI_MANIFEST)
        if not self.repository.has(descriptor):
            self.repository.push_manifest(raw, OCI_MANIFEST, descriptor.digest)
        return raw

    def _is_under(self, tag: str, digest: str) -> bool:
        try:
            return self.repository.manifest(tag).digest == digest
        except LayerscanError:
            # Whatever is there, or is not: the tag gets the App.
            return False


def _is_refusal(error: RefusedByRegistryError) -> bool:
    """Whether a registry says that it takes no documents of this kind."""
    return error.status in _REFUSALS and error.code not in _OTHER_FAULTS


def _published(
    prepared: Prepared, target: Reference, raw: bytes, *, has_layers_manifests: bool
) -> Published:
    """What became of an App whose manifest is `raw`."""
    warnings = list(prepared.warnings)
    if len(raw) > documents.LONGEST_FOR_OLD_CLIENTS:
        warnings.append(
            f"the App manifest has {len(raw)} bytes: old versions of aktualizr-lite read "
            f"{documents.LONGEST_FOR_OLD_CLIENTS}; fewer architectures (--arch) make it shorter"
        )
    return Published(
        prepared.app.name,
        target,
        digests.sha256(raw),
        len(raw),
        prepared.architectures,
        prepared.metadata is not None,
        has_layers_manifests,
        0,
        tuple(warnings),
    )
