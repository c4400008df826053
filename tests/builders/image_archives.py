"""Images that are not unpacked: OCI layouts, archives of them, and of ``docker save``.

Owns the bytes; nothing of layerscan is asked for a digest here. A layout or an
archive is first a dictionary of what is in it, which a test may change::

    image = Image.of(b"tar", b"tar")                      # or Image("arm64", (Layer(tar), …))
    files = layout(named(image, "web:1"))                 # {"index.json": b"…", …}
    write_folder(files, tmp_path / "layout")
    write_tar(files, tmp_path / "layout.tar")
    write_tar(docker_save(Saved(image, ("web:1",))), tmp_path / "web.tar")
    put(registry, "acme/web", image, "1")
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.builders.tree import File, tar_stream
from tests.builders.zstd import zstd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME = "org.opencontainers.image.ref.name"

Document = dict[str, object]


@dataclass(frozen=True)
class Symlink:
    target: str


@dataclass(frozen=True)
class HardLink:
    target: str


Files = dict[str, bytes | Symlink | HardLink]


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def tar_of(**files: bytes) -> bytes:
    """A tar of regular files."""
    return b"".join(tar_stream([File(name, content) for name, content in files.items()]))


@dataclass(frozen=True)
class Layer:
    """A layer: its tar, and how it is packed: ``gzip``, ``zstd`` or not at all."""

    tar: bytes
    packed: str = "gzip"
    media_type: str | None = None

    @property
    def blob(self) -> bytes:
        if self.packed == "gzip":
            return gzip.compress(self.tar, mtime=0)
        return zstd.compress(self.tar) if self.packed == "zstd" else self.tar

    @property
    def descriptor(self) -> Document:
        suffix = f"+{self.packed}" if self.packed else ""
        media_type = LAYER + suffix if self.media_type is None else self.media_type
        return _descriptor(self.blob, media_type)


@dataclass(frozen=True)
class Image:
    """An image; `changes` go into its manifest, `config_changes` into its config."""

    architecture: str = "amd64"
    layers: tuple[Layer, ...] = ()
    variant: str = ""
    changes: Document = field(default_factory=dict)
    config_changes: Document = field(default_factory=dict)
    config_type: str = CONFIG
    system: str = "linux"

    @classmethod
    def of(cls, *tars: bytes) -> Image:
        return cls(layers=tuple(map(Layer, tars)))

    @property
    def platform(self) -> dict[str, str]:
        platform = {"architecture": self.architecture, "os": self.system}
        return {**platform, "variant": self.variant} if self.variant else platform

    @property
    def diff_ids(self) -> list[str]:
        return [sha256(layer.tar) for layer in self.layers]

    @property
    def config(self) -> bytes:
        rootfs = {"type": "layers", "diff_ids": self.diff_ids}
        return encoded({**self.platform, "rootfs": rootfs, "config": {}, **self.config_changes})

    @property
    def manifest(self) -> bytes:
        document: Document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(self.config, self.config_type),
            "layers": [layer.descriptor for layer in self.layers],
        }
        return encoded({**document, **self.changes})

    @property
    def blobs(self) -> list[bytes]:
        return [self.manifest, self.config, *(layer.blob for layer in self.layers)]

    @property
    def descriptor(self) -> Document:
        return {**_descriptor(self.manifest, MANIFEST), "platform": self.platform}


@dataclass(frozen=True)
class Index:
    """An index of images, indexes, and descriptors of other things."""

    entries: tuple[Image | Index | Document, ...]

    @property
    def document(self) -> bytes:
        entries = [one if isinstance(one, dict) else one.descriptor for one in self.entries]
        return encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    @property
    def blobs(self) -> list[bytes]:
        inner = [blob for one in self.entries if not isinstance(one, dict) for blob in one.blobs]
        return [self.document, *inner]

    @property
    def descriptor(self) -> Document:
        return _descriptor(self.document, INDEX)


def attestation(image: Image) -> Image:
    """What BuildKit puts beside an image, as a manifest of a platform that is none."""
    return Image(
        "unknown",
        (Layer(b"{}", "", "application/vnd.in-toto+json"),),
        system="unknown",
        changes={"annotations": {"vnd.docker.reference.digest": sha256(image.manifest)}},
    )


# OCI layouts.


def named(what: Image | Index, name: str) -> tuple[str, Image | Index]:
    return name, what


def layout(*entries: tuple[str, Image | Index] | Image | Index) -> Files:
    """The files of a layout; an entry with a name is called so in its index.json."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    manifests = []
    for entry in entries:
        name, what = entry if isinstance(entry, tuple) else ("", entry)
        annotations = {"annotations": {NAME: name}} if name else {}
        manifests.append({**what.descriptor, **annotations})
        for blob in what.blobs:
            files[blob_path(blob)] = blob
    files["index.json"] = encoded({"schemaVersion": 2, "manifests": manifests})
    return files


