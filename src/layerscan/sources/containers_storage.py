"""An image in a store of Podman, Buildah or CRI-O: its layers as tars again.

containers/storage keeps for each layer what of its tar is in no file, the tar-split: a line
of JSON for each piece, which is either bytes or the content of a file of the layer
(github.com/vbatts/tar-split, "tar/storage"). What comes out has the layer's diff_id, or
is damaged.
"""

import base64
import json
import os
import re
import stat
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from layerscan import digest as digests
from layerscan import reference
from layerscan.digest import Hashing
from layerscan.errors import ReferenceSyntaxError, SourceError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Platform
from layerscan.sources.decompress import decompressed
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.stores import open_store
from layerscan.stores.model import Image, Layer
from layerscan.text import printable, quoted

_WANTED = re.compile(r"(?:\[(?:[a-z0-9]+@)?(?P<root>/[^]+]*)[^]]*\])?(?P<wanted>.+)")
_FILE, _BYTES = 1, 2
_MOST_SPLIT = 8 << 30  # bytes of the longest tar-split, unpacked
_LONGEST_LINE = 16 << 20
_PIECE = 256 * 1024

_NOTE = (
    "its layers are made from the store's files: their digests and archive sizes are not "
    "those of a registry"
)


class StorageImage(Source):
    """The image `wanted`, a reference or the start of its image_id; see `Source`.

    It is in the store of this machine, or in the one that ``[overlay@/root]REF`` names.
    """

    def __init__(self, name: str, wanted: str) -> None:
        match = _WANTED.fullmatch(wanted)
        if match is None:
            raise SourceError(f"{quoted(name)}: is not of the form containers-storage:[[ROOT]]REF")
        self.name = name
        self._root, self._wanted = match["root"], match["wanted"]
        self._layers: dict[str, Layer] = {}

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        """Its images; see `Source`."""
        shown = printable(self.name)
        store = open_store("containers-storage", self._root, exact=True)
        found = [image for image in store.images() if _is_meant(image, self._wanted)]
        if not found:
            raise SourceError(f"{shown}: the store {printable(store.root)} has no such image")
        images = []
        for image in found:
            if architectures is not None and image.architecture not in architectures:
                continue
            platform = Platform(image.architecture, image.os, image.variant)
            layers = [self._layer(layer, shown) for layer in image.layers]
            documents = (_config_length(image),)
            images.append(SourceImage(shown, platform, image.image_id, documents, tuple(layers)))
        if not images:
            have = ", ".join(sorted({quoted(image.architecture) for image in found}))
            raise SourceError(f"{shown}: is for {have}, which was not asked for")
        self.notes = (f"{shown}: {_NOTE}",)
        return images

    def _layer(self, layer: Layer, shown: str) -> SourceLayer:
        if layer.recorded_tar is None or not layer.metadata_files:
            what = "has no tar-split in the store: it cannot be made a tar again"
            raise SourceError(f"{shown}: layer {layer.diff_id}: {what}")
        self._layers[layer.diff_id] = layer
        return SourceLayer(layer.diff_id, layer.diff_id, layer.recorded_tar)

    @contextmanager
    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The tar of a layer; see `Source`."""
        yield self._chunks(layer, digests.hashing(None) if hashing is None else hashing)

    def _chunks(self, layer: SourceLayer, hashing: Hashing) -> Iterator[bytes]:
        where = printable(f"{self.name}: layer {layer.digest}")
        kept = self._layers[layer.digest]
        try:
            with Folder(os.path.join(kept.folder, kept.content)) as content:
                for chunk in _assembled(kept.metadata_files[0], content, where):
                    hashing.update(chunk)
                    yield chunk
        except Fault as fault:
            raise SourceError(f"{where}: {fault}") from None
        if digests.computed(hashing, layer.digest) != layer.digest:
            what = "the store's files give another tar than was unpacked: they were changed"
            raise SourceError(f"{where}: {what}")


def _config_length(image: Image) -> int:
    """Bytes of an image's config, which has its digest as a name."""
    name = "=" + base64.b64encode(image.image_id.encode()).decode()
    for path in image.exact_paths:
        if os.path.basename(path) == name and os.path.isfile(path):
            return os.stat(path).st_size
    return 0


def _is_meant(image: Image, wanted: str) -> bool:
    hexed = wanted.removeprefix("sha256:")
    if hexed and image.image_id.removeprefix("sha256:").startswith(hexed):
        return True
    try:
        return reference.parse(wanted) in image.names
    except ReferenceSyntaxError:
        return False


def _assembled(split: str, content: Folder, where: str) -> Iterator[bytes]:
    """The tar that the tar-split `split` and the files in `content` make."""
    for line in _lines(split, where):
        try:
            entry = json.loads(line)
            kind, payload = entry["type"], entry.get("payload") or ""
            if kind == _BYTES:
                yield base64.b64decode(payload, validate=True)
                continue
            size = entry.get("size") or 0
            name = entry.get("name") or ""
            if "name_raw" in entry:
                name = os.fsdecode(base64.b64decode(entry["name_raw"], validate=True))
            os.fsencode(name)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SourceError(f"{where}: its tar-split is damaged") from None
        if kind != _FILE or not isinstance(size, int) or not isinstance(name, str) or "\0" in name:
            raise SourceError(f"{where}: its tar-split is damaged")
        if size > 0:
            yield from _file(content, name, size, where)


def _lines(split: str, where: str) -> Iterator[bytes]:
    def packed() -> Iterator[bytes]:
        with open(split, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                yield piece

    rest = b""
    try:
        for piece in decompressed(packed(), limit=_MOST_SPLIT, where=f"{where}: its tar-split"):
            *lines, rest = (rest + piece).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > _LONGEST_LINE:
                raise SourceError(f"{where}: its tar-split has a line of more than 16 MiB")
    except (OSError, zlib.error) as error:
        raise SourceError(f"{where}: its tar-split cannot be read: {error}") from None
    if rest:
        yield rest


def _file(content: Folder, name: str, size: int, where: str) -> Iterator[bytes]:
    """The content of a file of the layer, of which a tar has `size` bytes."""
    path = os.path.normpath(f"/{name}").lstrip("/")
    *folders, last = path.split("/")
    with ExitStack() as opened:
        # Step by step, as no link may lead out of the layer.
        folder = opened.enter_context(content.folder(*folders)) if folders else content
        file, length = folder.open(last)
    try:
        if length != size or not stat.S_ISREG(os.fstat(file).st_mode):
            raise SourceError(f"{where}: {printable(path)} has {length} bytes, not {size}")
        while size:
            chunk = os.read(file, min(size, _PIECE))
            if not chunk:
                raise SourceError(f"{where}: {printable(path)} became shorter while it was read")
            size -= len(chunk)
            yield chunk
    finally:
        os.close(file)
