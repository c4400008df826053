"""How ``mkfs`` made the file system that a folder is on.

The kernel says it of XFS and btrfs to anybody (ioctl_xfs_fsgeometry(2); btrfs-ioctl(2)).
Of ext4 it says only the block: a cluster shows in what folders take, and the size of
inodes is in the superblock, which only root can read (Documentation/filesystems/ext4/super.rst).
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import PurePath

from layerscan.files.mounts import DataPlace
from layerscan.prediction.filesystems.names import FileSystemShape

_XFS_GEOMETRY = 0x80705864
_BTRFS_INFO, _BTRFS_SPACES = 0x8400941F, 0xC0109414
_MOST_SPACES = 64
_DATA, _METADATA, _DUPLICATE, _RESERVE = 1 << 0, 1 << 2, 1 << 5, 1 << 49
_CHUNK, _LARGE_CHUNK, _LARGE_DISK = 256 << 20, 1 << 30, 50 << 30  # of metadata
_SHARE = 32
_NODES_SET_ASIDE = 256  # for the steps of a transaction, each of which may split a path of them
_PROFILES = 0x7F8
_EXT4_MAGIC = 0xEF53
_INLINE_DATA = 0x8000


def shape_of(place: DataPlace) -> FileSystemShape | None:
    """What is known of the file system that `place` is on; None if not even the kind is.

    No model knows ``inline_data`` of ext4, ``compress`` and mixed or other profiles of btrfs.
    """
    kind = place.mount.kind
    if not kind or kind == "overlay":
        return None
    with suppress(OSError, struct.error):
        if kind == "ext4":
            return _ext4(place)
        if kind == "xfs":
            return _xfs(place.folder)
        if kind == "btrfs":
            return _btrfs(place)
    parameters = {"block": os.statvfs(place.folder).f_frsize} if kind == "f2fs" else {}
    return FileSystemShape(kind, parameters)


def cluster_blocks(folder: str, block: int) -> int:
    """Blocks of a cluster of ext4 (bigalloc): as many as a folder of one block takes.

    The least that this and those above show: an access control list may take another cluster.
    """
    seen = set()
    with suppress(OSError):
        device = os.stat(folder).st_dev
        path = PurePath(folder)
        for above in (path, *path.parents):
            found = os.stat(above)
            if found.st_dev != device:
                break
            if found.st_blocks and found.st_size <= block:
                seen.add(found.st_blocks * 512 // block)
    return max(min(seen, default=1), 1)


def _ext4(place: DataPlace) -> FileSystemShape:
    block = os.statvfs(place.folder).f_frsize
    parameters: dict[str, int | str] = {"block": block}
    blocks = cluster_blocks(place.folder, block)
    if blocks > 1:
        parameters["cluster"] = blocks * block
    superblock = _superblock(place.mount.number)
    if superblock is None:
        return FileSystemShape("ext4", parameters)
    (parameters["inode"],) = struct.unpack_from("<H", superblock, 88)
    (incompatible,) = struct.unpack_from("<I", superblock, 96)
    features = ("inline_data",) if incompatible & _INLINE_DATA else ()
    return FileSystemShape("ext4", parameters, features)


def _superblock(number: str) -> bytes | None:
    """The superblock of ext4, None where the disk cannot be read."""
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{number}"))
    try:
        with open(f"/dev/{name}", "rb", buffering=0) as disk:
            device = os.fstat(disk.fileno()).st_rdev
            if f"{os.major(device)}:{os.minor(device)}" != number:
                return None
            raw = os.pread(disk.fileno(), 1024, 1024)
    except OSError:
        return None
    return raw if struct.unpack_from("<H", raw, 56)[0] == _EXT4_MAGIC else None


def _xfs(folder: str) -> FileSystemShape:
    geometry = _asked(folder, _XFS_GEOMETRY, bytearray(112))
    block, inode = struct.unpack_from("=I20xI", geometry)
    return FileSystemShape("xfs", {"block": block, "inode": inode})


def _btrfs(place: DataPlace) -> FileSystemShape:
    node, sector = _btrfs_sizes(place.folder)
    metadata = [kind for kind, _, _ in _btrfs_spaces(place.folder) if kind & _METADATA]
    parameters: dict[str, int | str] = {"block": sector, "nodesize": node}
    has_known_profile = {kind & _PROFILES for kind in metadata} <= {0, _DUPLICATE}
    if has_known_profile:
        parameters["profile"] = "dup" if any(k & _DUPLICATE for k in metadata) else "single"
    features = {
        "profile": not has_known_profile,
        "mixed": any(kind & _DATA for kind in metadata),
        "compress": any(one.startswith("compress") for one in place.mount.options),
    }
    return FileSystemShape("btrfs", parameters, tuple(one for one in features if features[one]))


def btrfs_writable(folder: str, total: int, available: int) -> int:
    """Bytes that can be written of those `available`, of `total`, as statvfs(3) tells them.

    It counts all that is in no chunk yet as room for data. But files need metadata too: where
    its chunks have less room than a `_SHARE` of that, the next one is taken off.
    """
    node, _ = _btrfs_sizes(folder)
    room, data, copies = -node * _NODES_SET_ASIDE, 0, 1
    for kind, size, used in _btrfs_spaces(folder):
        if kind & _RESERVE:
            room -= size
        elif kind & _METADATA:
            room += size - used
            copies = 2 if kind & _DUPLICATE else 1
        elif kind & _DATA:
            data += size - used
    if room >= available // _SHARE:
        return available
    largest = (_LARGE_CHUNK if total > _LARGE_DISK else _CHUNK) * copies
    chunk = min(largest, total // 10, max(available - data, 0))
    return available - chunk if room + chunk > 0 else 0


def _btrfs_sizes(folder: str) -> tuple[int, int]:
    """Bytes of a node and of a sector."""
    found = struct.unpack_from("=II", _asked(folder, _BTRFS_INFO, bytearray(1024)), 32)
    return int(found[0]), int(found[1])


def _btrfs_spaces(folder: str) -> list[tuple[int, int, int]]:
    """What the chunks of each kind hold, and how much of that is used, in bytes."""
    spaces = bytearray(16 + 24 * _MOST_SPACES)
    struct.pack_into("=Q", spaces, 0, _MOST_SPACES)
    _asked(folder, _BTRFS_SPACES, spaces)
    count = min(struct.unpack_from("=Q", spaces, 8)[0], _MOST_SPACES)
    return [struct.unpack_from("=3Q", spaces, 16 + 24 * number) for number in range(count)]


def _asked(folder: str, request: int, answer: bytearray) -> bytearray:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(file, request, answer)
    finally:
        os.close(file)
    return answer
