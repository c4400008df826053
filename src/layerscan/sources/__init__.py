"""Images that are not unpacked, where they are: registries, OCI layouts, archives.

    with open_source("oci:layout:web", RegistryClient) as source:
        for image in source.images({"arm64"}):
            for layer in image.layers:
                with source.layer(layer) as chunks: ...

Owns the names of the transports, which are skopeo's. Each source is a module; ``model`` is
what all of them give, ``images`` turns documents into images, ``archive`` and ``extents``
know where bytes lie, and ``decompress`` makes a tar of a layer's blob.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from layerscan.errors import ReferenceSyntaxError, SourceError
from layerscan.reference import parse
from layerscan.sources.extents import FolderFiles
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.sources.names import split
from layerscan.text import printable, quoted

if TYPE_CHECKING:
    from layerscan.registry import RegistryClient

__all__ = ["TRANSPORTS", "Source", "SourceImage", "SourceLayer", "open_source"]

TRANSPORTS = (
    "docker://REF",
    "oci:DIR[:REF]",
    "oci-archive:FILE[:REF]",
    "docker-archive:FILE[:REF]",
    "dir:DIR",
    "docker-daemon:REF",
    "containers-storage:REF",
)
"""The forms of a source's name."""

_OTHERS = ("ostree", "sif", "tarball")
"""skopeo's transports that are none here."""


def open_source(text: str, client: Callable[[], "RegistryClient"]) -> Source:
    """The source that `text` names: a transport and what it needs, see `TRANSPORTS`.

    Nothing but archives is opened yet. `client` gives the registries; it is asked for only
    if needed, maybe more than once, and not closed here. Raises LayerscanError where `text`
    is no source, or an archive cannot be read.
    """
    transport, colon, rest = text.partition(":")
    if colon and transport == "docker" and rest.startswith("//"):
        from layerscan.sources.registry import RegistrySource

        return RegistrySource(text, parse(rest.removeprefix("//")), client)
    if colon and rest and transport in _SINGLE:
        return _SINGLE[transport](text, rest)
    if not colon or transport not in ("oci", "oci-archive", "docker-archive"):
        raise SourceError(f"{quoted(text)}: {_hint(text)}")
    from layerscan.sources.archive import Archive
    from layerscan.sources.docker_archive import DockerArchive
    from layerscan.sources.oci_layout import OciLayout

    path, wanted = split(rest, transport)
    if transport == "docker-archive":
        return DockerArchive(text, Archive(path), wanted)
    files = Archive(path) if transport == "oci-archive" else _folder(path, rest)
    return OciLayout(text, files, wanted)


def _image_folder(text: str, path: str) -> Source:
    from layerscan.sources.folder import ImageFolder

    return ImageFolder(text, _folder(path, path))


def _daemon(text: str, wanted: str) -> Source:
    from layerscan.sources.docker_daemon import open_daemon

    return open_daemon(text, wanted)


def _storage(text: str, wanted: str) -> Source:
    from layerscan.sources.containers_storage import StorageImage

    return StorageImage(text, wanted)


_SINGLE = {"dir": _image_folder, "docker-daemon": _daemon, "containers-storage": _storage}
"""What gives one image, or one index, and is named by all that follows the colon."""


def _folder(path: str, text: str) -> FolderFiles:
    """The files of the OCI layout in `path`; `text` is that and what is wanted in it."""
    if not os.path.isdir(path):
        what = "is no folder" if os.path.lexists(path) else "there is no such folder"
        if os.path.isfile(path):
            what += f"; did you mean {printable(f'oci-archive:{text}')}?"
        raise SourceError(f"{printable(path)}: {what}")
    return FolderFiles(path)


def _hint(text: str) -> str:
    """What to write in place of `text`."""
    forms = f"a source is one of {', '.join(TRANSPORTS)}"
    transport, _, rest = text.partition(":")
    if transport in _OTHERS:
        return f"{transport} is not read here: {forms}"
    if os.path.isdir(text):
        return f"{forms}; did you mean {printable(f'oci:{text}')}?"
    if os.path.isfile(text):
        return f"{forms}; did you mean {printable(f'docker-archive:{text}')}?"
    reference = rest.lstrip("/") if transport == "docker" and "/" in rest else text
    try:
        parse(reference)
    except ReferenceSyntaxError:
        return forms
    return f"{forms}; did you mean docker://{reference}?"
