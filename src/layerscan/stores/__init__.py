"""Image stores on disk, and finding the one that is meant.

Owns which kinds of stores there are. What is in a store, the package of its kind
knows; where engines keep theirs, ``places``; which one is taken, ``detection``.
"""

from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError
from layerscan.stores import places
from layerscan.stores.detection import Found, Kind, choose, find
from layerscan.stores.places import docker_root

if TYPE_CHECKING:
    from layerscan.stores.model import Store

__all__ = ["AUTO", "docker_root", "list_stores", "open_store"]

AUTO = "auto"

# The class that reads each kind, where to look for it, what its folder has in it, and
# what its class takes beside `exact`. The first goes before the others where none has
# images. A new kind is a new line.
_KINDS = {
    "overlay2": Kind("overlay2.store.Overlay2Store", places.docker, ("image/overlay2", "image")),
    "containerd": Kind(
        "containerd.store.ContainerdStore",
        places.containerd,
        ("io.containerd.metadata.v1.bolt", "containerd/daemon"),
        takes=("namespace", "platform"),
    ),
    "containers-storage": Kind(
        "containers_storage.store.ContainersStorageStore",
        places.containers_storage,
        ("overlay-images", "overlay-layers", "vfs-images", "btrfs-images", "zfs-images"),
        takes=("additional",),
    ),
}


def open_store(
    kind: str = AUTO,
    root: str | None = None,
    *,
    exact: bool = False,
    namespace: str | None = None,
    platform: str | None = None,
) -> "Store":
    """Open an image store.

    Args:
        kind: ``overlay2``, ``containerd`` or ``containers-storage``; ``auto``
            for the one that is there. Of several, it is the one with images.
        root: the store's folder, by default where its engine keeps it.
        exact: also find what the exact accounting rule needs.
        namespace: of a containerd store, whose images.
        platform: of a containerd store, only images for this platform.

    Raises:
        LayerscanError: no such kind, or one that does not take an option given.
        StoreError: there is no such store, or there are several with images;
            the message says what was looked at.
    """
    options: dict[str, object] = {"namespace": namespace, "platform": platform}
    options = {name: value for name, value in options.items() if value is not None}
    kinds = _kinds(kind, list(options))
    options["exact"] = exact
    if kind != AUTO and root is not None:
        return kinds[kind].open(kinds[kind].at(root), options)
    return choose(find(kinds, options, root), named=root is not None)


def list_stores() -> list[Found]:
    """What is at each place where a store may be, other users' stores included."""
    return find(_KINDS, {"exact": False})


def _kinds(kind: str, options: list[str]) -> dict[str, Kind]:
    """The kinds that `kind` stands for and that take `options`.

    Raises:
        LayerscanError: there are none.
    """
    if kind != AUTO and kind not in _KINDS:
        names = ", ".join((AUTO, *_KINDS))
        raise LayerscanError(f"no such store: {kind[:80]!r}; there are {names}")
    kinds = {name: each for name, each in _KINDS.items() if kind in (AUTO, name)}
    for option in options:
        taking = [name for name, each in _KINDS.items() if option in each.takes]
        kinds = {name: each for name, each in kinds.items() if name in taking}
        if not kinds:
            raise LayerscanError(f"--{option} is for stores of kind {', '.join(taking)} only")
    return kinds
