"""Images that are not unpacked, to predict: OCI layouts with layers that look like real ones.

Names, lengths and contents come from a seed. What is in files is text of words,
something like machine code, and what no program can pack, in the shares of a
distribution's base. Made once and kept, like the trees of ``corpus``: the mark
also has what is known of each layer, which others' answers are held against.
"""

import hashlib
import io
import json
import os
import random
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from typing import IO, TYPE_CHECKING, Protocol

from benchmarks import corpus

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from typing_extensions import Buffer

GZIP, ZSTD = "gzip", "zstd"
MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+"
MIB = 1 << 20

_WORD_COUNT = 4000
_PIECE = 64 * 1024
"""Bytes of content that are made at a time."""
_LONGEST = 16 * MIB


@dataclass(frozen=True)
class LayoutRecipe:
    """What an image is like.

    Attributes:
        name: of its folder.
        packing: ``gzip`` or ``zstd``.
        layers: bytes of content of each layer, bottom up.
        seed: of names, lengths and contents.
    """

    name: str
    packing: str
    layers: tuple[int, ...]
    seed: int = 1


@dataclass(frozen=True)
class Layer:
    """What is known of a layer.

    Attributes:
        digest: of its blob.
        diff_id: of its tar.
        packed: bytes of the blob.
        tar: bytes of the tar.
        names: entries of the tar.
        files: those that are no folder.
        size: bytes of content, of a symbolic link those of its target.
    """

    digest: str
    diff_id: str
    packed: int
    tar: int
    names: int
    files: int
    size: int


@dataclass(frozen=True)
class Layout:
    """A layout on disk.

    Attributes:
        path: of its folder.
        packing: of its layers.
        layers: bottom up.
    """

    path: str
    packing: str
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> tuple[str, ...]:
        """The paths of the layers."""
        return tuple(
            os.path.join(self.path, "blobs", *layer.digest.split(":")) for layer in self.layers
        )


ONE_LAYER = {
    packing: {
        "small": LayoutRecipe(f"image-{packing}-small", packing, (20 * MIB,)),
        "large": LayoutRecipe(f"image-{packing}", packing, (300 * MIB,)),
    }
    for packing in (GZIP, ZSTD)
}
"""One layer, as a distribution's base is, packed in each way."""

IMAGE = {
    "small": LayoutRecipe("image-layers-small", GZIP, (8 * MIB, 6 * MIB, 6 * MIB, 4 * MIB)),
    "large": LayoutRecipe(
        "image-layers", GZIP, tuple(length * MIB for length in (120, 90, 80, 70, 60, 60, 40, 20))
    ),
}
"""Several layers, none of which is most of the image."""


def make_layout(recipe: LayoutRecipe, root: str) -> Layout:
    """The layout of `recipe` below `root`, made unless it is there whole."""
    folder = os.path.join(root, recipe.name)
    mark = folder + corpus.MARK
    wanted = hashlib.sha256(repr(astuple(recipe)).encode()).hexdigest()
    known = json.loads(corpus.read_mark(mark) or "{}")
    if (known.get("recipe"), known.get("listing")) == (wanted, _listing(folder)):
        return Layout(folder, recipe.packing, tuple(Layer(**layer) for layer in known["layers"]))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "blobs", "sha256"))
    layers = _build(recipe, folder)
    facts = {
        "recipe": wanted,
        "listing": _listing(folder),
        "layers": [asdict(layer) for layer in layers],
    }
    corpus.write_mark(mark, json.dumps(facts))
    return Layout(folder, recipe.packing, layers)


def _listing(folder: str) -> str:
    return corpus.listing_digest(corpus.listing(folder))


def _build(recipe: LayoutRecipe, folder: str) -> tuple[Layer, ...]:
    dice = random.Random(recipe.seed)  # noqa: S311 - to be the same each time
    layers = tuple(
        _layer(folder, recipe.packing, f"layer{number}", length, dice)
        for number, length in enumerate(recipe.layers)
    )
    config = _document(
        folder,
        "application/vnd.oci.image.config.v1+json",
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        },
    )
    media_type = MEDIA_TYPE + recipe.packing
    manifest = {
        "schemaVersion": 2,
        "config": config,
        "layers": [
            {"mediaType": media_type, "digest": layer.digest, "size": layer.packed}
            for layer in layers
        ],
    }
    described = _document(folder, "application/vnd.oci.image.manifest.v1+json", manifest)
    index = {"schemaVersion": 2, "manifests": [described]}
    for name, document in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(document, file)
    return layers


