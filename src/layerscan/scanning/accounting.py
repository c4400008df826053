"""From what a walk found to what a layer costs: the rules of ``usage``.

The docker rule is what update clients expect today: ``du -sk`` of the layer's
folder, times 1024, plus the length of its tar-split file. The exact rule is
every block that a pull of the layer makes the engine use. docs/explanation/accounting.md
has both, with the measurements behind them.
"""

import os
from collections.abc import Iterable
from enum import StrEnum

from layerscan.stores.model import Growth, Image, Layer
from layerscan.walking.walker import BLOCK, Usage


class Accounting(StrEnum):
    """The rules that there are."""

    DOCKER = "docker"
    EXACT = "exact"


def layer_usage(
    layer: Layer, walked: Usage, accounting: Accounting, *, block_size: int, growth: Growth
) -> int:
    """Bytes of disk that `layer` takes.

    Args:
        layer: the layer.
        walked: what the walk found in its folder.
        accounting: by which rule.
        block_size: of the store's file system, in bytes.
        growth: of the store's shared files.

    Raises:
        OSError: a file of the layer's metadata cannot be looked at.
    """
    if accounting is Accounting.DOCKER:
        return walked.usage + sum(os.lstat(path).st_size for path in layer.metadata_files)
    content = walked.child or walked
    # A build can leave holes in a file; a pull writes them out as zeros.
    taken = content.blocks * BLOCK + content.holes
    return taken + _blocks(layer.exact_paths, block_size) + growth.layer_bytes


def image_usage(image: Image, accounting: Accounting, *, block_size: int, growth: Growth) -> int:
    """Bytes of disk that `image` takes beside its layers; 0 by the docker rule.

    Raises:
        OSError: a file of the image's metadata cannot be looked at.
    """
    if accounting is Accounting.DOCKER:
        return 0
    shared = growth.image_bytes + growth.image_blocks * block_size
    return _blocks(image.exact_paths, block_size) + shared


def _blocks(paths: Iterable[str], block_size: int) -> int:
    """Bytes of disk that `paths` take, each by itself, there or not.

    What needs no block here, a short symlink or an empty file, may need one
    on the file system that the layer is for.
    """
    total = 0
    for path in paths:
        try:
            taken = os.lstat(path).st_blocks * BLOCK
        except FileNotFoundError:
            taken = 0
        total += max(taken, block_size)
    return total
