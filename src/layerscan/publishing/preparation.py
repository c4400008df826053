"""An App before it is published: all its documents, made and not yet put anywhere.

Owns what goes into them: which image each service has, which architectures the
App is for, and which part of the scans' metadata concerns it. Registries are
only read here. The same App, images and metadata give the same documents.
"""

import fnmatch
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from layerscan import layersmeta
from layerscan.apps import document as documents
from layerscan.apps.bundle import WrittenBundle, write_bundle
from layerscan.apps.discovery import COMPOSE_FILE, App
from layerscan.apps.images import FACTORY_REGISTRY, ServiceImage, retagged, service_images
from layerscan.apps.pinning import pin
from layerscan.errors import ComposeError, DocumentError
from layerscan.files.writing import open_folder, write_in
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci import OCI_INDEX, Descriptor
from layerscan.oci.blobs import APP_MANIFEST_FILE
from layerscan.publishing.resolution import ResolvedImage, Resolver
from layerscan.reference import Reference
from layerscan.text import printable

METADATA_FILE = "layers_meta.json"
BUNDLE_INDEX_FILE = "bundle_index.json"
_LAYERS_MANIFEST = "layers-manifest-*.json"


class Settings(NamedTuple):
    """What holds for all Apps of a run."""

    # what layers cost by architecture; None for no metadata at all
    metadata: Mapping[str, LayersMeta] | None
    environment: Mapping[str, str]  # the process's, for Compose files
    tag: str | None = None  # the tag that CI gave to the factory's images
    factory_registry: str = FACTORY_REGISTRY
    architectures: frozenset[str] | None = None  # the only ones wanted, None for all that there are
    # digests of images that a Compose file names without one, by the reference that it has there
    pinned_images: Mapping[Reference, str] = {}
    allow_missing_meta: bool = False  # publish without metadata where some of it is missing


class Prepared(NamedTuple):
    """The documents of an App: the pinned Compose file, the bundle in `bundle_path`, and more.

    Attributes:
        architectures: what the App is for, sorted.
        layers_manifests: by architecture.
        metadata: the metadata blob, None if there is none.
    """

    app: App
    compose_file: bytes
    bundle: WrittenBundle
    bundle_path: str
    architectures: tuple[str, ...]
    layers_manifests: Mapping[str, bytes]
    metadata: bytes | None
    warnings: tuple[str, ...]

    @property
    def layers_manifest_descriptors(self) -> dict[str, Descriptor]:
        """What refers to the layers manifests."""
        return {
            architecture: documents.descriptor_of(raw, OCI_INDEX, architecture)
            for architecture, raw in self.layers_manifests.items()
        }

    @property
    def metadata_descriptor(self) -> Descriptor:
        """What refers to the metadata blob; only where there is one."""
        return documents.descriptor_of(self.metadata or b"", documents.METADATA_TYPE)

    def app_manifest(self, *, with_layers_manifests: bool) -> bytes:
        """The App manifest; a `DocumentError` if it is too long."""
        return documents.app_manifest(
            self.bundle.descriptor,
            None if self.metadata is None else self.metadata_descriptor,
            self.layers_manifest_descriptors if with_layers_manifests else {},
        )

    def write_to(self, folder: str, app_manifest: bytes, *, with_layers_manifests: bool) -> None:
        """Write all documents to `folder`, in place of those of a run before; see `open_folder`."""
        files = {
            APP_MANIFEST_FILE: app_manifest,
            COMPOSE_FILE: self.compose_file,
            BUNDLE_INDEX_FILE: self.bundle.file_index,
        }
        if self.metadata is not None:
            files[METADATA_FILE] = self.metadata
        if with_layers_manifests:
            for architecture, raw in self.layers_manifests.items():
                files[_LAYERS_MANIFEST.replace("*", architecture)] = raw
        opened = open_folder(folder)
        try:
            earlier = [METADATA_FILE, *fnmatch.filter(os.listdir(opened), _LAYERS_MANIFEST)]
            for name in set(earlier) - files.keys():
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=opened)
            for name, content in files.items():
                write_in(opened, name, content)
            with open(self.bundle_path, "rb") as bundle:
                write_in(opened, f"{self.app.name}.tgz", bundle)
        except OSError as error:
            raise OSError(error.errno, error.strerror, folder) from None
        finally:
            os.close(opened)


class PlannedApp(NamedTuple):
    """An App that is read: by service, the image that is named, and what that is.

    Attributes:
        text: its Compose file.
        architectures: what the App is for, sorted.
    """

    app: App
    text: str
    services: Mapping[str, ServiceImage]
    resolved: Mapping[str, ResolvedImage]
    architectures: tuple[str, ...]
    warnings: tuple[str, ...]


def plan(app: App, settings: Settings, resolver: Resolver) -> PlannedApp:
    """Read an App, and look its images up."""
    text, services, _ = service_images(app, settings.environment)
    references = [_looked_up(image, settings) for image in services.values()]
    resolved = dict(zip(services, resolver.resolve(references), strict=True))
    architectures, warnings = _architectures(resolved, settings)
    unset = [
        f"service {service}: the image's name uses variables that are not set: "
        f"{', '.join(image.unset)[:200]}"
        for service, image in services.items()
        if image.unset
    ]
    beside = app.compose_file.removesuffix(".yml") + ".yaml"
    if os.path.lexists(beside):
        unset.append(f"{printable(beside)}: docker compose does not read it")
    notes = dict.fromkeys(note for image in resolved.values() for note in image.notes)
    return PlannedApp(app, text, services, resolved, architectures, (*unset, *notes, *warnings))


