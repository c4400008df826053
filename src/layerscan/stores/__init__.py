"""Image stores on disk, and finding the one that is meant.

Owns which kinds there are and where an engine keeps its store unless told
otherwise. What is in a store, the module of its kind knows.
"""

import os
from collections.abc import Callable

from layerscan.errors import LayerscanError, StoreError
from layerscan.stores.model import Store
from layerscan.stores.overlay2 import Overlay2Store
from layerscan.stores.safefs import Fault, Folder, parse_json, shown

AUTO = "auto"
DOCKER_ROOT = "/var/lib/docker"
DOCKER_CONFIG = "/etc/docker/daemon.json"

_LONGEST_CONFIG = 1 << 20


def docker_root() -> str:
    """The data root of this machine's Docker: ``data-root`` of its daemon.json, or the default.

    Raises:
        StoreError: there is a daemon.json, but it cannot be used.
    """
    # An administrator's file, not the store's: it may be a symbolic link.
    config = os.path.realpath(DOCKER_CONFIG)
    try:
        with Folder(os.path.dirname(config)) as folder:
            raw = folder.read(os.path.basename(config), _LONGEST_CONFIG)
        # Docker takes an empty file for one without settings.
        settings = parse_json(raw, config) if raw.strip() else {}
    except Fault as fault:
        if fault.gone:
            return DOCKER_ROOT
        raise StoreError(str(fault)) from fault
    root = settings.get("data-root", DOCKER_ROOT) if isinstance(settings, dict) else None
    if not isinstance(root, str) or not os.path.isabs(root) or not root.isprintable():
        raise StoreError(f"{config}: data-root is no absolute path: {shown(root)}")
    return root


# Where to look for each kind, and how to open it there. A new kind is a new line.
_KINDS: dict[str, tuple[Callable[[], str], Callable[[str, bool], Store]]] = {
    "overlay2": (docker_root, lambda root, exact: Overlay2Store(root, exact=exact)),
}
_LATER = ("containerd", "containers-storage")


def open_store(kind: str = AUTO, root: str | None = None, *, exact: bool = False) -> Store:
    """Open an image store.

    Args:
        kind: ``overlay2``, or ``auto`` for the first kind that is there.
        root: the store's data root, by default where its engine keeps it.
        exact: also find what the exact accounting rule needs.

    Raises:
        LayerscanError: no such kind, or none that this version supports.
        StoreError: there is no such store; the message says what was looked at.
    """
    supported = ", ".join(_KINDS)
    if kind in _LATER:
        raise LayerscanError(f"store {kind} is not supported by this version; it reads {supported}")
    if kind != AUTO and kind not in _KINDS:
        raise LayerscanError(f"no such store: {shown(kind)}; there are {AUTO}, {supported}")
    reasons = []
    for name, (default_root, opened) in _KINDS.items():
        if kind in (AUTO, name):
            try:
                return opened(root if root is not None else default_root(), exact)
            except StoreError as error:
                reasons.append(str(error))
    looked = "; ".join(reasons)
    # A root that the user named is itself what was looked at.
    raise StoreError(looked if root is not None else f"no image store found; looked at {looked}")
