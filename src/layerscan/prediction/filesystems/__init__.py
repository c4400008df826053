"""File systems and image stores as arithmetic: what things take, without putting them there."""

from importlib import import_module
from typing import TYPE_CHECKING

from layerscan.extras import needed
from layerscan.prediction.filesystems.names import FILE_SYSTEMS, parse_file_system

if TYPE_CHECKING:
    from layerscan.prediction.filesystems.filesystem import FileSystem

__all__ = ["FILE_SYSTEMS", "file_system"]


def file_system(name: str, block_size: int | None = None) -> "FileSystem":
    """The model of the file system that `parse_file_system` reads of `name`.

    A block has 4,096 bytes where nothing says it. The models need numpy: MissingPackageError.
    """
    kind, named, _ = parse_file_system(name, block_size)
    with needed("numpy"):
        import numpy as np  # noqa: F401 - all of the models have it
    # Each is in the module of its kind, and takes what the names have.
    module = import_module(f"layerscan.prediction.filesystems.{kind}")
    parameters = dict(named)
    block = parameters.pop("block", 4096)
    made: FileSystem = getattr(module, kind.capitalize())(block, **parameters)
    return made