def blob_path(content: bytes) -> str:
    return f"blobs/sha256/{sha256(content).removeprefix('sha256:')}"


# Archives of docker save.


@dataclass(frozen=True)
class Saved:
    """An image as ``docker save`` has it, with its names."""

    image: Image
    tags: tuple[str, ...] | None = ()


def docker_save(*saved: Saved) -> Files:
    """As Docker before 25: ``<id>/layer.tar``, a layer that is there twice as a symlink."""
    files: Files = {}
    manifest = []
    homes: dict[str, str] = {}
    for number, one in enumerate(saved):
        paths = []
        for position, layer in enumerate(one.image.layers):
            folder = hashlib.sha256(f"{number} {position}".encode()).hexdigest()
            path = f"{folder}/layer.tar"
            home = homes.setdefault(sha256(layer.tar), path)
            files[f"{folder}/VERSION"] = b"1.0"
            files[f"{folder}/json"] = encoded({"id": folder})
            files[path] = layer.tar if home == path else Symlink(f"../{home}")
            paths.append(path)
        config = sha256(one.image.config).removeprefix("sha256:") + ".json"
        files[config] = one.image.config
        manifest.append({"Config": config, "RepoTags": one.tags, "Layers": paths})
    files["manifest.json"] = encoded(manifest)
    return files


def docker_save_25(*saved: Saved, packed: bool = False) -> Files:
    """As Docker 25 and newer: an OCI layout with a manifest.json beside its index.json.

    Args:
        saved: the images.
        packed: as with the containerd image store, whose layers are as in a registry;
            else they are plain tars.
    """
    images = [one.image if packed else _unpacked(one.image) for one in saved]
    files = layout(*images)
    files["manifest.json"] = encoded(
        [
            {
                "Config": blob_path(image.config),
                "RepoTags": one.tags,
                "Layers": [blob_path(layer.blob) for layer in image.layers],
            }
            for one, image in zip(saved, images, strict=True)
        ]
    )
    return files


def _unpacked(image: Image) -> Image:
    return Image(
        image.architecture,
        tuple(Layer(layer.tar, "") for layer in image.layers),
        image.variant,
        config_changes=image.config_changes,
    )


# Writing.


def write_folder(files: Files, root: Path) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, Symlink):
            path.symlink_to(content.target)
        else:
            path.hardlink_to(root / content.target)
    return root


def write_tar(files: Files, path: Path, packed: str = "") -> Path:
    """An archive of `files`, in their order; packed with gzip or zstd if that is asked for."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                continue
            member.type = tarfile.SYMTYPE if isinstance(content, Symlink) else tarfile.LNKTYPE
            member.linkname = content.target
            archive.addfile(member)
    path.write_bytes(Layer(raw.getvalue(), packed).blob)
    return path


def put(registry: OpenRegistry, path: str, what: Image | Index, tag: str) -> None:
    """Put an image, or an index and all in it, into a registry."""
    _put(registry, path, what, tag)


def _put(registry: OpenRegistry, path: str, what: Image | Index, tag: str | None) -> None:
    if isinstance(what, Index):
        for entry in what.entries:
            if not isinstance(entry, dict):
                _put(registry, path, entry, None)
        registry.put_manifest(path, what.document, INDEX, tag)
        return
    for blob in what.blobs[1:]:
        registry.put_blob(path, blob)
    registry.put_manifest(path, what.manifest, MANIFEST, tag)


def _descriptor(content: bytes, media_type: str) -> Document:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}
