"""A device as the policies see it: disks, blobs that are there, an engine's layers.

Owns the values only. ``live`` finds them on this machine, ``device_file``
reads and writes them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.prediction.filesystems.names import FileSystemShape
from layerscan.stores import KINDS


class Volume(NamedTuple):
    """A file system, by the numbers of statvfs(3)."""

    block_size: int  # ``f_bsize`` in bytes, which both clients multiply with
    blocks: int  # ``f_blocks``
    free_blocks: int  # ``f_bfree``: root may use them
    available_blocks: int  # ``f_bavail``: others may
    withheld_blocks: int = 0  # free ones that nobody gets, not even root: up to 16 MiB on ext4
    fragment_size: int | None = None  # ``f_frsize``, the unit of blocks; None where it is the same
    inodes: int | None = None  # ``f_files``, 0 where there is no limit, None where unknown
    free_inodes: int | None = None  # ``f_favail``; the same
    file_system: FileSystemShape | None = None  # None where unknown

    @property
    def unit(self) -> int:
        """Bytes of what blocks are counted in."""
        return self.fragment_size or self.block_size

    @property
    def cluster(self) -> int:
        """Bytes of the least that it gives out, a block or several."""
        known = {} if self.file_system is None else self.file_system.parameters
        return int(known.get("cluster", self.unit))

    @property
    def total(self) -> int:
        """Bytes of the whole, as clients see it."""
        return self.block_size * self.blocks

    def file(self, size: int) -> int:
        """Bytes of disk that a file takes; see `layerscan.prediction.filesystems`."""
        return -(-size // self.cluster) * self.cluster

    def folder(self) -> int:
        """Bytes of disk that a small folder takes."""
        return self.cluster


class EngineLayers(NamedTuple):
    """What the image store of a device's engine has."""

    kind: str  # the store's kind, as ``stores`` calls it
    keeps_blobs: bool  # whether it keeps the compressed blob of a layer, too
    chain_ids: frozenset[str]  # of its layers
    digests: frozenset[str]  # those that it knows its layers by
    image_ids: frozenset[str]  # of its images


class Device(NamedTuple):
    """A device."""

    source: str  # what to call it in messages
    architecture: str | None  # GOARCH name, None where it is not known
    volumes: Mapping[str, Volume]  # its file systems by name
    store_root: str  # the volume of the folder where the client keeps blobs
    docker_root: str  # the volume of the engine's data root
    # The volumes of the folders above the roots: by these a client knows if it is one volume.
    store_parent: str
    docker_parent: str
    # That above the store root which the client was compiled with, None where it is the same.
    client_store_root: str | None = None
    # That of the layers' content, None where it is the engine's.
    layers_root: str | None = None
    # Bytes of each blob in the store root, None where only its being there is known.
    blobs: Mapping[str, int | None] = {}
    # Bytes that are there of blobs that were fetched in part: by ``host/repository@digest``, or
    # by the digest for whatever repository.
    partial: Mapping[str, int] = {}
    engine: EngineLayers | None = None  # what the engine has, None where it is not known
    installed: frozenset[str] = frozenset()  # layers whose blob and content are both there
    notes: tuple[str, ...] = ()  # what is to be told about it
    variant: str = ""  # of the architecture; empty for the usual one

    @property
    def store_kind(self) -> str:
        """The kind of the engine's image store; Docker's where that is not known."""
        if self.engine is not None and self.engine.keeps_blobs:
            return "containerd"
        # A device file may have any word there.
        kind = "" if self.engine is None else self.engine.kind
        return kind if kind in KINDS else "overlay2"

    @property
    def store(self) -> Volume:
        """The file system of the store root."""
        return self.volumes[self.store_root]

    @property
    def docker(self) -> Volume:
        """The file system of the engine's data root."""
        return self.volumes[self.docker_root]

    @property
    def layers(self) -> Volume:
        """The file system of the layers' content."""
        return self.volumes[self.layers_root or self.docker_root]

    @property
    def client_block_size(self) -> int:
        """What composectl rounds up to: ``f_bsize`` where it was compiled to have its store."""
        return self.volumes[self.client_store_root or self.store_parent].block_size

    def fetched(self, digest: str, reference: str) -> int:
        """Bytes that are there of a blob that is missing; see `partial`."""
        if digest in self.blobs:
            # With another length or content: it is fetched anew.
            return 0
        return self.partial.get(reference, self.partial.get(digest, 0))

    def has_name(self, digest: str) -> bool:
        """Whether the store root has a file of that name, whatever is in it."""
        return digest in self.blobs or digest in self.installed

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether the store root has the blob: a file of that name and length."""
        if digest in self.installed:
            return True
        return digest in self.blobs and self.blobs[digest] in (None, size)
