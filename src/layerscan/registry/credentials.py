"""Credentials for registries: in which files they are looked for, and in which order.

What is in the files, `login_files` knows. Nothing is ever written.
"""

import os
from collections.abc import Mapping, Sequence

from layerscan.errors import DocumentError, RegistryError
from layerscan.registry.login import Login
from layerscan.registry.login_files import ContainersLogins, DockerLogins, LoginFile

AUTH_FILE = "REGISTRY_AUTH_FILE"
"""The variable that names a file like ``auth.json``, as for Podman and skopeo."""


class Credentials:
    """The credentials for one registry; None for the files of this user. Not thread-safe."""

    def __init__(self, registry: str, files: Sequence[LoginFile] | None = None) -> None:
        self._registry = registry
        self._files = login_files(registry) if files is None else files

    def login(self, repository: str) -> Login | None:
        """What the first file says that knows how to log in for the repository with that path."""
        try:
            found = (file.find(repository) for file in self._files)
            return next((login for login in found if login is not None), None)
        except DocumentError as error:
            raise RegistryError(f"credentials of {self._registry}: {error}") from None


def login_files(registry: str, environment: Mapping[str, str] | None = None) -> list[LoginFile]:
    """The files with credentials of this user, in the order in which they count.

    The order is that of containers-auth.json(5), but that Docker's file goes before
    those which nobody named: its users have the credentials that Docker has.
    """
    variables = os.environ if environment is None else environment
    docker = DockerLogins(config_path(variables), registry)
    config = variables.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    kept = ContainersLogins(os.path.join(config, "containers", "auth.json"), registry)
    named = variables.get(AUTH_FILE)
    if named:
        return [ContainersLogins(named, registry, named_by=AUTH_FILE), docker, kept]
    run = variables.get("XDG_RUNTIME_DIR")
    folder = os.path.join(run, "containers") if run else f"/run/containers/{os.getuid()}"
    return [docker, ContainersLogins(os.path.join(folder, "auth.json"), registry), kept]


def config_path(variables: Mapping[str, str]) -> str:
    """Where Docker's configuration of this user is."""
    folder = variables.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return os.path.join(folder, "config.json")
