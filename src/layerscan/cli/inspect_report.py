"""The report of ``inspect``: tables for people, the same facts as JSON for programs."""

import re
from typing import TYPE_CHECKING

from layerscan.cli.output import print_json
from layerscan.cli.tables import Table, human, print_tables, short
from layerscan.oci.platforms import platform_text
from layerscan.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerscan.layersmeta import LayerMeta
    from layerscan.oci import Descriptor
    from layerscan.publishing.inspection import AppContent, ImageContent, Inspection


def print_report(result: "Inspection", form: str) -> None:
    """Print the report, as JSON or for people."""
    if form == "json":
        print_json(_plain(result))
    else:
        _print_text(result)


def _plain(result: "Inspection") -> dict[str, object]:
    return {
        "reference": str(result.reference),
        "kind": result.kind,
        "digest": result.fetched.digest,
        "media_type": result.fetched.media_type,
        "size": len(result.fetched.raw),
        "app": None if result.app is None else _app(result.app),
        "images": [_image(image) for image in result.images],
        "attestations": [
            {"digest": one.manifest.digest, "size": one.manifest.size, "about": one.about}
            for one in result.attestations
        ],
        "others": [
            {"digest": one.digest, "media_type": one.media_type, "size": one.size}
            for one in result.others
        ],
    }


def _app(content: "AppContent") -> dict[str, object]:
    app = content.app
    return {
        "architectures": [_architecture(content, name) for name in content.architectures],
        "services": [
            {"service": service, "image": str(image)} for service, image in content.images.items()
        ],
        "files": [{**one._asdict(), "mode": f"{one.mode:04o}"} for one in content.files],
        "bundle": _reference(app.bundle),
        "metadata": None if app.metadata is None else _reference(app.metadata),
    }


def _architecture(content: "AppContent", name: str) -> dict[str, object]:
    manifest = content.app.layers_manifests.get(name)
    meta = (content.metadata or {}).get(name)
    return {
        "architecture": name,
        "layers_manifest": None if manifest is None else _reference(manifest),
        "fs_block_size": None if meta is None else meta.fs_block_size,
        "layers": [
            {"digest": digest, **_figures(layer)}
            for digest, layer in sorted(({} if meta is None else meta.layers).items())
        ],
        "totals": None if meta is None else _figures(total(meta.layers.values())),
    }


def _reference(descriptor: "Descriptor") -> dict[str, object]:
    return {"digest": descriptor.digest, "size": descriptor.size}


def _figures(layer: "LayerMeta") -> dict[str, object]:
    return {**layer._asdict(), "ratio": ratio(layer)}


def total(layers: "Collection[LayerMeta]") -> "LayerMeta":
    """The sum of `layers`; its archive size is None where that of a layer is."""
    from layerscan.layersmeta import LayerMeta

    archives = [layer.archive_size for layer in layers]
    known = [size for size in archives if size is not None]
    return LayerMeta(
        sum(layer.size for layer in layers),
        sum(layer.usage for layer in layers),
        sum(known) if len(known) == len(archives) else None,
    )


def ratio(layer: "LayerMeta") -> float | None:
    """How many times as long as its archive a layer's content is; None if that is unknown."""
    if not layer.archive_size:
        return None
    return round(layer.size / layer.archive_size, 2)


def _image(image: "ImageContent") -> dict[str, object]:
    platform = image.platform
    return {
        "platform": platform_text(platform),
        "architecture": platform.architecture if platform else "",
        "os": platform.os if platform else "",
        "variant": platform.variant if platform else "",
        "digest": image.manifest.digest,
        "media_type": image.manifest.media_type,
        "size": image.manifest.size,
        "image_id": image.image_id,
        "layers": [
            {"digest": one.digest, "media_type": one.media_type, "archive_size": one.size}
            for one in image.layers
        ],
        "archive_size": image.archive_size,
    }


def _print_text(result: "Inspection") -> None:
    fetched = result.fetched
    print(f"{result.reference}: {result.kind.replace('-', ' ')}, {len(fetched.raw):,} bytes")
    print(f"{fetched.digest} {fetched.media_type}")
    print()
    tables = _image_tables(result) if result.app is None else _app_tables(result.app)
    print_tables(*tables)
    if result.app is not None and result.app.metadata is None:
        print("without layers metadata: what its layers cost is not known")
    for attestation in result.attestations:
        about = "" if attestation.about is None else f" about {short(attestation.about)}"
        print(f"attestation {short(attestation.manifest.digest)}{about}")
    for other in result.others:
        print(f"no image: {short(other.digest)} {printable(other.media_type[:100])}")


def _app_tables(content: "AppContent") -> list[Table]:
    files = Table(["SIZE"], ["MODE", "KIND", "FILE"])
    for one in content.files:
        name = f"{one.name} -> {one.link}" if one.link else one.name
        files.add(human(one.size), f"{one.mode:04o}", one.kind, name)
    services = Table([], ["SERVICE", "IMAGE"])
    for service, image in content.images.items():
        services.add(service, image.familiar)
    documents = Table(["SIZE"], ["DOCUMENT", "DIGEST"])
    app = content.app
    named = [("bundle", app.bundle), ("layers metadata", app.metadata)]
    manifests = sorted(app.layers_manifests.items())
    named += ((f"layers manifest {name}", manifest) for name, manifest in manifests)
    for name, descriptor in named:
        if descriptor is not None:
            documents.add(human(descriptor.size), name, descriptor.digest)
    return [documents, services, files, *(_metadata_tables(content) if content.metadata else ())]


def _metadata_tables(content: "AppContent") -> list[Table]:
    layers = Table(["SIZE", "USAGE", "ARCHIVE", "RATIO"], ["ARCH", "LAYER"])
    totals = Table(["SIZE", "USAGE", "ARCHIVE", "RATIO", "LAYERS"], ["ARCH"])
    for name, meta in sorted((content.metadata or {}).items()):
        for digest, layer in sorted(meta.layers.items(), key=lambda item: -item[1].usage):
            layers.add(*_columns(layer), name, short(digest))
        totals.add(*_columns(total(meta.layers.values())), str(len(meta.layers)), name)
    return [layers, totals]


def _columns(layer: "LayerMeta") -> tuple[str, str, str, str]:
    times = ratio(layer)
    return (
        human(layer.size),
        human(layer.usage),
        "" if layer.archive_size is None else human(layer.archive_size),
        "" if times is None else f"{times:.2f}",
    )


def _image_tables(result: "Inspection") -> list[Table]:
    images = Table(["ARCHIVE", "LAYERS"], ["MANIFEST", "IMAGE ID", "PLATFORM"])
    layers = Table(["ARCHIVE"], ["LAYER", "TYPE", "PLATFORM"])
    for image in result.images:
        platform = platform_text(image.platform)
        images.add(
            human(image.archive_size),
            str(len(image.layers)),
            short(image.manifest.digest),
            "" if image.image_id is None else short(image.image_id),
            platform,
        )
        for layer in image.layers:
            layers.add(
                human(layer.size), short(layer.digest), compression(layer.media_type), platform
            )
    return [images, layers]


def compression(media_type: str) -> str:
    """What a layer's archive is packed with, as its media type says; else that type."""
    packed = re.search(r"tar(?:[+.](gzip|zstd))?\Z", media_type)
    if packed is None:
        return printable(media_type[:100]) or "unknown"
    return packed[1] or "tar"
