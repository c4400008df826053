"""The kinds of image stores that there are. Loads nothing of them."""

from typing import NamedTuple

AUTO = "auto"
"""In place of a kind: the one that is there."""


class StoreKind(NamedTuple):
    """A kind of image store."""

    store: str  # module and class in this package that reads it
    places: str  # the function of ``places`` that says where its engines keep it
    marks: tuple[str, ...]  # paths in such a store's folder of which one is there
    takes: tuple[str, ...] = ()  # names of the options that it takes beside `exact`


KINDS = {
    "overlay2": StoreKind("overlay2.store.Overlay2Store", "docker", ("image/overlay2", "image")),
    "containerd": StoreKind(
        "containerd.store.ContainerdStore",
        "containerd",
        ("io.containerd.metadata.v1.bolt", "containerd/daemon"),
        takes=("namespace", "platform", "snapshotter"),
    ),
    "containers-storage": StoreKind(
        "containers_storage.store.ContainersStorageStore",
        "containers_storage",
        ("overlay-images", "overlay-layers", "vfs-images", "btrfs-images", "zfs-images"),
        takes=("additional",),
    ),
}
"""The first goes before the others where none has images. A new kind is a new line here, and
a module of the same name in `layerscan.prediction.stores`: what lies there beside layers."""
