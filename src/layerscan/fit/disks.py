"""The disks of this machine: which one a folder is on, and what of it can be written.

Two questions that sound alike: clients tell volumes apart by ``f_fsid`` of statvfs(3),
which differs for two subvolumes of one btrfs, and is 0 for every FUSE file system. What
is really one disk the kernel's table of mounts says: a line of it has the number of the
superblock, whatever subvolume or folder is mounted (proc(5), "mountinfo").
"""

import os
import re
from contextlib import suppress
from pathlib import PurePath
from typing import NamedTuple

from layerscan.errors import LayerscanError
from layerscan.files.safefs import reason
from layerscan.fit.device import Volume
from layerscan.jsondoc import MAX_INTEGER
from layerscan.text import printable

_MOUNTS = "/proc/self/mountinfo"
_SYS = "/sys"
_LONGEST_NUMBER = 64
_ESCAPE = re.compile(r"\\([0-7]{3})")

_EXT = ("ext2", "ext3", "ext4")
"""The file systems of which Linux' ext4 withholds clusters."""

_MOST_CLUSTERS = 4096
_SHARE = 32
"""ext4 withholds so many clusters, or a fiftieth of all if that is less. statvfs(3) leaves
out what the file system has for itself: so it is taken to be no more than this share."""

_DEEPEST = 8
"""Overlays on overlays that are followed."""


class Mount(NamedTuple):
    """A line of the table of mounts.

    Attributes:
        number: of the superblock: ``8:1``; the same for all mounts of it.
        point: where it is mounted.
        kind: of the file system.
        options: of the superblock.
    """

    number: str
    point: str
    kind: str
    options: tuple[str, ...]


class Disk(NamedTuple):
    """The file system of a folder.

    Attributes:
        identity: what two folders have in common that share their free space.
        fsid: ``f_fsid`` of statvfs(3), by which clients tell volumes apart.
        mount_point: where it is mounted.
        kind: its name: ``ext4``; empty where it is not known.
        volume: its numbers.
        unknown: what cannot be told of it.
    """

    identity: str
    fsid: int
    mount_point: str
    kind: str
    volume: Volume
    unknown: tuple[str, ...]


def disk_of(path: str) -> Disk:
    """The disk of the folder `path`.

    Raises:
        LayerscanError: it cannot be asked.
    """
    try:
        found = os.statvfs(path)
        device = os.stat(path).st_dev
        mount = _mount(path)
        if mount is None:
            mount = Mount(_number(device), _mount_point(path, device), "", ())
    except OSError as error:
        raise LayerscanError(f"{printable(path)}: {reason(error)}") from None
    below, unknown = _below(mount, _DEEPEST)
    folder = os.path.realpath(path) if below is mount else below.point
    withheld, doubt = _withheld(found, below, folder)
    fragment = None if found.f_frsize == found.f_bsize else found.f_frsize
    volume = Volume(
        found.f_bsize,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        withheld,
        fragment,
        *_inodes(found),
    )
    return Disk(below.number, found.f_fsid, mount.point, below.kind, volume, (*unknown, *doubt))


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _mount(path: str) -> Mount | None:
    """The mount that a folder is on, None where that is not said."""
    try:
        file = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{file}", encoding="ascii") as info:
                wanted = dict(line.split(None, 1) for line in info if line.strip())["mnt_id:"]
        finally:
            os.close(file)
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                if line.split(" ", 1)[0] == wanted.strip():
                    return _read(line)
    except (OSError, KeyError, ValueError):
        # Without /proc, or in a sandbox that makes it up.
        return None
    return None


def _read(line: str) -> Mount:
    first, _, last = line.rstrip("\n").partition(" - ")
    _, _, number, _, point, *_ = first.split(" ")
    kind, _, options = last.split(" ", 2)
    return Mount(number, _plain(point), kind, tuple(_plain(options).split(",")))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def _mount_point(path: str, device: int) -> str:
    path = os.path.realpath(path)
    while path != "/" and os.stat(os.path.dirname(path)).st_dev == device:
        path = os.path.dirname(path)
    return path


def _below(mount: Mount, deepest: int) -> tuple[Mount, tuple[str, ...]]:
    """The mount that has the data: of an overlay, that of its upper folder."""
    if not mount.kind:
        return mount, ("cannot tell on which disk it is: there is no table of mounts",)
    if mount.kind.partition(".")[0] == "fuse":
        return mount, (f"is on {mount.kind}: cannot tell on which disk that keeps its files",)
    if mount.kind != "overlay":
        return mount, ()
    upper = next((one[9:] for one in mount.options if one.startswith("upperdir=")), "")
    # Within a container it is a path of the host's.
    found = _mount(upper) if upper.startswith("/") and os.path.isdir(upper) else None
    if found is None or not deepest:
        return mount, ("is on an overlay: cannot tell on which disk its upper folder is",)
    return _below(found, deepest - 1)


def _withheld(found: os.statvfs_result, mount: Mount, folder: str) -> tuple[int, tuple[str, ...]]:
    """Free blocks that nobody gets, not even root; and what cannot be told of them."""
    if mount.kind == "btrfs":
        # f_bfree has what only other profiles, or metadata, can use.
        return max(found.f_bfree - found.f_bavail, 0), ()
    if mount.kind and mount.kind not in (*_EXT, "overlay"):
        return 0, ()
    usual = min(found.f_blocks // _SHARE, _MOST_CLUSTERS, found.f_bfree)
    if mount.kind in _EXT and not mount.number.startswith("0:"):
        clusters = _reserved_clusters(mount)
        if clusters is not None:
            return min(clusters * _cluster_blocks(folder, found.f_frsize), found.f_bfree), ()
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


def _cluster_blocks(folder: str, block: int) -> int:
    """Blocks of a cluster of ext4 (bigalloc): as many as a folder of one block takes.

    The smallest number that the folder and those above it show, as one with an access
    control list may take a cluster more; 1 where none has one block.
    """
    seen = set()
    with suppress(OSError):
        device = os.stat(folder).st_dev
        path = PurePath(folder)
        for place in (path, *path.parents):
            found = os.stat(place)
            if found.st_dev != device:
                break
            if found.st_blocks and found.st_size <= block:
                seen.add(found.st_blocks * 512 // block)
    return max(min(seen, default=1), 1)
