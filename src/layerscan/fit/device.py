"""A device as the policies see it: disks, blobs that are there, an engine's layers.

Owns the values only. ``live`` finds them on this machine, ``device_file``
reads and writes them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.prediction.filesystems.names import FileSystemShape
from layerscan.stores import KINDS


class Volume(NamedTuple):
    """A file system, by the numbers of statvfs(3).

    Attributes:
        block_size: ``f_bsize`` in bytes, which both clients multiply with.
        blocks: ``f_blocks``.
        free_blocks: ``f_bfree``: root may use them.
        available_blocks: ``f_bavail``: others may.
        withheld_blocks: of the free blocks, those that the file system gives
            to nobody, not even to root; ext4 keeps up to 16 MiB so.
        fragment_size: ``f_frsize`` in bytes, which blocks are counted in; None where
            it is the same.
        inodes: ``f_files``, 0 on a file system without a limit, None where it is not
            known.
        free_inodes: ``f_favail``; the same.
        file_system: its kind and how ``mkfs`` made it, None where that is not known.
    """

    block_size: int
    blocks: int
    free_blocks: int
    available_blocks: int
    withheld_blocks: int = 0
    fragment_size: int | None = None
    inodes: int | None = None
    free_inodes: int | None = None
    file_system: FileSystemShape | None = None

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
    """What the image store of a device's engine has.

    Attributes:
        kind: the store's kind, as ``stores`` calls it.
        keeps_blobs: whether it keeps the compressed blob of a layer, too.
        chain_ids: of its layers.
        digests: those that it knows its layers by.
        image_ids: of its images.
    """

    kind: str
    keeps_blobs: bool
    chain_ids: frozenset[str]
    digests: frozenset[str]
    image_ids: frozenset[str]


class Device(NamedTuple):
    """A device.

    Attributes:
        source: what to call it in messages.
        architecture: GOARCH name, None where it is not known.
        variant: of the architecture; empty for the usual one.
        volumes: its file systems by name.
        store_root: the volume of the folder where the client keeps blobs.
        docker_root: the volume of the engine's data root.
        store_parent: the volume of the folder above the store root. By the two
            parents, and not by the roots, a client knows if it is one volume.
        docker_parent: the same of the engine's data root.
        client_store_root: the volume of the folder above the store root that the client
            was compiled with; None where that is the store root itself.
        blobs: digests of the blobs in the store root, and how many bytes each
            has, None where only its being there is known.
        partial: of blobs that were fetched in part, how many bytes are there: by
            ``host/repository@digest``, or by the digest for whatever repository.
        engine: what the engine has, None where it is not known.
        installed: digests of layers that are in both places, the blob in the
            store root and the layer in the engine.
        notes: what is to be told about it.
    """

    source: str
    architecture: str | None
    volumes: Mapping[str, Volume]
    store_root: str
    docker_root: str
    store_parent: str
    docker_parent: str
    client_store_root: str | None = None
    blobs: Mapping[str, int | None] = {}
    partial: Mapping[str, int] = {}
    engine: EngineLayers | None = None
    installed: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    variant: str = ""

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
