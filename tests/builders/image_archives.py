"""Images that are not unpacked: OCI layouts, archives of them, and of ``docker save``.

A layout or an archive is first a dictionary of what is in it, which a test may
change::

    files = layout(named(image, "web:1"))                 # {"index.json": b"…", …}
    write_folder(files, tmp_path / "layout")
    write_tar(files, tmp_path / "layout.tar")
    write_tar(docker_save(Saved(image, ("web:1",))), tmp_path / "web.tar")
    write_layout(image, "web:1", tmp_path / "layout")     # "oci:…/layout:web:1"
    write_folder(skopeo_dir(image), tmp_path / "dir")
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.builders.documents import encoded, sha256
from tests.builders.images import Image, Index, Layer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.documents import Document

NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Symlink:
    target: str


@dataclass(frozen=True)
class HardLink:
    target: str


Files = dict[str, bytes | Symlink | HardLink]


# OCI layouts.


def named(what: Image | Index, name: str) -> Image | Index:
    """It as the ``index.json`` of a layout gives it a name."""
    return replace(what, annotations={NAME: name})


def layout(*entries: Image | Index) -> Files:
    """The files of a layout of these."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    files |= {blob_path(blob): blob for what in entries for blob in what.blobs}
    return files | index_json(*(what.descriptor for what in entries))


def index_json(*entries: Document) -> Files:
    """The file of a layout that says what is in it."""
    return {"index.json": encoded({"schemaVersion": 2, "manifests": entries})}


def blob_path(content: bytes) -> str:
    return f"blobs/sha256/{_hex(content)}"


# What skopeo copies into a folder.


def skopeo_dir(what: Image | Index) -> Files:
    """The files of ``dir:``, where documents and blobs lie beside each other."""
    files: Files = {"version": b"Directory Transport Version: 1.1\n"}
    return files | _in_dir(what) | {"manifest.json": what.document}


def _in_dir(what: Image | Index) -> Files:
    files: Files = {f"{_hex(what.document)}.manifest.json": what.document}
    if isinstance(what, Image):
        return files | {_hex(blob): blob for blob in what.blobs[1:]}
    for one in what.inner:
        files |= _in_dir(one)
    return files


def _hex(content: bytes) -> str:
    return sha256(content).removeprefix("sha256:")


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
            home = homes.setdefault(layer.diff_id, path)
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
    images = [one.image if packed else _as_tars(one.image) for one in saved]
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


def _as_tars(image: Image) -> Image:
    return replace(image, layers=tuple(Layer(layer.tar, "") for layer in image.layers))


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


def write_layout(what: Image | Index, name: str, root: Path) -> str:
    """Write a layout of what has this name in it; what skopeo calls it."""
    return f"oci:{write_folder(layout(named(what, name)), root)}:{name}"


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
