"""What a layer or an image costs, from what a walk found and what the store keeps of it.

Owns where on the disk the figures are. What becomes of them by each rule,
`layerscan.stores.accounting` says.
"""

import os
from collections.abc import Iterable, Iterator

from layerscan.scanning.disk import LayerDisk
from layerscan.stores.accounting import (
    Accounting,
    docker_layer_usage,
    exact_image_usage,
    exact_layer_inodes,
    exact_layer_usage,
)
from layerscan.stores.model import Growth, Image, Layer
from layerscan.walking.walker import BLOCK, Usage


def layer_usage(
    layer: Layer, walked: Usage, accounting: Accounting, *, disk: LayerDisk, growth: Growth
) -> int:
    """Bytes of disk that `layer` takes, of which the walk found so much in its folder.

    Raises OSError where its metadata cannot be looked at, or by the exact rule its content.
    """
    if accounting is Accounting.DOCKER:
        tar_split = sum(os.lstat(path).st_size for path in layer.metadata_files)
        return docker_layer_usage(walked.usage, tar_split)
    content = walked.child
    if content is None:
        # It cannot be read, which the walk has told.
        return 0
    # A build can leave holes in a file; a pull writes them out as zeros.
    blocks = content.blocks * BLOCK + content.holes
    inodes = content.entries - content.duplicates
    taken = disk.taken(blocks, os.path.join(layer.folder, layer.content), inodes)
    beside = _taken(layer.exact_paths)
    return exact_layer_usage(taken, beside, block_size=disk.cluster, growth=growth)


def layer_inodes(layer: Layer, walked: Usage, accounting: Accounting, growth: Growth) -> int | None:
    """How many inodes `layer` makes the engine create, None by the docker rule."""
    if accounting is Accounting.DOCKER:
        # Nobody has asked the store what it keeps of the layer.
        return None
    content = walked.child or walked
    return exact_layer_inodes(
        content.entries - content.duplicates,
        len(layer.exact_paths),
        is_upper=layer.parent is not None,
        growth=growth,
    )


def image_usage(image: Image, accounting: Accounting, *, disk: LayerDisk, growth: Growth) -> int:
    """Bytes of disk that `image` takes beside its layers; 0 by the docker rule.

    Raises OSError where its metadata cannot be looked at.
    """
    if accounting is Accounting.DOCKER:
        return 0
    return exact_image_usage(_taken(image.exact_paths), block_size=disk.cluster, growth=growth)


def _taken(paths: Iterable[str]) -> Iterator[int]:
    """Bytes by ``st_blocks`` of each of `paths`, 0 for one that is not there."""
    for path in paths:
        try:
            yield os.lstat(path).st_blocks * BLOCK
        except FileNotFoundError:
            yield 0
