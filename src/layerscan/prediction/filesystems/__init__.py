"""File systems and image stores as arithmetic: what things take, without putting them there."""

from importlib import import_module
from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError
from layerscan.extras import needed

if TYPE_CHECKING:
    from layerscan.prediction.filesystems.filesystem import FileSystem

_CLASSES = {"ext4": "Ext4", "xfs": "Xfs", "btrfs": "Btrfs", "f2fs": "F2fs"}
"""By name; each is in the module of that name, with the tuple ``BLOCK_SIZES``."""

FILE_SYSTEMS = tuple(_CLASSES)


def file_system(name: str, block_size: int | None = None) -> "FileSystem":
    """The model of a file system.

    Args:
        name: one of `FILE_SYSTEMS`.
        block_size: bytes of a block; by default 4,096, the usual ones.

    Raises:
        LayerscanError: there is none of that name, or it has no blocks of that size.
        MissingPackageError: there is no numpy.
    """
    if name not in _CLASSES:
        raise LayerscanError(f"no file system {name!r}: there are {', '.join(_CLASSES)}")
    with needed("numpy"):
        import numpy as np  # noqa: F401 - all of the models have it
    module = import_module(f"layerscan.prediction.filesystems.{name}")
    model = getattr(module, _CLASSES[name])
    made: FileSystem
    if block_size is None:
        made = model()
    elif block_size in module.BLOCK_SIZES:
        made = model(block_size)
    else:
        sizes = ", ".join(map(str, module.BLOCK_SIZES))
        raise LayerscanError(f"no {name} has blocks of {block_size} bytes, but of {sizes}")
    return made
