"""The options of every command that predicts: for what, and how layers are read."""

import argparse
import os
import re
from typing import TYPE_CHECKING

from layerscan.cli.options import add_accounting_argument, add_threads_argument, whole_number
from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from layerscan.cli.options import Arguments
    from layerscan.cli.progress import PredictProgress
    from layerscan.fit.predicted import NamedFileSystem
    from layerscan.prediction.images import PredictionTarget
    from layerscan.prediction.layers import ReadOptions

_UNITS = {unit: 1 << 10 * power for power, unit in enumerate(("B", "KIB", "MIB", "GIB", "TIB"))}

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]I)?(B)?", re.ASCII | re.IGNORECASE)

_LARGEST = "64GiB"


def add_model_arguments(parser: "Arguments") -> None:
    """Declare what to predict for: a device, or its file system and image store."""
    device = "for the file system and the image store that this device file describes"
    parser.add_argument("--device", metavar="FILE", help=device)
    add_fs_argument(parser, "ext4")
    size = "its blocks in bytes, like block= (default: what mkfs takes)"
    number = whole_number("number of bytes")
    parser.add_argument("--block-size", metavar="N", type=number, help=size)
    add_store_argument(parser)
    add_accounting_argument(parser)


def add_fs_argument(parser: "Arguments", default: str) -> None:
    """Declare ``--fs``."""
    parser.add_argument(
        "--fs",
        metavar="KIND[,KEY=VALUE…]",
        type=_file_system,
        help="the device's file system: ext4, xfs, btrfs or f2fs, and how mkfs made it if not "
        "by default: ext4,block=1024,cluster=16384,inode=128; xfs,inode=1024; "
        "btrfs,nodesize=4096,profile=single; or the device file that describes it "
        f"(default: {default})",
    )


def add_store_argument(parser: "Arguments") -> None:
    """Declare ``--store``."""
    from layerscan.stores import KINDS

    store = "the image store of the device's engine (default: the one that it has, or overlay2)"
    parser.add_argument("-s", "--store", choices=list(KINDS), help=store)


def add_reading_arguments(parser: "Arguments") -> None:
    """Declare how layers are read."""
    cache = "keep what is found of layers there, and read none twice"
    parser.add_argument("--cache", metavar="DIR", help=cache)
    add_threads_argument(parser, "layers that are read at a time (default: one a core, at most 8)")
    parser.add_argument(
        "--max-layer-size",
        metavar="SIZE",
        type=_size,
        default=_LARGEST,
        help="refuse a layer that is longer, uncompressed: 500MiB, 64GiB, … (default: %(default)s)",
    )
    no_toc = "read all of a layer, also where a registry has its table of contents"
    parser.add_argument("--no-toc", action="store_true", help=no_toc)


def model(options: argparse.Namespace) -> "PredictionTarget":
    """What the arguments of `add_model_arguments` say.

    Raises LayerscanError where the file system cannot have such blocks, or says that it has
    others; or a device file cannot be read.
    """
    from layerscan.prediction.filesystems import file_system
    from layerscan.prediction.images import PredictionTarget
    from layerscan.prediction.stores.model import store_model
    from layerscan.stores.accounting import Accounting

    fs, store = named_fs(options.fs), "overlay2"
    if options.device is not None:
        from layerscan.fit import device_file
        from layerscan.fit.predicted import file_system_of

        if fs is not None:
            raise LayerscanError("--device says the file system: give it without --fs")
        device = device_file.load(options.device).device
        fs, store = file_system_of(device), device.store_kind
    name, notes = fs or ("ext4", ())
    return PredictionTarget(
        file_system(name, options.block_size),
        store_model(options.store or store),
        Accounting(options.accounting),
        notes,
    )


def named_fs(given: str | None) -> "NamedFileSystem | None":
    """The file system that ``--fs`` says, None without it; raises as `model`."""
    from layerscan.fit import device_file
    from layerscan.fit.predicted import NamedFileSystem, file_system_of

    if given is None:
        return None
    if not _is_device_file(given):
        return NamedFileSystem(given)
    return file_system_of(device_file.load(given).device)


def reading(options: argparse.Namespace, progress: "PredictProgress") -> "ReadOptions":
    """What the arguments of `add_reading_arguments` say.

    Raises LayerscanError where the folder of the cache cannot be made.
    """
    from layerscan.prediction.cache import PredictionCache
    from layerscan.prediction.layers import ReadOptions

    return ReadOptions(
        cache=PredictionCache(options.cache),
        workers=options.threads,
        limit=options.max_layer_size,
        with_toc=not options.no_toc,
        on_progress=progress.update if progress.shown else None,
    )


def _is_device_file(text: str) -> bool:
    from layerscan.prediction.filesystems.names import FILE_SYSTEMS

    return text.split(",", maxsplit=1)[0] not in FILE_SYSTEMS and (
        os.sep in text or os.path.isfile(text)
    )


def _file_system(text: str) -> str:
    from layerscan.prediction.filesystems.names import parse_file_system

    if not _is_device_file(text):
        try:
            parse_file_system(text)
        except LayerscanError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return text


def size_or_zero(text: str, least: int = 0) -> int:
    """The number of bytes that an argument says: ``500MiB``, ``64GiB``, or so many bytes."""
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[f"{(match[2] or '').upper()}B"] if match else -1
    if size < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: 500MiB, 64GiB, or so many bytes")
    return size


def _size(text: str) -> int:
    return size_or_zero(text, least=1)