def prepare(planned: PlannedApp, settings: Settings, bundle_path: str) -> Prepared:
    """Make the documents of an App, and its bundle as the file `bundle_path`."""
    app = planned.app
    layers, metas, missing = _costs(planned, settings)
    warnings = list(planned.warnings)
    if missing and settings.metadata is not None:
        warnings.append(f"published without layers metadata: {missing}")
    pinned_names = {service: str(image.pinned) for service, image in planned.resolved.items()}
    compose_file = pin(planned.text, printable(app.compose_file), pinned_names)
    with open(bundle_path, "xb") as file:
        bundle = write_bundle(app, compose_file, file)
    return Prepared(
        app,
        compose_file,
        bundle,
        bundle_path,
        planned.architectures,
        {name: documents.layers_manifest(name, found) for name, found in layers.items()},
        None if missing else layersmeta.dumps_by_arch(metas, compact=True),
        tuple(warnings),
    )


def _costs(
    planned: PlannedApp, settings: Settings
) -> tuple[dict[str, list[Descriptor]], dict[str, LayersMeta], str]:
    """By architecture the layers and their metadata, and what of that is missing."""
    layers: dict[str, list[Descriptor]] = {}
    metas: dict[str, LayersMeta] = {}
    missing = ""
    for architecture in planned.architectures:
        known = (settings.metadata or {}).get(architecture)
        chosen = _chosen(planned.resolved, architecture, known)
        layers[architecture] = documents.union(layer for _, _, layer in chosen)
        try:
            metas[architecture] = _cut_down(chosen, architecture, settings.metadata)
        except DocumentError as error:
            if not settings.allow_missing_meta:
                raise
            missing = missing or str(error)
    return layers, metas, missing


def _looked_up(image: ServiceImage, settings: Settings) -> Reference:
    """What is looked up for a service's image, with a tag or a digest."""
    found = retagged(image, settings.tag, settings.factory_registry, default_tag=False)
    if found.digest is not None:
        return found
    if found in settings.pinned_images:
        return Reference(found.registry, found.path, None, settings.pinned_images[found])
    if found.tag is None:
        raise ComposeError(
            f"{image.where}: image {found.familiar} has neither tag nor digest; give one there, "
            f"or --pinned-image {found.familiar}@sha256:…"
        )
    return found


def _architectures(
    resolved: Mapping[str, ResolvedImage], settings: Settings
) -> tuple[tuple[str, ...], list[str]]:
    """The architectures that every image has and that are wanted, and warnings."""
    common = frozenset.intersection(*(frozenset(image.images) for image in resolved.values()))
    wanted = common if settings.architectures is None else common & settings.architectures
    if not wanted:
        have = "; ".join(f"{name}: {', '.join(image.has)}" for name, image in resolved.items())
        among = "" if settings.architectures is None else " among those of --arch"
        raise DocumentError(f"no architecture{among} that the images of all services have ({have})")
    names = tuple(sorted(wanted))
    if len(names) > documents.MOST_ARCHITECTURES:
        raise DocumentError(
            f"has {len(names)} architectures ({', '.join(names)}), of which clients take "
            f"{documents.MOST_ARCHITECTURES}: choose with --arch"
        )
    missing = sorted((settings.architectures or frozenset()) - common)
    if not missing:
        return names, []
    lacks = next(name for name, image in resolved.items() if missing[0] not in image.images)
    return names, [f"not published for {', '.join(missing)}: service {lacks} has no image for it"]


def _chosen(
    resolved: Mapping[str, ResolvedImage], architecture: str, known: LayersMeta | None
) -> list[tuple[str, ResolvedImage, Descriptor]]:
    """The layers that count, each with the service and the image that it is of.

    An index may have several variants of an architecture (arm v6 and v7), of
    which a machine that is scanned pulls one: those that were scanned count, or
    all of them if none was, or if there is no metadata to go by.
    """
    chosen = []
    for service, image in resolved.items():
        variants = [one.manifest.layers for one in image.images[architecture]]
        scanned = [
            variant
            for variant in variants
            if known is not None and all(layer.digest in known.layers for layer in variant)
        ]
        chosen += [(service, image, layer) for variant in scanned or variants for layer in variant]
    return chosen


def _cut_down(
    layers: Iterable[tuple[str, ResolvedImage, Descriptor]],
    architecture: str,
    metadata: Mapping[str, LayersMeta] | None,
) -> LayersMeta:
    """The part of the metadata that is about `layers`, with their archive sizes."""
    if metadata is None or architecture not in metadata:
        have = ", ".join(metadata or ()) or "none"
        raise DocumentError(
            f"the layers metadata has no architecture {architecture} (it has {have}): scan its "
            "build machine and merge, or choose architectures with --arch"
        )
    known = metadata[architecture]
    cut: dict[str, LayerMeta] = {}
    for service, image, layer in layers:
        if layer.digest not in known.layers:
            raise DocumentError(
                f"layer {layer.digest} of service {service} ({image.asked.familiar}, "
                f"{architecture}) is in no scan: was the image rebuilt or retagged after the scan?"
            )
        figures = known.layers[layer.digest]
        cut[layer.digest] = LayerMeta(figures.size, figures.usage, layer.size)
    inodes = {digest: known.inodes[digest] for digest in cut if digest in known.inodes}
    return LayersMeta(known.fs_block_size, cut, known.file_system, inodes)
