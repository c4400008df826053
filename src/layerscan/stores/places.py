"""Where engines keep their image stores unless they are told otherwise.

Owns what each engine's own settings say of that; what is wrong in them is a `StoreError`.
It opens no store, and loads what reads a file of settings only where there is one.
"""

import os
import stat
from typing import NamedTuple

from layerscan.errors import StoreError
from layerscan.files.safefs import reason
from layerscan.stores.engine_files import parse_json, parse_toml, read_settings, store_error
from layerscan.text import shown

DOCKER_ROOT = "/var/lib/docker"
DOCKER_CONFIG = "/etc/docker/daemon.json"
CONTAINERD_ROOT = "/var/lib/containerd"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_IN_DOCKER = "containerd/daemon"
"""In the data root of a Docker Engine that runs its own containerd."""


class StorePlace(NamedTuple):
    """A place where a store may be."""

    root: str
    engine: str
    """Whose it is, for people."""
    own: bool = True
    """Whether the engines of this user use it: only then it is scanned without being named."""
    additional: tuple[str, ...] = ()
    """Folders of further stores that only give it images."""


def docker_root() -> str:
    """The data root of this machine's Docker: ``data-root`` of its daemon.json, or the default."""
    raw, config = _read(DOCKER_CONFIG)
    with store_error():
        # Docker takes an empty file for one without settings.
        settings = parse_json(raw, config) if raw.strip() else {}
    root = settings.get("data-root", DOCKER_ROOT) if isinstance(settings, dict) else None
    return _checked(root, f"{config}: data-root")


def docker() -> list[StorePlace]:
    """Where Docker keeps the images of its graph drivers."""
    return [StorePlace(docker_root(), "docker")]


def containerd() -> list[StorePlace]:
    """Where containerd keeps its images: a containerd of its own, and Docker's."""
    places = [StorePlace(_containerd_root(), "containerd")]
    inside = os.path.join(docker_root(), CONTAINERD_IN_DOCKER)
    if os.path.isdir(inside):
        places.append(StorePlace(inside, "docker"))
    return places


def containers_storage() -> list[StorePlace]:
    """Where Podman, Buildah and CRI-O keep their images, for this user and for others."""
    from layerscan.stores import storage_conf

    user, caller = storage_conf.this_user(), storage_conf.sudo_user()
    locations = [] if user is None else [(storage_conf.user_location(user), True)]
    locations.append((storage_conf.system_location(), user is None))
    if caller is not None:
        locations.append((storage_conf.user_location(caller), False))
    found: dict[str, StorePlace] = {}
    for location, own in locations:
        root = location.root
        # What only Podman makes there.
        is_podman = os.path.isdir(os.path.join(root, "libpod"))
        engine = "podman" if is_podman else "containers/storage"
        found.setdefault(root, StorePlace(root, engine, own, location.additional))
    return list(found.values())


def _containerd_root() -> str:
    raw, config = _read(CONTAINERD_CONFIG)
    # The usual file says nothing of it, and need not be understood.
    if b"root" not in raw:
        return CONTAINERD_ROOT
    root = parse_toml(raw, config).get("root", CONTAINERD_ROOT)
    return _checked(root, f"{config}: root")


def _read(path: str) -> tuple[bytes, str]:
    """A file of settings, empty where there is none, and its real path."""
    config = os.path.realpath(path)
    return read_settings(config) or b"", config


def _checked(root: object, what: str) -> str:
    if not isinstance(root, str) or not os.path.isabs(root) or not root.isprintable():
        raise StoreError(f"{what} is no absolute path: {shown(root)}")
    return root


def real_folder(root: str) -> str:
    """`root`, which the user names, as an absolute path without symbolic links.

    It is a `StoreError` if it is no folder, or cannot be reached.
    """
    try:
        real = os.path.realpath(root, strict=True)
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        raise StoreError(f"{root}: there is no such folder") from None
    except OSError as error:
        raise StoreError(f"{root}: {reason(error)}") from None
    except ValueError:  # a null character
        raise StoreError(f"{shown(root)}: is no path") from None
    if not stat.S_ISDIR(mode):
        raise StoreError(f"{root}: is not a folder")
    return real
