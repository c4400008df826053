"""A published App, as it is read back: its manifest, metadata and bundle.

Owns what these documents must hold to be an App's. Where they lie, the caller
knows; all of it is input that cannot be trusted. A bundle is never extracted:
it is read from front to back, and what it may unpack to is bounded.
"""

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import layersmeta, oci, reference
from layerscan.apps.compose import read_services
from layerscan.apps.discovery import COMPOSE_FILE
from layerscan.errors import DocumentError, ReferenceSyntaxError
from layerscan.jsondoc import Place
from layerscan.layersmeta import LayersMeta
from layerscan.oci import Descriptor, Index, Manifest
from layerscan.oci.blobs import Blobs
from layerscan.reference import Reference
from layerscan.text import printable, quoted

APP_ANNOTATION = "compose-app"
METADATA_ANNOTATION = "layers-meta"
INDEX_DIGEST = "org.foundries.app.bundle.index.digest"
INDEX_SIZE = "org.foundries.app.bundle.index.size"
"""The annotations of a bundle's descriptor that name its index."""
VERSION = "v1"  # the value of both annotations, and of that of layers manifests
MAX_BUNDLE = 64 * 1024 * 1024  # bytes of the longest bundle that is read into memory
MAX_UNPACKED = 1024 * 1024 * 1024  # bytes that a bundle may unpack to
MOST_FILES = 100_000  # entries that a bundle may have
MAX_COMPOSE_FILE = 1024 * 1024  # bytes of the longest Compose file that is read from a bundle
# What tarfile may ask for at once: the header of a long name, or the Compose file.
_LONGEST_READ = 1024 * 1024
_MOST_MEMBERS = 1000  # members of a bundle's gzip file, which has one from any publisher
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip with header and trailer
_KINDS = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "link"}
_LONGEST_NAME = 4096
_CHUNK = 64 * 1024


class PublishedApp(NamedTuple):
    """An App manifest."""

    source: str  # where it is from, for messages
    raw: bytes
    digest: str  # of `raw`, the document
    bundle: Descriptor  # the App's files
    # what its layers cost; None if it was published without, or with a version of it that no client
    # reads
    metadata: Descriptor | None
    # by architecture; empty where the registry took none
    layers_manifests: Mapping[str, Descriptor]


class BundleFile(NamedTuple):
    """An entry of a bundle; its path in the App's folder, and where it leads, are printable.

    Attributes:
        kind: ``file``, ``folder``, ``symlink``, ``link`` or ``other``.
        mode: its permission bits.
        size: bytes of content.
        link: where a symlink or link leads; else empty.
    """

    name: str
    kind: str
    mode: int
    size: int
    link: str


def is_app(manifest: Manifest | Index) -> bool:
    """Whether a manifest says that it is an App's."""
    return isinstance(manifest, Manifest) and manifest.annotations.get(APP_ANNOTATION) == VERSION


def loads_app(raw: bytes, source: str) -> PublishedApp:
    """Read an App manifest; a `DocumentError` calls it `source` if it is not one."""
    place = Place(source)
    manifest = oci.loads(raw, source)
    if not is_app(manifest):
        raise place.fault(f'is no App: annotation "{APP_ANNOTATION}": "{VERSION}" is missing')
    assert isinstance(manifest, Manifest)  # noqa: S101 - is_app says so
    at_layers = place.key("layers")
    if not manifest.layers:
        raise at_layers.fault("is empty: an App has a bundle")
    bundle, *more = manifest.layers
    if METADATA_ANNOTATION in bundle.annotations:
        raise at_layers.key(0).fault("is layers metadata, where the bundle must be")
    # Clients take the second layer and no other, and pass over another version.
    metadata = more[0] if more and more[0].annotations.get(METADATA_ANNOTATION) == VERSION else None
    return PublishedApp(
        source, raw, digests.sha256(raw), bundle, metadata, _layers_manifests(manifest, place)
    )


def _layers_manifests(manifest: Manifest, place: Place) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for index, descriptor in enumerate(manifest.manifests):
        at = place.key("manifests").key(index)
        architecture = descriptor.platform.architecture if descriptor.platform else ""
        if not layersmeta.is_architecture(architecture):
            raise at.fault(f"{quoted(architecture)} is no architecture name")
        if architecture in found:
            raise at.fault(f"there is one for {architecture} already")
        found[architecture] = descriptor
    return found


def load_metadata(app: PublishedApp, documents: Blobs) -> dict[str, LayersMeta] | None:
    """The layers metadata of an App by architecture, None if it has none."""
    if app.metadata is None:
        return None
    raw = documents.fetch(app.metadata, limit=layersmeta.MAX_DOCUMENT)
    return layersmeta.loads_by_arch(raw, f"{app.source}: layers metadata")


