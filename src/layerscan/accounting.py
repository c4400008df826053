"""From what a walk found to what a layer costs: the rules of ``usage``.

The docker rule is what update clients expect today: ``du -sk`` of the layer's
folder, times 1024, plus the length of its tar-split file. The exact rule adds
every block that the layer makes the engine use. docs/accounting.md has both,
with the measurements behind them.
"""

import os
from enum import StrEnum

from layerscan.stores.model import Image, Layer
from layerscan.walker import Usage

_BLOCK = 512
"""The unit of ``st_blocks`` in bytes, whatever the file system's, see stat(2)."""


class Accounting(StrEnum):
    """The rules that there are."""

    DOCKER = "docker"
    EXACT = "exact"


def layer_usage(layer: Layer, walked: Usage, accounting: Accounting) -> int:
    """Bytes of disk that `layer` takes.

    Args:
        layer: the layer.
        walked: what the walk found in its folder.
        accounting: by which rule.

    Raises:
        OSError: a file of the layer's metadata cannot be looked at.
    """
    if accounting is Accounting.DOCKER:
        return walked.usage + sum(os.lstat(path).st_size for path in layer.metadata_files)
    return walked.usage + _blocks(layer.exact_paths)


def image_usage(image: Image, accounting: Accounting) -> int:
    """Bytes of disk that `image` takes beside its layers; 0 by the docker rule.

    Raises:
        OSError: a file of the image's metadata cannot be looked at.
    """
    return 0 if accounting is Accounting.DOCKER else _blocks(image.exact_paths)


def _blocks(paths: tuple[str, ...]) -> int:
    return sum(os.lstat(path).st_blocks for path in paths) * _BLOCK
