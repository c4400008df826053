"""This machine as a device: its disks, the blobs in the store root, its engine's layers.

Everything is seen as a client that runs here would see it. Folders that are
missing the client makes: until then, the disk is that of the nearest folder
above.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from layerscan import digest as digests
from layerscan.errors import DocumentError, LayerscanError, StoreError
from layerscan.files.safefs import Fault, Folder, reason
from layerscan.fit.contents import Blob
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.fit.disks import Disk, disk_of
from layerscan.layersmeta import is_architecture
from layerscan.oci import platforms
from layerscan.stores import open_store
from layerscan.text import printable

_MOST_BLOBS = 1_000_000
_LONGEST_REFERENCE = 4096
_CHUNK = 1 << 20

_NOT_WHOLE = -1  # the length of a blob that is there by its name alone

_OWN_VARIANTS = ("v5", "v6")  # of ARM, those of machines that do not run what is usual


def this_device(
    store_root: str, docker_root: str, *, client_store_root: str | None = None, is_exact: bool
) -> Device:
    """This machine as it is now.

    `client_store_root` is that which the client was compiled with, None if it is the same.
    With `is_exact`, also find what the engine has, and say what cannot be told of the disks.
    Raises LayerscanError where a folder is there, but cannot be looked at.
    """
    notes: list[str] = []
    roots = [os.path.abspath(path) for path in (store_root, docker_root)]
    places = [*roots, *map(os.path.dirname, roots)]
    if client_store_root is not None:
        places.append(os.path.dirname(os.path.abspath(client_store_root)))
    disks = []
    for place in places:
        above = _nearest(place)
        disks.append(disk_of(above))
        if place in roots:
            notes += _notes(place, above, disks[-1], is_exact=is_exact)
    engine, layers_root = _engine(roots[1], notes) if is_exact else (None, None)
    if layers_root is not None:
        disks.append(disk_of(_nearest(layers_root)))
    volumes, names = _named(disks)
    blobs, partial = _blobs(roots[0])
    machine = platforms.this_machine()
    apart = layers_root is not None and names[-1] != names[1]
    return Device(
        source="this machine",
        architecture=machine.architecture if is_architecture(machine.architecture) else None,
        volumes=volumes,
        store_root=names[0],
        docker_root=names[1],
        store_parent=names[2],
        docker_parent=names[3],
        client_store_root=None if client_store_root is None else names[4],
        layers_root=names[-1] if apart else None,
        blobs=blobs,
        partial=partial,
        engine=engine,
        notes=tuple(dict.fromkeys(notes)),
        variant=machine.variant if machine.variant in _OWN_VARIANTS else "",
    )


def _notes(place: str, above: str, disk: Disk, *, is_exact: bool) -> list[str]:
    """What is to be told of the disk of a root."""
    notes = []
    if above != place:
        notes.append(f"{place}: there is no such folder yet; its disk is that of {above}")
    if is_exact:
        notes += (f"{place}: {what}" for what in disk.unknown)
    elif disk.volume.unit != disk.volume.block_size:
        notes.append(
            f"{place}: its file system counts in units of {disk.volume.unit} bytes, but clients "
            f"multiply with its block size of {disk.volume.block_size}: so do the figures"
        )
    return notes


def _nearest(path: str) -> str:
    """`path`, or the nearest folder above it that is there."""
    while not os.path.isdir(path) and path != "/":
        if os.path.islink(path) and not os.path.exists(path):
            raise LayerscanError(
                f"{printable(path)}: is a symlink to {printable(os.readlink(path))}, which is "
                "not there: is its disk mounted?"
            )
        if os.path.lexists(path):
            raise LayerscanError(f"{printable(path)}: is not a folder")
        path = os.path.dirname(path)
    return path


def _named(disks: list[Disk]) -> tuple[dict[str, Volume], list[str]]:
    """The volumes by name, and the name of each of `disks`: the roots, then the folders above.

    A volume is called by its mount point, with a number where two have the same. The last
    of the folders above, that of the engine's data root, has the name of the first just
    where clients take the two for one volume.
    """
    volumes: dict[str, Volume] = {}
    known: dict[str, str] = {}

    def add(disk: Disk) -> str:
        base = name = printable(disk.mount_point)
        number = 1
        while name in volumes:
            number += 1
            name = f"{base} ({number})"
        volumes[name] = disk.volume
        known[disk.identity] = name
        return name

    names = [known.get(disk.identity) or add(disk) for disk in disks]
    if disks[2].fsid == disks[3].fsid:
        names[3] = names[2]
    elif names[3] == names[2]:
        names[3] = add(disks[3])
    return volumes, names


def with_hashed_blobs(device: Device, store_root: str, wanted: Iterable[Blob]) -> Device:
    """`device` with those of the blobs `wanted` that are there read as composectl does it.

    It reads so much of a blob as there should be. So one is there that has more at its
    end, and one is not that has been changed.
    Raises LayerscanError where a blob cannot be read.
    """
    blobs = dict(device.blobs)
    for blob in wanted:
        path = os.path.join(store_root, "blobs", digests.blob_path(blob.digest))
        if digests.is_digest(blob.digest) and os.path.isfile(path):
            blobs[blob.digest] = blob.size if _has_content(path, blob) else _NOT_WHOLE
    return device._replace(blobs=blobs)


def _has_content(path: str, blob: Blob) -> bool:
    hashing = digests.hashing(blob.digest)
    left = blob.size
    try:
        with open(path, "rb", buffering=0) as file:
            while left > 0 and (content := file.read(min(left, _CHUNK))):
                hashing.update(content)
                left -= len(content)
    except OSError as error:
        raise LayerscanError(f"{printable(path)}: {reason(error)}") from None
    return left <= 0 and digests.computed(hashing, blob.digest) == blob.digest


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
    return blobs, {
        name: size for name, size in partial.items() if name.rpartition("@")[2] not in blobs
    }


def _listed(blobs: str, algorithm: str) -> dict[str, int | None]:
    folder = os.path.join(blobs, algorithm)
    found: dict[str, int | None] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            digest = digests.from_blob_path(algorithm, entry.name)
            if digest is None:
                continue
            if len(found) == _MOST_BLOBS:
                raise DocumentError(f"{printable(folder)}: has more than {_MOST_BLOBS} blobs")
            # What is no file has the name for one client, and no length for the other.
            found[digest] = entry.stat().st_size if entry.is_file() else _NOT_WHOLE
    return found


def _ingested(root: str) -> dict[str, int]:
    """Blobs that composectl has fetched in part, by the reference that it asked for.

    It keeps each in a folder of its own, as containerd's content store does:
    the file `ref` names the blob, `data` is what there is of it.
    """
    found: dict[str, int] = {}
    top = os.path.join(root, "ingest")
    if not os.path.isdir(top):
        return found
    with Folder(os.path.realpath(top)) as ingest:
        for entry in ingest.names():
            try:
                with ingest.folder(entry) as one:
                    reference = one.read_if_there("ref", _LONGEST_REFERENCE) or b""
                    name = reference.decode(errors="replace").strip()
                    file, length = one.open("data")
            except Fault as fault:
                # The client may be at work, and some of it is no blob at all.
                inode = ingest.look(entry)
                if fault.gone or inode is None or inode.kind != stat.S_IFDIR:
                    continue
                raise
            os.close(file)
            if digests.is_digest(name.rpartition("@")[2]):
                found[name] = length
    return found


def _engine(root: str, notes: list[str]) -> tuple[EngineLayers | None, str | None]:
    """What the engine has, and in which folder the content of its layers is."""
    if not os.path.isdir(root):
        # Told already: nothing is there.
        return None, None
    try:
        store = open_store(root=root)
        images = store.images()
    except StoreError as error:
        notes.append(f"{error}: what the engine has is not known")
        return None, None
    if store.unused:
        notes.append(f"{store.root}: {store.unused}: its layers count as missing")
        return EngineLayers(store.kind, store.keeps_blobs, *[frozenset[str]()] * 3), None
    notes += (f"{problem}: what cannot be read counts as missing" for problem in store.problems)
    known = (digest for image in images for some in image.digests.values() for digest in some)
    engine = EngineLayers(
        store.kind,
        store.keeps_blobs,
        frozenset(layer.chain_id for image in images for layer in image.layers),
        frozenset(digest for digest in known if digest is not None),
        frozenset(image.image_id for image in images),
    )
    return engine, store.layers_root
