"""What a Docker store keeps of a layer and of an image beside the layer's content.

Owns the list that exact accounting counts by: all that a pull leaves behind but the
content and the growth of shared folders. It was found by comparing every inode of an
ext4 before and after pulls (docs/explanation/accounting.md has the figures).

A path is listed whether it is there or not. A layer that was built here and
never pushed has no files under ``distribution``, but it will have them where
it is pulled, and that is where its cost matters.
"""

from collections.abc import Sequence

from layerscan.digest import blob_path
from layerscan.stores.model import Growth, Layer

GROWTH = Growth(
    layer_bytes=1024,
    image_bytes=16384,
    image_blocks=13,
    first_bytes=53248,
    first_blocks=2,
    upper_inodes=1,
    image_inodes=1,
    first_inodes=9,
)
"""A layer's folders that all share: twice the mean that was measured, of 4,000
layers. An image's: its manifest and what becomes of it in the database of containerd, which
Docker 20.10 and later use and which as a rule is on the same disk; five shared folders
each grow from one block to three when they get an index, two more blocks are for imagedb
and one for repositories.json. The first image of a store makes that database, and two
folders beside it.
A layer that stands on another makes the file `committed` in that one's folder; it is
empty. The first image makes repositories.json and five folders, and containerd's."""


def layer_paths(root: str, layer: Layer, link: str, digests: Sequence[str]) -> tuple[str, ...]:
    """Files and folders that exist because of `layer`, each by itself.

    In ``overlay2/l`` its name is `link`; `digests` are those in whatever repository.
    """
    record = f"{root}/image/overlay2/layerdb/{blob_path(layer.chain_id)}"
    distribution = f"{root}/image/overlay2/distribution"
    # Without a digest, a file is still to come; the diff_id stands for its name.
    names = dict.fromkeys(digests) or [layer.diff_id]
    paths = [
        layer.folder,
        f"{layer.folder}/link",
        f"{root}/overlay2/l/{link}",
        record,
        *(f"{record}/{name}" for name in ("diff", "size", "cache-id", "tar-split.json.gz")),
        f"{distribution}/v2metadata-by-diffid/{blob_path(layer.diff_id)}",
        *(f"{distribution}/diffid-by-digest/{blob_path(digest)}" for digest in names),
    ]
    if layer.parent is not None:
        # Of `work` the folder alone: what a build left in it, a pull does not make.
        paths += [f"{layer.folder}/lower", f"{layer.folder}/work", f"{record}/parent"]
    return tuple(paths)


def image_paths(root: str, image_id: str) -> tuple[str, ...]:
    """Files that exist because of an image; a pull makes no ``imagedb/metadata``."""
    return (f"{root}/image/overlay2/imagedb/content/{blob_path(image_id)}",)
