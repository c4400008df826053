"""A machine of the test's own: where engines keep their stores, as far as layerscan looks there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerscan.stores import docker_settings, places, storage_conf

if TYPE_CHECKING:
    import pytest

# What says who the user is and where their files are.
_VARIABLES = (
    "CONTAINERS_STORAGE_CONF",
    "SUDO_USER",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "_CONTAINERS_ROOTLESS_UID",
)


@dataclass(frozen=True)
class Machine:
    """A folder with what else is in ``/etc``, ``/var/lib``, ``/usr/share`` and ``/home``."""

    folder: str

    @classmethod
    def isolate(
        cls, folder: str | os.PathLike[str], monkeypatch: "pytest.MonkeyPatch"
    ) -> "Machine":
        """Have layerscan, in this process, look there."""
        machine = cls(os.fspath(folder))
        for module, name, value in machine.settings():
            monkeypatch.setattr(module, name, value)
        for name in _VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", machine.path("home"))
        return machine

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    @property
    def docker(self) -> str:
        return self.path("var/lib/docker")

    @property
    def containerd(self) -> str:
        return self.path("var/lib/containerd")

    @property
    def storage(self) -> str:
        return self.path("var/lib/containers/storage")

    @property
    def daemon_json(self) -> str:
        return self.path("etc/docker/daemon.json")

    @property
    def storage_confs(self) -> tuple[str, str]:
        return self.path("etc/containers/storage.conf"), self.path("usr/share/storage.conf")

    def settings(self) -> Iterator[tuple[Any, str, object]]:
        """The names of layerscan that say where to look: module, name, value."""
        yield places, "DOCKER_ROOT", self.docker
        yield places, "DOCKER_CONFIG", self.daemon_json
        yield places, "CONTAINERD_ROOT", self.containerd
        yield places, "CONTAINERD_CONFIG", self.path("etc/containerd/config.toml")
        yield places, "SNAP_DOCKER", self.path("var/snap/docker/common/var-lib-docker")
        yield places, "KUBERNETES", {self.path("var/lib/rancher/k3s/agent/containerd"): "k3s"}
        yield docker_settings, "SUBORDINATES", (self.path("etc/subuid"), self.path("etc/subgid"))
        yield storage_conf, "CRIO_CONFIG", self.path("etc/crio/crio.conf")
        yield storage_conf, "SYSTEM_ROOT", self.storage
        yield storage_conf, "all_users", list
        yield storage_conf, "SYSTEM_CONFIGS", self.storage_confs

    def write(self, path: str, content: str) -> str:
        """Write a file with the folders that it is in. Returns its path."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path
