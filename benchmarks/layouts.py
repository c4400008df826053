"""Images that are not unpacked, to predict: OCI layouts with layers that look like real ones.

Names, lengths and contents come from a seed. Beside the layout its folder has
``layers/``, links to the blobs bottom up, and ``tars.json``: the diff_id of each
layer by the length of its tar.
"""

import os
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import Made, kept
from benchmarks.settings import Size
from tests.builders import documents, image_archives, images
from tests.builders.tree import File, Op, Symlink, tar_stream
from tests.builders.zstd import zstd

GZIP, ZSTD = "gzip", "zstd"
MIB = 1 << 20
_LONGEST = 16 * MIB
_PIECE = 64 * 1024
_RANKS = range(1, 4001)


@dataclass(frozen=True)
class Layout:
    """What an image is like: how it is packed, and MiB of content of each layer, bottom up."""

    name: str
    packing: str
    layers: tuple[int, ...]

    def make(self, root: str) -> Made:
        """The layout below `root`."""
        return kept(root, self.name, lambda folder: _build(self, Path(folder)))


ONE_LAYER = {
    packing: {
        Size.SMALL: Layout(f"layout-{packing}-small", packing, (20,)),
        Size.LARGE: Layout(f"layout-{packing}", packing, (300,)),
    }
    for packing in (GZIP, ZSTD)
}
"""One layer, as a distribution's base is, packed in each way."""

IMAGE = {
    Size.SMALL: Layout("layout-layers-small", GZIP, (8, 6, 6, 4)),
    Size.LARGE: Layout("layout-layers", GZIP, (120, 90, 80, 70, 60, 60, 40, 20)),
}
"""Several layers, none of which is most of the image."""


def _build(recipe: Layout, folder: Path) -> None:
    dice = random.Random(1)  # noqa: S311 - to be the same each time
    pool = _content(dice)
    tars = [
        b"".join(tar_stream(_files(f"layer{number}", length * MIB, pool, dice)))
        for number, length in enumerate(recipe.layers)
    ]
    layers = [images.Layer(tar, recipe.packing, ready=_pack(tar, recipe.packing)) for tar in tars]
    image = images.Image.of(*layers)
    image_archives.write_folder(image_archives.layout(image), folder)
    lengths = {str(len(layer.tar)): layer.diff_id for layer in layers}
    (folder / "tars.json").write_bytes(documents.encoded(lengths))
    (folder / "layers").mkdir()
    for number, layer in enumerate(layers):
        target = os.path.join("..", image_archives.blob_path(layer.blob))
        (folder / "layers" / f"{number}.{recipe.packing}").symlink_to(target)


def _pack(tar: bytes, packing: str) -> bytes:
    """As engines pack: gzip's level 6 with its largest window, zstd's level 3."""
    return zlib.compress(tar, 6, 31) if packing == GZIP else zstd.compress(tar, 3)


def _files(name: str, length: int, pool: bytes, dice: random.Random) -> Iterator[Op]:
    """Folders of some 20 files each, a few of them symbolic links, until all is used up."""
    number = 0
    while length > 0:
        for which in range(dice.randint(1, 39)):
            path = f"usr/{name}/package{number:04d}/{dice.getrandbits(32):08x}-{which}"
            if which % 25 == 24:
                yield Symlink(path, "../../lib/target")
                continue
            # Half of a distribution's files have less than 3 KiB, but some are long.
            size = min(int(dice.lognormvariate(8, 2)), _LONGEST, length)
            start = dice.randrange(len(pool) - size)
            yield File(path + ".so", pool[start : start + size])
            length -= size
        number += 1


def _content(dice: random.Random) -> bytes:
    """What files hold: text of words, something like machine code, and what cannot be packed.

    In the shares of a distribution's base, and so much of it that files out of
    it are no repetitions to a packer, which sees 8 MiB at most.
    """
    words = [
        "".join(dice.choices("etaoinshrdlucmfwypvbgk_", k=dice.randint(1, 11))) for _ in _RANKS
    ]
    # As words of a language are: the second half as frequent, the third a third, …
    often = dice.choices(words, [1 / rank for rank in _RANKS], k=1 << 16)
    # Machine code has all values, some much more often than others.
    code = bytes(min(int(dice.expovariate(1 / 8)), 255) for _ in range(256))
    pieces = []
    for _ in range(64 * MIB // _PIECE):
        kind = dice.random()
        if kind < 0.65:
            chosen = memoryview(dice.randbytes(_PIECE // 4)).cast("H")
            pieces.append(" ".join(map(often.__getitem__, chosen)).encode())
        else:
            raw = dice.randbytes(_PIECE)
            pieces.append(raw.translate(code) if kind < 0.95 else raw)
    return b"".join(pieces)
