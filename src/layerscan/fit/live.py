"""This machine as a device: its disks, the blobs in the store root, its engine's layers.

Everything is seen as a client that runs here would see it. Folders that are
missing the client makes: until then, the disk is that of the nearest folder
above.
"""

import os
import stat
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.errors import DocumentError, LayerscanError, StoreError
from layerscan.files.safefs import Fault, Folder, reason
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.layersmeta import is_architecture
from layerscan.oci import platforms
from layerscan.stores import open_store
from layerscan.text import printable

_MOST_BLOBS = 1_000_000
_LONGEST_REFERENCE = 4096
_LONGEST_NUMBER = 64


class _Disk(NamedTuple):
    """The file system of a folder.

    Attributes:
        identity: ``f_fsid`` of statvfs(3), by which clients tell volumes apart.
        mount_point: where it is mounted.
        volume: its numbers.
        unit: ``f_frsize``: the bytes that it counts its blocks in.
    """

    identity: int
    mount_point: str
    volume: Volume
    unit: int


def this_device(store_root: str, docker_root: str, *, with_engine: bool) -> Device:
    """This machine as it is now.

    Args:
        store_root: the folder where the client keeps blobs.
        docker_root: the engine's data root.
        with_engine: also find what the engine has.

    Raises:
        LayerscanError: a folder is there, but cannot be looked at.
    """
    notes: list[str] = []
    roots = [os.path.abspath(path) for path in (store_root, docker_root)]
    places = [*roots, *(os.path.dirname(path) for path in roots)]
    disks = []
    for place in places:
        above = _nearest(place)
        if place in roots and above != place:
            notes.append(f"{place}: there is no such folder yet; its disk is that of {above}")
        disk = _disk(above)
        if place in roots and disk.unit != disk.volume.block_size:
            notes.append(
                f"{place}: its file system counts in units of {disk.unit} bytes, but clients "
                f"multiply with its block size of {disk.volume.block_size}: so do the figures"
            )
        disks.append(disk)
    names = _names(disks)
    blobs, partial = _blobs(roots[0])
    machine = platforms.this_machine().architecture
    engine = _engine(roots[1], notes) if with_engine else None
    return Device(
        source="this machine",
        architecture=machine if is_architecture(machine) else None,
        volumes={names[disk.identity]: disk.volume for disk in disks},
        store_root=names[disks[0].identity],
        docker_root=names[disks[1].identity],
        store_parent=names[disks[2].identity],
        docker_parent=names[disks[3].identity],
        blobs=blobs,
        partial=partial,
        engine=engine,
        notes=tuple(notes),
    )


def _nearest(path: str) -> str:
    """`path`, or the nearest folder above it that is there."""
    while not os.path.isdir(path) and path != "/":
        if os.path.lexists(path) and not os.path.islink(path):
            raise LayerscanError(f"{printable(path)}: is not a folder")
        path = os.path.dirname(path)
    return path


def _disk(path: str) -> _Disk:
    try:
        found = os.statvfs(path)
        device = os.stat(path).st_dev
        mount_point = _mount_point(path, device)
    except OSError as error:
        raise LayerscanError(f"{printable(path)}: {reason(error)}") from None
    volume = Volume(found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail, _withheld(device))
    return _Disk(found.f_fsid, mount_point, volume, found.f_frsize)


def _mount_point(path: str, device: int) -> str:
    path = os.path.realpath(path)
    while path != "/" and os.stat(os.path.dirname(path)).st_dev == device:
        path = os.path.dirname(path)
    return path


def _withheld(device: int) -> int:
    """Blocks that ext4 keeps for itself, from root as well; 0 for other file systems."""
    number = f"{os.major(device)}:{os.minor(device)}"
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{number}"))
    where = f"/sys/fs/ext4/{name}/reserved_clusters"
    try:
        with open(where, encoding="ascii") as file:
            return int(file.read(_LONGEST_NUMBER))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise LayerscanError(f"{where}: cannot be read: {error}") from None


def _names(disks: list[_Disk]) -> dict[int, str]:
    """A name for each disk: its mount point, with a number where two have the same."""
    names: dict[int, str] = {}
    for disk in disks:
        if disk.identity in names:
            continue
        base = name = printable(disk.mount_point)
        number = 1
        while name in names.values():
            number += 1
            name = f"{base} ({number})"
        names[disk.identity] = name
    return names


def _blobs(root: str) -> tuple[dict[str, int | None], dict[str, int]]:
    """The blobs in the store root, and those fetched in part."""
    try:
        blobs = {
            digest: size
            for algorithm in digests.ALGORITHMS
            for digest, size in _listed(os.path.join(root, "blobs"), algorithm).items()
        }
        partial = _ingested(root)
    except OSError as error:
        raise LayerscanError(f"{printable(str(error.filename))}: {reason(error)}") from None
    except Fault as fault:
        raise LayerscanError(str(fault)) from None
    return blobs, {digest: size for digest, size in partial.items() if digest not in blobs}


def _listed(blobs: str, algorithm: str) -> dict[str, int | None]:
    folder = os.path.join(blobs, algorithm)
    found: dict[str, int | None] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                digest = digests.from_blob_path(algorithm, entry.name)
                if digest is None:
                    continue
                if len(found) == _MOST_BLOBS:
                    raise DocumentError(f"{printable(folder)}: has more than {_MOST_BLOBS} blobs")
                is_file = entry.is_file(follow_symlinks=False)
                # What is no file has the name for one client, and no length for the other.
                size = entry.stat(follow_symlinks=False).st_size if is_file else -1
                found[digest] = size
    except FileNotFoundError:
        pass
    return found


def _ingested(root: str) -> dict[str, int]:
    """Blobs that composectl has fetched in part.

    It keeps each in a folder of its own, as containerd's content store does:
    the file `ref` names the blob, `data` is what there is of it.
    """
    found: dict[str, int] = {}
    top = os.path.join(root, "ingest")
    if not os.path.isdir(top):
        return found
    with Folder(os.path.realpath(top)) as ingest:
        for name in ingest.names():
            try:
                with ingest.folder(name) as one:
                    reference = one.read_if_there("ref", _LONGEST_REFERENCE) or b""
                    digest = reference.decode(errors="replace").rpartition("@")[2].strip()
                    file, length = one.open("data")
            except Fault as fault:
                # The client may be at work, and some of it is no blob at all.
                if fault.gone or not _is_folder(ingest, name):
                    continue
                raise
            os.close(file)
            if digests.is_digest(digest):
                found[digest] = length
    return found


def _is_folder(within: Folder, name: str) -> bool:
    entry = within.look(name)
    return entry is not None and entry.kind == stat.S_IFDIR


def _engine(root: str, notes: list[str]) -> EngineLayers | None:
    if not os.path.isdir(root):
        # Told already: nothing is there.
        return None
    try:
        store = open_store(root=root)
        images = store.images()
    except StoreError as error:
        notes.append(f"{error}: what the engine has is not known")
        return None
    notes += (f"{problem}: what cannot be read counts as missing" for problem in store.problems)
    return EngineLayers(
        store.kind,
        store.keeps_blobs,
        frozenset(layer.chain_id for image in images for layer in image.layers),
        frozenset(
            digest
            for image in images
            for known in image.digests.values()
            for digest in known
            if digest is not None
        ),
        frozenset(image.image_id for image in images),
    )
