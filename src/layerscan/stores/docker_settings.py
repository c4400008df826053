"""What Docker's settings say of its image store: where it is, and which one it uses.

Owns daemon.json so far (dockerd(8)), and the files that say whom a daemon maps root to
(subuid(5)). What is wrong in them is a `StoreError`.
"""

import os
from contextlib import suppress
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.errors import DocumentError, StoreError
from layerscan.stores.engine_files import read_absolute, read_settings

SUBORDINATES = ("/etc/subuid", "/etc/subgid")

_REMAPPED = "dockremap"  # whom "default" stands for
_GRAPH_DRIVERS = ("overlay2", "overlay", "aufs", "btrfs", "devicemapper", "fuse-overlayfs", "vfs",
                  "zfs")  # fmt: skip


class DockerSettings(NamedTuple):
    """What a daemon.json says."""

    data_root: str
    graph_root: str
    """Where its graph driver's images are: in the data root, or below it with userns-remap."""
    no_overlay2: str = ""  # why it does not use overlay2's images, empty if it may
    no_containerd: str = ""  # why it does not use containerd's


def docker_settings(config: str, default_root: str) -> DockerSettings:
    """What the daemon.json `config`, which need not be there, says; else its data root."""
    source = os.path.realpath(config)
    place = jsondoc.Place(source)
    try:
        raw = read_settings(source) or b""
        # Docker takes an empty file for one without settings.
        document = {}
        if raw.strip():
            document = jsondoc.mapping(jsondoc.decode(raw, source, as_go=True), place)
        driver = jsondoc.text(document, "storage-driver", place, "")
        remap = jsondoc.text(document, "userns-remap", place, "")
        features = jsondoc.mapping(document.get("features", {}), place.key("features"))
    except DocumentError as error:
        raise StoreError(str(error)) from None
    root = read_absolute(document.get("data-root", default_root), f"{source}: data-root")
    graph_root = _remapped(root, remap) if remap else root
    switch = features.get("containerd-snapshotter")
    # A snapshotter's name in place of a driver's asks for containerd's, too.
    if switch is True or (driver and driver not in _GRAPH_DRIVERS):
        return DockerSettings(root, graph_root, f"{source} has containerd keep the images")
    off = ""
    if switch is False or driver:
        off = f"{source} has no containerd keep the images"
    other = f"{source} says the storage driver {driver}" if driver not in ("", "overlay2") else ""
    return DockerSettings(root, graph_root, other, off)


def _remapped(root: str, remap: str) -> str:
    """The folder below the data root of a daemon that maps root to the user of `remap`."""
    # Loaded here: few have users mapped.
    import pwd

    # The user's ids are taken for groups, too: a group that is given must just be there.
    user = remap.partition(":")[0]
    name = _REMAPPED if user == "default" else user
    owners = [name]
    with suppress(KeyError):
        found = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        owners = [str(found.pw_uid), found.pw_name]
    ids = [_first_id(path, owners) for path in SUBORDINATES]
    return root if None in ids else os.path.join(root, f"{ids[0]}.{ids[1]}")


def _first_id(path: str, owners: list[str]) -> int | None:
    """The first id that is subordinate to the first of `owners` that has any, else None."""
    firsts: dict[str, int] = {}
    for line in (read_settings(path) or b"").decode(errors="replace").splitlines():
        owner, _, rest = line.partition(":")
        first = rest.partition(":")[0]
        if first.isascii() and first.isdigit():
            firsts.setdefault(owner, int(first[:10]))
    return next((firsts[owner] for owner in owners if owner in firsts), None)
