"""What tests of the policies start from: devices of a few blocks, and Apps as they are read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layerscan.fit.contents import AppContents, Depth, from_metadata, read_app
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.fit.sources import find_app
from layerscan.registry import RegistryClient
from tests.builders.fit_apps import App, Layer, encode, metadata_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ARCH = "arm64"
PLENTY = 1 << 40


def volume(
    free_blocks: int,
    block_size: int = 4096,
    blocks: int = 1 << 30,
    withheld_blocks: int = 0,
    *,
    inodes: int | None = 0,
) -> Volume:
    """A volume, by default without a limit of inodes; else `inodes` are free."""
    return Volume(
        block_size,
        blocks,
        free_blocks,
        free_blocks,
        withheld_blocks,
        inodes=inodes,
        free_inodes=inodes,
    )


def bytes_of_disk(free: int, total: int = PLENTY) -> Volume:
    """A volume with blocks of one byte, for figures that are no blocks."""
    return Volume(1, total, free, free)


def device(
    store: Volume,
    docker: Volume | None = None,
    *,
    blobs: Iterable[str] = (),
    sizes: Mapping[str, int] | None = None,
    partial: Mapping[str, int] | None = None,
    engine: EngineLayers | None = None,
    installed: Iterable[str] = (),
) -> Device:
    """A device of one volume, or of two."""
    volumes = {"one": store} if docker is None else {"one": store, "two": docker}
    other = "one" if docker is None else "two"
    return Device(
        source="the device",
        architecture=ARCH,
        volumes=volumes,
        store_root="one",
        docker_root=other,
        store_parent="one",
        docker_parent=other,
        blobs=dict.fromkeys(blobs) | dict(sizes or {}),
        partial=partial or {},
        engine=engine,
        installed=frozenset(installed),
    )


def engine(*layers: str, keeps_blobs: bool = False, **more: Iterable[str]) -> EngineLayers:
    return EngineLayers(
        "overlay2",
        keeps_blobs,
        frozenset(layers),
        frozenset(more.get("digests", ())),
        frozenset(more.get("image_ids", ())),
    )


def metadata(*layers: Layer, source: str = "meta.json", fs_block_size: int = 4096) -> AppContents:
    """Metadata alone."""
    return from_metadata(encode({ARCH: metadata_of(layers, fs_block_size)}), source)


def app_of(*layers: Layer, **more: object) -> App:
    """An App of one image."""
    return App({"web": {ARCH: layers}}, **more)  # type: ignore[arg-type]


def read(app: App, depth: Depth, architecture: str = ARCH) -> AppContents:
    """The App as it is read from a store of blobs."""
    with tempfile.TemporaryDirectory() as folder, RegistryClient() as client:
        source = find_app(app.store(Path(folder)), client)
        found = read_app(*source, architecture=architecture, depth=depth)
    return found._replace(name="app")
