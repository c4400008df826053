"""Where containers/storage keeps its stores: ``storage.conf``, and what holds without one.

Owns which file counts, for root and for other users, its keys and their
defaults (containers-storage.conf(5); ``types/options.go`` of containers/storage
has what the manual leaves out). It opens no store.
"""

import os
import pwd
import re
from collections.abc import Mapping
from typing import NamedTuple

from layerscan.errors import StoreError
from layerscan.stores.engine_files import read_settings
from layerscan.text import shown

SYSTEM_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there counts; nothing of the other does."""

SYSTEM_ROOT = "/var/lib/containers/storage"

_CONFIG_VARIABLE = "CONTAINERS_STORAGE_CONF"
_ROOTLESS_VARIABLE = "_CONTAINERS_ROOTLESS_UID"
"""Set by ``podman unshare``: who is root there is a user outside."""

_MOST_ADDITIONAL = 64
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


class Location(NamedTuple):
    """Where a store is, by what is configured.

    Attributes:
        root: absolute path of its folder.
        additional: those of further stores, which only give images.
    """

    root: str
    additional: tuple[str, ...] = ()


class Owner(NamedTuple):
    """A user who has a store of their own.

    Attributes:
        uid: the user's id.
        home: absolute path of the home folder.
        environment: the variables that count for them.
    """

    uid: int
    home: str
    environment: Mapping[str, str]


class _StorageSettings(NamedTuple):
    """What a ``storage.conf`` says, as it is written there; empty where it does not."""

    source: str = ""
    root: str = ""
    rootless_root: str = ""
    additional: tuple[str, ...] = ()


def this_user() -> Owner | None:
    """Who runs this process, None for root."""
    environment = os.environ
    outside = environment.get(_ROOTLESS_VARIABLE, "")
    uid = int(outside) if outside.isascii() and outside.isdigit() else os.geteuid()
    if uid == 0:
        return None
    home = environment.get("HOME", "")
    return Owner(uid, home if os.path.isabs(home) else _home_of(uid), environment)


def sudo_user() -> Owner | None:
    """Who called sudo to become root, None where nobody did."""
    name = os.environ.get("SUDO_USER", "")
    if os.geteuid() != 0 or not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    # The variables here are root's.
    return Owner(entry.pw_uid, entry.pw_dir, {}) if entry.pw_uid else None


def system_location() -> Location:
    """Where root's store is.

    Raises:
        StoreError: a file of settings cannot be used.
    """
    settings = _system_settings(os.environ)
    return _location(settings, settings.root or SYSTEM_ROOT, None)


def user_location(owner: Owner) -> Location:
    """Where the store of `owner` is, who is not root.

    Raises:
        StoreError: a file of settings cannot be used.
    """
    environment = owner.environment
    system = _system_settings(environment)
    default = system.rootless_root or os.path.join(
        environment.get("XDG_DATA_HOME") or os.path.join(owner.home, ".local/share"),
        "containers/storage",
    )
    if environment.get(_CONFIG_VARIABLE):
        own: _StorageSettings | None = system
    else:
        folder = environment.get("XDG_CONFIG_HOME") or os.path.join(owner.home, ".config")
        own = _read(os.path.join(folder, "containers/storage.conf"))
    if own is None:
        # Of the system's settings no additional store holds for a user.
        return _location(_StorageSettings(system.source), default, owner)
    return _location(own, own.root or own.rootless_root or default, owner)


def _system_settings(environment: Mapping[str, str]) -> _StorageSettings:
    named = environment.get(_CONFIG_VARIABLE)
    for path in (named,) if named else SYSTEM_CONFIGS:
        settings = _read(path)
        if settings is not None:
            return settings
    return _StorageSettings()


def _read(path: str) -> _StorageSettings | None:
    """What the file `path` says, None if there is none."""
    try:
        raw = read_settings(path)
    except ValueError:
        raise StoreError(f"{shown(path)}: is no path") from None
    return None if raw is None else _settings(_parse_toml(raw, path), path)


def _parse_toml(raw: bytes, path: str) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: is no UTF-8, at byte {error.start}") from None
    except RecursionError:
        raise StoreError(f"{path}: is no TOML of this kind: nested too deeply") from None
    except ValueError as error:
        raise StoreError(f"{path}: is no TOML: {error}") from None


def _settings(document: dict[str, object], path: str) -> _StorageSettings:
    storage = _table(document, "storage", "storage", path)
    options = _table(storage, "options", "storage.options", path)
    listed = options.get("additionalimagestores", [])
    if not isinstance(listed, list) or len(listed) > _MOST_ADDITIONAL:
        raise StoreError(f"{path}: additionalimagestores is no list of paths: {shown(listed)}")
    # The place of the images, if it is another than that of the containers.
    image_store = _text(storage.get("imagestore", ""), "imagestore", path)
    more = (_text(entry, "additionalimagestores", path) for entry in listed)
    return _StorageSettings(
        source=path,
        root=_text(storage.get("graphroot", ""), "graphroot", path),
        rootless_root=_text(
            storage.get("rootless_storage_path", ""), "rootless_storage_path", path
        ),
        additional=tuple(filter(None, (image_store, *more))),
    )


def _table(outer: dict[str, object], key: str, name: str, path: str) -> dict[str, object]:
    table = outer.get(key, {})
    if not isinstance(table, dict):
        raise StoreError(f"{path}: {name} is no table: {shown(table)}")
    return table


def _text(value: object, name: str, path: str) -> str:
    if not isinstance(value, str):
        raise StoreError(f"{path}: {name} is no path: {shown(value)}")
    return value


def _location(settings: _StorageSettings, root: str, owner: Owner | None) -> Location:
    additional = [_path(path, settings, owner) for path in settings.additional]
    return Location(_path(root, settings, owner), tuple(additional))


def _path(text: str, settings: _StorageSettings, owner: Owner | None) -> str:
    """The path that `text` stands for: variables in it are replaced."""
    known = dict(os.environ if owner is None else owner.environment)
    if owner is not None:
        known |= {"HOME": owner.home, "UID": str(owner.uid)}
    source = f"{settings.source}: " if settings.source else ""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in known:
            raise StoreError(f"{source}{shown(text)} uses the variable {name}, which is not set")
        return known[name]

    path = _VARIABLE.sub(value, text)
    if not os.path.isabs(path) or not path.isprintable():
        raise StoreError(f"{source}no absolute path: {shown(path)}")
    return os.path.normpath(path)


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"
