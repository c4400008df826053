"""The disks of this machine: which one a folder is on, and what of it can be written.

Two questions that sound alike: clients tell volumes apart by ``f_fsid`` of statvfs(3),
which differs for two subvolumes of one btrfs, and is 0 for every FUSE file system. What
is really one disk the kernel's table of mounts says: a line of it has the number of the
superblock, whatever subvolume or folder is mounted (proc(5), "mountinfo").
"""

import os
from contextlib import suppress
from typing import NamedTuple

from layerscan.errors import LayerscanError
from layerscan.files.mounts import DataPlace, Mount, place_of
from layerscan.files.safefs import reason
from layerscan.fit.device import Volume
from layerscan.jsondoc import MAX_INTEGER
from layerscan.prediction.filesystems.mounted import btrfs_writable, cluster_blocks, shape_of
from layerscan.text import printable

_SYS = "/sys"
_LONGEST_NUMBER = 64

_EXT = ("ext2", "ext3", "ext4")  # the file systems of which Linux' ext4 withholds clusters

_MOST_CLUSTERS = 4096
_SHARE = 32
"""ext4 withholds so many clusters, or a fiftieth of all if that is less. statvfs(3) leaves
out what the file system has for itself: so it is taken to be no more than this share."""


class Disk(NamedTuple):
    """The file system of a folder."""

    identity: str  # what two folders have in common that share their free space
    fsid: int  # ``f_fsid`` of statvfs(3), by which clients tell volumes apart
    mount_point: str  # where it is mounted
    volume: Volume  # its numbers
    unknown: tuple[str, ...]  # what cannot be told of it


def disk_of(path: str) -> Disk:
    """The disk of the folder `path`; LayerscanError where it cannot be asked."""
    try:
        found = os.statvfs(path)
        place = place_of(path)
    except OSError as error:
        raise LayerscanError(f"{printable(path)}: {reason(error)}") from None
    withheld, doubt = _withheld(found, place)
    blocks = (found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail, withheld)
    fragment_size = None if found.f_frsize == found.f_bsize else found.f_frsize
    volume = Volume(*blocks, fragment_size, *_inodes(found), shape_of(place))
    unknown = (*place.unknown, *doubt)
    return Disk(place.mount.number, found.f_fsid, place.front.point, volume, unknown)


def _withheld(found: os.statvfs_result, place: DataPlace) -> tuple[int, tuple[str, ...]]:
    """Free blocks that nobody gets, not even root; and what cannot be told of them."""
    mount = place.mount
    if mount.kind == "btrfs":
        # f_bfree has what only other profiles, or metadata, can use.
        unit = found.f_frsize
        with suppress(OSError):
            total, available = found.f_blocks * unit, found.f_bavail * unit
            writable = btrfs_writable(place.folder, total, available) // unit
            return max(found.f_bfree - writable, 0), ()
        return max(found.f_bfree - found.f_bavail, 0), ()
    if mount.kind and mount.kind not in (*_EXT, "overlay"):
        return 0, ()
    usual = min(found.f_blocks // _SHARE, _MOST_CLUSTERS, found.f_bfree)
    if mount.kind in _EXT and not mount.number.startswith("0:"):
        clusters = _reserved_clusters(mount)
        if clusters is not None:
            return min(clusters * cluster_blocks(place.folder, found.f_frsize), found.f_bfree), ()
    return usual, (f"cannot tell what ext4 withholds; {usual} blocks are taken off for it",)


def _inodes(found: os.statvfs_result) -> tuple[int, int]:
    """How many inodes there can be, and how many more; 0 of 0 where there is no limit.

    Some file systems, those of FUSE above all, say the largest number for that.
    """
    if not 0 < found.f_files <= MAX_INTEGER:
        return 0, 0
    return found.f_files, min(found.f_favail, found.f_files)


def _reserved_clusters(mount: Mount) -> int | None:
    """What sysfs says, None where it does not."""
    name = os.path.basename(os.path.realpath(f"{_SYS}/dev/block/{mount.number}"))
    where = f"{_SYS}/fs/ext4/{name}/reserved_clusters"
    try:
        with open(where, encoding="ascii") as file:
            return int(file.read(_LONGEST_NUMBER))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LayerscanError(f"{where}: cannot be read: {error}") from None
