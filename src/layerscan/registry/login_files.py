"""Credentials for registries: which files have them, and what Docker's and Podman's say.

Owns Docker's ``config.json`` so far as it says how to log in (``auths``,
``credHelpers``, ``credsStore``), and ``auth.json`` of Podman, Buildah and skopeo as
containers-auth.json(5) describes it. No secret is in any message, and nothing is written.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from layerscan import jsondoc
from layerscan.errors import DocumentError, RegistryError
from layerscan.jsondoc import Place
from layerscan.reference import DEFAULT_REGISTRY
from layerscan.registry.credential_helper import ask_helper
from layerscan.registry.login import Login, Secret
from layerscan.text import printable, quoted

DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # what Docker's file and helpers call docker.io

AUTH_FILE = "REGISTRY_AUTH_FILE"
"""The variable that names a file like ``auth.json``, as for Podman and skopeo."""

_DOCKER = "Docker's configuration"
_LONGEST_FILE = 1 << 20
_API_PATHS = ("", "/", "/v1", "/v1/", "/v2", "/v2/")
_DOCKER_HUB_HOSTS = (DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io")


class DockerLogins:
    """Docker's ``config.json``, which need not be there: what it has is for all of a registry."""

    def __init__(self, path: str, registry: str) -> None:
        self._place = Place(path)
        self._registry = registry
        self._key = DOCKER_HUB_KEY if registry == DEFAULT_REGISTRY else registry

    def find(self, repository: str) -> Login | None:  # noqa: ARG002 - it makes no difference here
        """How to log in for a repository; None for no way."""
        return self._login

    @cached_property
    def _login(self) -> Login | None:
        config = _read(self._place)
        return self._helped(config) or self._stored(_table(config, "auths", self._place))

    def _helped(self, config: dict[str, object]) -> Login | None:
        """What a helper knows of the registry, or the one of all registries."""
        at = self._place.key("credHelpers")
        helpers = _table(config, "credHelpers", self._place)
        for name in (self._registry, self._key):
            if name in helpers:
                helper = jsondoc.text(helpers, name, at)
                return ask_helper(helper, self._key, at.key(name), _DOCKER)
        store = jsondoc.text(config, "credsStore", self._place, "")
        if not store:
            return None
        return ask_helper(store, self._key, self._place.key("credsStore"), _DOCKER)

    def _stored(self, auths: dict[str, object]) -> Login | None:
        key: str | None = self._key
        if key not in auths:
            key = next((k for k in sorted(auths) if _host(k) == self._registry), None)
        return None if key is None else _login(auths, key, self._place)


class ContainersLogins:
    """``auth.json``: what it has is for a registry, or for what is below a path there.

    If a variable names the file (`named_by`), it must be there.
    """

    def __init__(self, path: str, registry: str, *, named_by: str = "") -> None:
        self._place = Place(path)
        self._registry = registry
        self._named_by = named_by
        self._hosts = _DOCKER_HUB_HOSTS if registry == DEFAULT_REGISTRY else (registry,)
        self._logins: dict[str, Login | None] = {}

    def find(self, repository: str) -> Login | None:
        """How to log in for the repository with the path `repository`; None for no way."""
        if self._registry in self._helpers:
            return self._helped
        key = self._key(f"{self._registry}/{repository}")
        if key is None:
            return None
        if key not in self._logins:
            self._logins[key] = _login(self._auths, key, self._place)
        return self._logins[key]

    def _key(self, name: str) -> str | None:
        """The key for the repository `name`: the longest that it begins with."""
        while name:
            if name in self._auths:
                return name
            name = name.rpartition("/")[0]
        return next((k for k in sorted(self._auths) if _host(k) in self._hosts), None)

    @cached_property
    def _config(self) -> dict[str, object]:
        if self._named_by and not os.path.exists(self._place.source):
            raise self._place.fault(f"{self._named_by} names this file, and it is not there")
        return _read(self._place)

    @cached_property
    def _auths(self) -> dict[str, object]:
        return _table(self._config, "auths", self._place)

    @cached_property
    def _helpers(self) -> dict[str, object]:
        return _table(self._config, "credHelpers", self._place)

    @cached_property
    def _helped(self) -> Login | None:
        at = self._place.key("credHelpers")
        helper = jsondoc.text(self._helpers, self._registry, at)
        source = printable(self._place.source)
        return ask_helper(helper, self._registry, at.key(self._registry), source)


LoginFile = DockerLogins | ContainersLogins
"""A file with credentials for one registry; it is read when it is asked first."""


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


def _read(place: Place) -> dict[str, object]:
    path = place.source
    if not os.path.exists(path):
        return {}
    raw = jsondoc.read_file(path, _LONGEST_FILE)
    # As for Go's decoder, an empty file and null have nothing.
    document = jsondoc.decode(raw, path, as_go=True) if raw.strip() else None
    return {} if document is None else jsondoc.mapping(document, place)


def _table(config: dict[str, object], key: str, place: Place) -> dict[str, object]:
    return jsondoc.mapping(config[key], place.key(key)) if key in config else {}


def _login(auths: dict[str, object], key: str, place: Place) -> Login | None:
    """What the entry under `key` says, None where it has nothing."""
    at = place.key("auths").key(key)
    entry = jsondoc.mapping(auths[key], at)
    # Only a part of a registry: there may be others.
    source = printable(place.source) + ("" if _host(key) is not None else f": {quoted(key)}")
    token = jsondoc.text(entry, "identitytoken", at, "")
    if token:
        return Login("", Secret(token), is_identity_token=True, source=source)
    encoded = jsondoc.text(entry, "auth", at, "")
    if encoded:
        user, password = _decode(encoded, at.key("auth"))
    else:
        user = jsondoc.text(entry, "username", at, "")
        password = jsondoc.text(entry, "password", at, "")
    if not user:
        # Docker leaves an empty entry where a helper has the rest.
        return None
    return Login(user, Secret(password), is_identity_token=False, source=source)


def _host(key: str) -> str | None:
    """The registry that a key of ``auths`` is about, None if it is about a part of one."""
    host = re.sub(r"^https?://", "", key)
    name, slash, path = host.partition("/")
    if slash + path not in _API_PATHS:
        return None
    return name


def _decode(encoded: str, place: Place) -> tuple[str, str]:
    try:
        # Line ends do not count, as for Go's decoder.
        encoded = encoded.replace("\r", "").replace("\n", "")
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise place.fault("is no base64 of UTF-8 text: log in again") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise place.fault("is not of the form user:password: log in again")
    # Docker pads it so.
    return user, password.rstrip("\0")
