"""Where engines keep their image stores unless they are told otherwise.

Owns which places there are, for this user and for others; what an engine's own settings
say of them, the module of each knows. It opens no store.
"""

import os
import stat
from typing import NamedTuple

from layerscan.errors import StoreError
from layerscan.files.safefs import reason
from layerscan.stores import storage_conf
from layerscan.stores.containerd_settings import containerd_settings
from layerscan.stores.docker_settings import docker_settings
from layerscan.text import shown

DOCKER_ROOT = "/var/lib/docker"
DOCKER_CONFIG = "/etc/docker/daemon.json"
CONTAINERD_ROOT = "/var/lib/containerd"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_IN_DOCKER = "containerd/daemon"
"""In the data root of a Docker Engine that runs its own containerd."""


SNAP_DOCKER = "/var/snap/docker/common/var-lib-docker"
KUBERNETES = {
    "/var/lib/rancher/k3s/agent/containerd": "k3s",
    "/var/lib/rancher/rke2/agent/containerd": "rke2",
    "/var/snap/microk8s/common/var/lib/containerd": "microk8s",
    "/var/lib/k0s/containerd": "k0s",
}
"""Where distributions of Kubernetes have a containerd of their own."""


class StorePlace(NamedTuple):
    """A place where a store may be."""

    root: str
    engine: str  # whose it is, for people
    own: bool = True
    """Whether the engines of this user use it: only then it is scanned without being named."""
    additional: tuple[str, ...] = ()  # folders of further stores that only give it images
    snapshotter: str | None = None
    """The folder of containerd's snapshotter, if it is not in the root."""
    unused: str = ""  # why its engine does not use it, by its settings; empty if it may


def docker_root() -> str:
    """The data root of this machine's Docker: ``data-root`` of its daemon.json, or the default."""
    return docker_settings(DOCKER_CONFIG, DOCKER_ROOT).data_root


def unused_of_docker(data_root: str) -> tuple[str, str]:
    """Why the Docker with this data root has no images in drivers, or in containerd.

    Empty where it may have them there, or where its settings do not say.
    """
    try:
        settings = docker_settings(DOCKER_CONFIG, DOCKER_ROOT)
    except StoreError:
        return "", ""
    if os.path.realpath(settings.data_root) != data_root:
        return "", ""
    # Of a driver that is named, only that containerd is not used is known.
    no_drivers = "" if settings.no_containerd else settings.no_overlay2
    return no_drivers, settings.no_containerd


def docker(*, everyone: bool = False) -> list[StorePlace]:
    """Where Docker keeps the images of its graph drivers, `everyone`'s or this user's."""
    places = _of_docker(DOCKER_CONFIG, DOCKER_ROOT, "docker")
    if os.path.isdir(SNAP_DOCKER):
        places.append(StorePlace(SNAP_DOCKER, "docker (snap)"))
    for user, own in _users(everyone=everyone):
        config = os.path.join(_config_folder(user), "docker/daemon.json")
        rootless = _of_docker(config, os.path.join(_data_folder(user), "docker"), "docker rootless")
        places += [one._replace(own=own) for one in rootless if os.path.isdir(one.root)]
    return places


def _of_docker(config: str, root: str, engine: str) -> list[StorePlace]:
    settings = docker_settings(config, root)
    places = [StorePlace(settings.graph_root, engine, unused=settings.no_overlay2)]
    if settings.graph_root != settings.data_root:
        why = f"with userns-remap, Docker has its images in {settings.graph_root}"
        places.append(StorePlace(settings.data_root, engine, unused=why))
    return places


def containerd(*, everyone: bool = False) -> list[StorePlace]:
    """Where containerd keeps its images: a containerd of its own, Docker's, Kubernetes'."""
    root, snapshotter = containerd_settings(CONTAINERD_CONFIG, CONTAINERD_ROOT)
    places = [StorePlace(root, "containerd", snapshotter=snapshotter or None)]
    settings = docker_settings(DOCKER_CONFIG, DOCKER_ROOT)
    inside = os.path.join(settings.data_root, CONTAINERD_IN_DOCKER)
    if os.path.isdir(inside):
        places.append(StorePlace(inside, "docker", unused=settings.no_containerd))
    places += [StorePlace(path, name) for path, name in KUBERNETES.items() if os.path.isdir(path)]
    for user, own in _users(everyone=everyone):
        rootless = os.path.join(_data_folder(user), "containerd")
        if os.path.isdir(rootless):
            places.append(StorePlace(rootless, "containerd rootless", own))
    return places


def containers_storage(*, everyone: bool = False) -> list[StorePlace]:
    """Where Podman, Buildah and CRI-O keep their images, for this user and for others."""
    locations = [(storage_conf.user_location(user), own) for user, own in _users(everyone=everyone)]
    is_root = storage_conf.this_user() is None
    locations.insert(0 if is_root else 1, (storage_conf.system_location(), is_root))
    found: dict[str, StorePlace] = {}
    for location, own in locations:
        root = location.root
        # What only Podman makes there.
        is_podman = os.path.isdir(os.path.join(root, "libpod"))
        engine = "podman" if is_podman else "containers/storage"
        place = StorePlace(root, engine, own, location.additional, unused=location.unused)
        found.setdefault(root, place)
    crio = storage_conf.crio_location()
    if crio is not None:
        found.setdefault(crio.root, StorePlace(crio.root, "cri-o", is_root, unused=crio.unused))
    return list(found.values())


def _users(*, everyone: bool) -> list[tuple[storage_conf.Variables, bool]]:
    """Users whose stores are looked at, and whether they are this one's."""
    user, caller = storage_conf.this_user(), storage_conf.sudo_user()
    if user is not None:
        return [(user, True)]
    users = [] if caller is None else [caller]
    if everyone:
        others = [one for one in storage_conf.all_users() if one not in users]
        users += [one for one in others if os.path.isdir(_data_folder(one))]
    return [(one, False) for one in users]


def _config_folder(user: storage_conf.Variables) -> str:
    return user.get("XDG_CONFIG_HOME") or os.path.join(user["HOME"], ".config")


def _data_folder(user: storage_conf.Variables) -> str:
    return user.get("XDG_DATA_HOME") or os.path.join(user["HOME"], ".local/share")


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