def _document(folder: str, media_type: str, document: object) -> dict[str, object]:
    """Write a document as a blob; its descriptor."""
    raw = json.dumps(document).encode()
    digest = hashlib.sha256(raw).hexdigest()
    with open(os.path.join(folder, "blobs", "sha256", digest), "wb") as file:
        file.write(raw)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(raw)}


# Layers.


def _layer(folder: str, packing: str, name: str, length: int, dice: random.Random) -> Layer:
    blobs = os.path.join(folder, "blobs", "sha256")
    half = os.path.join(blobs, "half")
    content = _Content(_contents(dice))
    names = files = size = 0
    with open(half, "wb") as file:
        packed = _Packed(file, packing)
        with tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for entry in _entries(name, length, dice):
                tar.addfile(entry, content if entry.size else None)
                names += 1
                files += not entry.isdir()
                size += entry.size + len(entry.linkname)
        packed.finish()
    digest = packed.blob.hexdigest()
    os.rename(half, os.path.join(blobs, digest))
    tar_digest = packed.tar.hexdigest()
    return Layer(
        f"sha256:{digest}",
        f"sha256:{tar_digest}",
        packed.packed,
        packed.length,
        names,
        files,
        size,
    )


def _entries(name: str, length: int, dice: random.Random) -> Iterator[tarfile.TarInfo]:
    """Folders of some 20 files each, a few of them symbolic links, until all is used up."""
    left = length
    number = 0
    yield _entry(f"usr/{name}/", tarfile.DIRTYPE)
    while left > 0:
        folder = f"usr/{name}/package{number:04d}"
        yield _entry(f"{folder}/", tarfile.DIRTYPE)
        for which in range(dice.randint(1, 39)):
            path = f"{folder}/{dice.getrandbits(32):08x}-{which}"
            if which % 25 == 24:
                link = _entry(path, tarfile.SYMTYPE)
                link.linkname = "../../lib/target"
                yield link
                continue
            # Half of a distribution's files have less than 3 KiB, but some are long.
            file = _entry(path + ".so", tarfile.REGTYPE)
            file.size = min(int(dice.lognormvariate(8, 2)), _LONGEST, left)
            left -= file.size
            yield file
        number += 1


def _entry(path: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = kind
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    entry.mtime = 1_700_000_000
    return entry


def _contents(dice: random.Random) -> Iterator[bytes]:
    """What files hold, in pieces without end."""
    words = [
        " " + "".join(dice.choices("etaoinshrdlucmfwypvbgk_", k=dice.randint(1, 11)))
        for _ in range(_WORD_COUNT)
    ]
    # As words of a language are: the second half as frequent, the third a third, …
    weights = [1 / rank for rank in range(1, _WORD_COUNT + 1)]
    often = dice.choices(words, weights, k=1 << 16)
    # Machine code has all values, some much more often than others.
    code = bytes(min(int(dice.expovariate(1 / 12)), 255) for _ in range(256))
    while True:
        kind = dice.random()
        if kind < 0.65:
            chosen = memoryview(dice.randbytes(_PIECE // 4)).cast("H")
            yield "".join(map(often.__getitem__, chosen)).encode()
        elif kind < 0.95:
            yield dice.randbytes(_PIECE).translate(code)
        else:
            yield dice.randbytes(_PIECE)


class _Content:
    """Files out of `pieces`, as tarfile reads them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""

    def read(self, length: int = 0, /) -> bytes:
        """The next bytes, as many as are asked for."""
        parts = []
        while length:
            if not self._piece:
                self._piece = next(self._pieces)
            parts.append(self._piece[:length])
            self._piece = self._piece[length:]
            length -= len(parts[-1])
        return b"".join(parts)


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Packed(io.RawIOBase):
    """The blob of a layer while its tar is written to it."""

    def __init__(self, file: IO[bytes], packing: str) -> None:
        super().__init__()
        self.tar, self.blob = hashlib.sha256(), hashlib.sha256()
        self.length = self.packed = 0
        self._file = file
        # As engines pack: gzip's level 6 with its largest window, zstd's level 3.
        self._packer: _Packer = (
            zlib.compressobj(6, zlib.DEFLATED, 31) if packing == GZIP else zstd.ZstdCompressor(3)
        )

    def write(self, data: "Buffer") -> int:
        """Pack more of the tar."""
        raw = bytes(data)
        self.tar.update(raw)
        self.length += len(raw)
        self._keep(self._packer.compress(raw))
        return len(raw)

    def finish(self) -> None:
        """The tar has ended."""
        self._keep(self._packer.flush())

    def _keep(self, packed: bytes) -> None:
        self.blob.update(packed)
        self.packed += len(packed)
        self._file.write(packed)
