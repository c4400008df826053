"""Where containers/storage keeps its stores: ``storage.conf``, and what holds without one.

Owns which file counts, for root and for other users, its keys and their
defaults (containers-storage.conf(5); ``types/options.go`` of containers/storage
has what the manual leaves out). It opens no store. What is wrong is a `StoreError`.
"""

import os
import pwd
import re
from collections.abc import Mapping
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.errors import DocumentError, StoreError
from layerscan.jsondoc import Place
from layerscan.stores.engine_files import parse_toml, read_settings, strings
from layerscan.text import shown

SYSTEM_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there counts; nothing of the other does."""

SYSTEM_ROOT = "/var/lib/containers/storage"

_CONFIG_VARIABLE = "CONTAINERS_STORAGE_CONF"
_ROOTLESS_VARIABLE = "_CONTAINERS_ROOTLESS_UID"
"""Set by ``podman unshare``: who is root there is a user outside."""

_MOST_ADDITIONAL = 64
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)

Variables = Mapping[str, str]
"""Those of the environment that count for somebody; of a user, ``HOME`` and ``UID`` always."""


class Location(NamedTuple):
    """Where a store is, and where further ones are, which only give it images."""

    root: str
    additional: tuple[str, ...] = ()


class _StorageSettings(NamedTuple):
    """What a ``storage.conf`` says, as it is written there; empty where it does not."""

    source: str = ""
    root: str = ""
    rootless_root: str = ""
    additional: tuple[str, ...] = ()


def this_user() -> Variables | None:
    """What counts for the user who runs this process, None for root."""
    outside = os.environ.get(_ROOTLESS_VARIABLE, "")
    uid = int(outside) if outside.isascii() and outside.isdigit() else os.geteuid()
    if uid == 0:
        return None
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(uid).pw_dir
        except KeyError:
            home = "/"
    return {**os.environ, "HOME": home, "UID": str(uid)}


def sudo_user() -> Variables | None:
    """What counts for the user who called sudo to become root, None where nobody did."""
    name = os.environ.get("SUDO_USER", "")
    if os.geteuid() != 0 or not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    # The variables here are root's.
    return {"HOME": entry.pw_dir, "UID": str(entry.pw_uid)} if entry.pw_uid else None


def system_location() -> Location:
    """Where root's store is."""
    settings = _system_settings(os.environ)
    return _location(settings, settings.root or SYSTEM_ROOT, os.environ)


def user_location(variables: Variables) -> Location:
    """Where the store of a user is who is not root."""
    system = _system_settings(variables)
    home = variables["HOME"]
    data = variables.get("XDG_DATA_HOME") or os.path.join(home, ".local/share")
    default = system.rootless_root or os.path.join(data, "containers/storage")
    own: _StorageSettings | None = system
    if not variables.get(_CONFIG_VARIABLE):
        folder = variables.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        own = _read(os.path.join(folder, "containers/storage.conf"))
    if own is None:
        # Of the system's settings no additional store holds for a user.
        return _location(_StorageSettings(system.source), default, variables)
    return _location(own, own.root or own.rootless_root or default, variables)


def _system_settings(variables: Variables) -> _StorageSettings:
    named = variables.get(_CONFIG_VARIABLE)
    for path in (named,) if named else SYSTEM_CONFIGS:
        settings = _read(path)
        if settings is not None:
            return settings
    return _StorageSettings()


def _read(path: str) -> _StorageSettings | None:
    """What the file `path` says, None if there is none."""
    raw = read_settings(path)
    return None if raw is None else _settings(parse_toml(raw, path), path)


def _settings(document: dict[str, object], path: str) -> _StorageSettings:
    place = Place(path, "storage")
    at = place.key("options")
    try:
        storage = jsondoc.mapping(document.get("storage", {}), place)
        options = jsondoc.mapping(storage.get("options", {}), at)
        additional = strings(options, "additionalimagestores", at)
        if len(additional) > _MOST_ADDITIONAL:
            raise at.fault(f"has more than {_MOST_ADDITIONAL} additionalimagestores")
        # The place of the images, if it is another than that of the containers.
        image_store = jsondoc.text(storage, "imagestore", place, "")
        return _StorageSettings(
            source=path,
            root=jsondoc.text(storage, "graphroot", place, ""),
            rootless_root=jsondoc.text(storage, "rootless_storage_path", place, ""),
            additional=tuple(filter(None, (image_store, *additional))),
        )
    except DocumentError as error:
        raise StoreError(str(error)) from None


def _location(settings: _StorageSettings, root: str, variables: Variables) -> Location:
    paths = [_path(path, settings, variables) for path in (root, *settings.additional)]
    return Location(paths[0], tuple(paths[1:]))


def _path(text: str, settings: _StorageSettings, variables: Variables) -> str:
    """The path that `text` stands for: variables in it are replaced."""
    source = f"{settings.source}: " if settings.source else ""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise StoreError(f"{source}{shown(text)} uses the variable {name}, which is not set")
        return variables[name]

    path = _VARIABLE.sub(value, text)
    if not os.path.isabs(path) or not path.isprintable():
        raise StoreError(f"{source}no absolute path: {shown(path)}")
    return os.path.normpath(path)