def bundle_files(raw: bytes, source: str) -> list[BundleFile]:
    """What a bundle, a gzip'd tar, holds; a `DocumentError` if malformed, or more than is read."""
    return [
        BundleFile(
            printable(entry.name[:_LONGEST_NAME]),
            "file" if entry.isreg() else _KINDS.get(entry.type, "other"),
            entry.mode & 0o7777,
            # What a header says of others has no bound, and is nothing that is there.
            entry.size if entry.isreg() else 0,
            printable(entry.linkname[:_LONGEST_NAME]),
        )
        for entry, _ in _entries(raw, source)
    ]


def bundle_images(raw: bytes, source: str) -> dict[str, Reference]:
    """The image of each service, from the Compose file of a bundle.

    Raises:
        DocumentError: the bundle is malformed or has no Compose file, or an
            image is not pinned by its digest.
        ComposeError: the Compose file is malformed.
    """
    name = f"{printable(source)}: {COMPOSE_FILE}"
    images: dict[str, Reference] = {}
    for service in read_services(_compose_file(raw, source, name), name):
        where = f"{name}:{service.line}: service {service.name}"
        try:
            image = reference.parse(service.image)
        except ReferenceSyntaxError as error:
            raise DocumentError(f"{where}: {error}") from None
        if image.digest is None:
            raise DocumentError(f"{where}: {image.familiar} is not pinned by a digest")
        images[service.name] = image
    return images


def _compose_file(raw: bytes, source: str, name: str) -> str:
    found = (content for _, content in _entries(raw, source) if content is not None)
    content = next(found, None)
    if content is None:
        raise DocumentError(f"{printable(source)}: has no {COMPOSE_FILE}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name}: is not UTF-8 at byte {error.start}") from None


def _entries(raw: bytes, source: str) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The entries of a bundle, and of its Compose file the content."""
    name = printable(source)
    try:
        unpacked = _Unpacked(raw, name)
        with tarfile.open(fileobj=unpacked, mode="r:") as tar:  # type: ignore[call-overload]
            for number, entry in enumerate(tar):
                if number >= MOST_FILES:
                    raise DocumentError(f"{name}: has more than {MOST_FILES} entries")
                if entry.size < 0 and entry.isreg():
                    raise DocumentError(f"{name}: is no gzip'd tar: a file of less than no bytes")
                file = tar.extractfile(entry) if _is_compose_file(entry, name) else None
                yield entry, file.read() if file else None
            # The checksum of all of it comes last.
            while unpacked.read(_CHUNK):
                pass
    except RecursionError:
        # tarfile reads a header within the one before it, if that is an extended one.
        raise DocumentError(f"{name}: is no gzip'd tar: too many headers for one file") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        what = printable(str(error)[:200])
        raise DocumentError(f"{name}: is no gzip'd tar: {what}") from None


def _is_compose_file(entry: tarfile.TarInfo, name: str) -> bool:
    if not entry.isreg() or entry.name.removeprefix("./") != COMPOSE_FILE:
        return False
    if entry.size > MAX_COMPOSE_FILE:
        raise DocumentError(f"{name}: {COMPOSE_FILE}: is longer than {MAX_COMPOSE_FILE} bytes")
    return True


class _Unpacked:
    """The tar in a gzip file (RFC 1952), read once, from front to back, and bounded.

    tarfile reads whole what a header says is a long name: here no read is longer than
    such names are, whatever a header says. An empty member of the gzip file has 20
    bytes: Python's own reader would look at millions of them.
    """

    def __init__(self, raw: bytes, name: str) -> None:
        self._raw = raw
        self._name = name
        self._at = 0
        self._position = 0
        self._members = 0
        self._unpacker = self._next_member()

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        if not 0 <= size <= _LONGEST_READ:
            raise DocumentError(f"{self._name}: is no gzip'd tar: has a header of {size} bytes")
        found = bytearray()
        while len(found) < size:
            if self._unpacker.eof:
                self._at -= len(self._unpacker.unused_data)
                if self._at == len(self._raw):
                    break
                self._unpacker = self._next_member()
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._raw[self._at : self._at + _CHUNK]
                self._at += len(packed)
            content = self._unpacker.decompress(packed, size - len(found))
            # Without more to unpack it may still have had something in hand.
            if not packed and not content and not self._unpacker.eof:
                raise EOFError("it ends too early")
            found += content
        self._position += len(found)
        if self._position > MAX_UNPACKED:
            raise DocumentError(f"{self._name}: unpacks to more than {MAX_UNPACKED} bytes")
        return bytes(found)

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("it leads back to what was read")
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                raise tarfile.ReadError("unexpected end of data")
        return self._position

    def _next_member(self) -> "zlib._Decompress":
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS} members")
        return zlib.decompressobj(wbits=_GZIP_FORMAT)
