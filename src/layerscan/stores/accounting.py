"""The rules of ``usage``, the same for layers that are there and for those that are predicted.

The docker rule is what update clients expect today: ``du -sk`` of the layer's
folder, times 1024, plus the length of its tar-split file. The exact rule is
every block that a pull of the layer makes the engine use. docs/explanation/accounting.md
has both, with the measurements behind them.

Owns the arithmetic, in bytes. What the files take, `layerscan.scanning.costs` finds on disk
and `layerscan.prediction.stores.model` computes. Of what the store keeps `beside` the files
of a layer or an image, it is given the bytes of each file and folder; see `whole_blocks`.
"""

from collections.abc import Iterable
from enum import StrEnum

from layerscan.stores.model import Growth

_KIB = 1024


class Accounting(StrEnum):
    """The rules that there are."""

    DOCKER = "docker"
    EXACT = "exact"


def docker_layer_usage(folder: int, tar_split: int) -> int:
    """Bytes of disk that a layer takes, by the docker rule; images take nothing beside.

    Its `folder` and all in it takes so many by ``st_blocks``; `tar_split` is the length of
    that file, 0 without one.
    """
    return -(-folder // _KIB) * _KIB + tar_split


def exact_layer_usage(
    content: int, beside: Iterable[int], *, block_size: int, growth: Growth
) -> int:
    """Bytes of disk that a layer takes, by the exact rule; its files take `content` of them."""
    return content + whole_blocks(beside, block_size) + growth.layer_bytes


def exact_image_usage(beside: Iterable[int], *, block_size: int, growth: Growth) -> int:
    """Bytes of disk that an image takes beside its layers, as the first of a store.

    See `exact_layer_usage`.
    """
    shared = growth.image_bytes + grown_once(growth, block_size, is_first=True)
    return whole_blocks(beside, block_size) + shared


def grown_once(growth: Growth, block_size: int, *, is_first: bool) -> int:
    """Bytes by which shared files grow once for images, the first of a store or not."""
    grown = growth.image_blocks * block_size
    return grown + (growth.first_bytes + growth.first_blocks * block_size) * is_first


def exact_layer_inodes(content: int, beside: int, *, is_upper: bool, growth: Growth) -> int:
    """How many inodes a pull makes for a layer, which stands on another if it `is_upper`.

    `content` are those of its files and folders, the root of these included.
    """
    return content + beside + growth.upper_inodes * is_upper


def whole_blocks(taken: Iterable[int], block_size: int) -> int:
    """Bytes of disk of files and folders, each by itself, and one block at the least.

    What needs no block here, a short symlink or an empty file, may need one on the
    file system that the layer is for. So 0 also stands for one that is not there.
    """
    return sum(max(one, block_size) for one in taken)
