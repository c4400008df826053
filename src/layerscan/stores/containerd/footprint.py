"""What containerd keeps of a layer and of an image beside the layer's content.

Owns the list that exact accounting counts by: all that a pull leaves behind but the
content and the growth of the two databases and of shared folders. It was found by
comparing every inode of an ext4 before and after pulls (docs/explanation/accounting.md).
"""

from collections.abc import Iterable

from layerscan.stores.containerd.content import ContentStore
from layerscan.stores.model import Growth, Layer

GROWTH = Growth(layer_bytes=11 * 1024, image_bytes=160 * 1024, first_inodes=3)
"""Nearly all of it are the two databases: bbolt writes each page that it changes
to another place, and containerd changes some for every step of a pull. So they
grow by several times what they hold, until there are free pages enough.
The first image makes three folders."""


def layer_paths(layer: Layer, archives: Iterable[str]) -> tuple[str, ...]:
    """Files and folders that exist because of `layer`, `archives` of it among them."""
    # Of `work` the folder alone: what a build left in it, a pull does not make.
    return (layer.folder, f"{layer.folder}/work", *archives)


def image_paths(documents: Iterable[str], content: ContentStore) -> tuple[str, ...]:
    """Files that exist because of an image: its indexes, manifest and config."""
    return tuple(content.path(digest) for digest in documents)
