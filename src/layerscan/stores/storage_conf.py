"""Where containers/storage keeps its stores: ``storage.conf``, and what holds without one.

Owns which file counts, for root and for other users, its keys and their
defaults (containers-storage.conf(5); ``types/options.go`` of containers/storage
has what the manual leaves out). It opens no store. What is wrong is a `StoreError`.
"""

import glob
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.errors import DocumentError, StoreError
from layerscan.jsondoc import Place
from layerscan.stores.engine_files import parse_toml, read_absolute, read_settings
from layerscan.text import shown

SYSTEM_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there counts; nothing of the other does."""

SYSTEM_ROOT = "/var/lib/containers/storage"

CRIO_CONFIG = "/etc/crio/crio.conf"
"""CRI-O's; files in the folder ``crio.conf.d`` beside it count more, the last most."""

_CONFIG_VARIABLE = "CONTAINERS_STORAGE_CONF"
_ROOTLESS_VARIABLE = "_CONTAINERS_ROOTLESS_UID"
"""Set by ``podman unshare``: who is root there is a user outside."""

_MOST_ADDITIONAL = 64
_MOST_USERS = 1000
_FIRST_USER, _NOBODY = 1000, 65534  # the ids of people (login.defs(5), UID_MIN)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)

Variables = Mapping[str, str]
"""Those of the environment that count for somebody; of a user, ``HOME`` and ``UID`` always."""


class Location(NamedTuple):
    """Where a store is, and where further ones are, which only give it images."""

    root: str
    additional: tuple[str, ...] = ()
    unused: str = ""  # why no images of the overlay driver are used there; empty if they may be


class _StorageSettings(NamedTuple):
    """What a ``storage.conf`` says, as it is written there; empty where it does not."""

    source: str = ""
    root: str = ""
    rootless_root: str = ""
    additional: tuple[str, ...] = ()
    driver: str = ""


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


def all_users() -> list[Variables]:
    """What counts for the people who may log in here, as far as the system lists them."""
    people = [one for one in pwd.getpwall() if _FIRST_USER <= one.pw_uid < _NOBODY]
    return [{"HOME": one.pw_dir, "UID": str(one.pw_uid)} for one in people[:_MOST_USERS]]


def crio_location() -> Location | None:
    """Where CRI-O keeps images, None where it does not say it: then as the system does."""
    root = driver = ""
    sources = dict.fromkeys(("root", "storage_driver"), "")
    drop_ins = sorted(glob.glob(f"{CRIO_CONFIG}.d/*.conf"))
    for path in (CRIO_CONFIG, *drop_ins):
        raw = read_settings(path)
        if raw is None or not any(key.encode() in raw for key in sources):
            continue
        place = Place(path, "crio")
        try:
            crio = jsondoc.mapping(parse_toml(raw, path).get("crio", {}), place)
            root = jsondoc.text(crio, "root", place, root)
            driver = jsondoc.text(crio, "storage_driver", place, driver)
        except DocumentError as error:
            raise StoreError(str(error)) from None
        sources |= {key: path for key in sources if key in crio}
    if not root:
        return None
    unused = _unused(driver, sources["storage_driver"])
    return Location(read_absolute(root, f"{sources['root']}: root"), unused=unused)


def system_location() -> Location:
    """Where root's store is."""
    settings = _system_settings(os.environ, "rootful")
    return _location(settings, settings.root or SYSTEM_ROOT, os.environ)


def user_location(variables: Variables) -> Location:
    """Where the store of a user is who is not root."""
    system = _system_settings(variables, "rootless")
    home = variables["HOME"]
    data = variables.get("XDG_DATA_HOME") or os.path.join(home, ".local/share")
    default = system.rootless_root or os.path.join(data, "containers/storage")
    own: _StorageSettings | None = system
    if not variables.get(_CONFIG_VARIABLE):
        folder = variables.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        own = _read(_with_drop_ins([os.path.join(folder, "containers/storage.conf")], ""))
    if own is None:
        # Of the system's settings no additional store holds for a user.
        return _location(_StorageSettings(system.source), default, variables)
    return _location(own, own.root or own.rootless_root or default, variables)


def _system_settings(variables: Variables, mode: str) -> _StorageSettings:
    named = variables.get(_CONFIG_VARIABLE)
    paths = [named] if named else _with_drop_ins(SYSTEM_CONFIGS, mode)
    return _read(paths) or _StorageSettings()


def _with_drop_ins(configs: Sequence[str], mode: str) -> list[str]:
    """The first of `configs` that is there, and what is dropped in beside any of them.

    Newer engines read ``storage.conf.d``, and ``storage.rootful.conf.d`` or that of
    rootless. A file hides those of its name beside the later ones of `configs`.
    """
    found: dict[str, str] = {}
    for config in reversed(configs):
        stem = config.removesuffix(".conf")
        for folder in (f"{stem}.conf.d", f"{stem}.{mode}.conf.d"):
            files = glob.glob(f"{glob.escape(folder)}/*.conf")
            found.update((os.path.basename(path), path) for path in files)
    first = [config for config in configs if os.path.lexists(config)][:1]
    return first + [found[name] for name in sorted(found)]


def _read(paths: Sequence[str]) -> _StorageSettings | None:
    """What the files say, each of which goes before those ahead of it; None if there is none."""
    merged: dict[str, object] | None = None
    source = ""
    for path in paths:
        raw = read_settings(path)
        if raw is not None:
            merged = _merged(merged or {}, parse_toml(raw, path))
            source = source or path
    return None if merged is None else _settings(merged, source)


def _merged(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    found = dict(below)
    for key, value in above.items():
        known = found.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        found[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return found


def _settings(document: dict[str, object], path: str) -> _StorageSettings:
    place = Place(path, "storage")
    at = place.key("options")
    try:
        storage = jsondoc.mapping(document.get("storage", {}), place)
        options = jsondoc.mapping(storage.get("options", {}), at)
        most = _MOST_ADDITIONAL
        additional = jsondoc.strings(options, "additionalimagestores", at, longest=most)
        # The place of the images, if it is another than that of the containers.
        image_store = jsondoc.text(storage, "imagestore", place, "")
        return _StorageSettings(
            source=path,
            root=jsondoc.text(storage, "graphroot", place, ""),
            rootless_root=jsondoc.text(storage, "rootless_storage_path", place, ""),
            additional=tuple(filter(None, (image_store, *additional))),
            driver=jsondoc.text(storage, "driver", place, ""),
        )
    except DocumentError as error:
        raise StoreError(str(error)) from None


def _location(settings: _StorageSettings, root: str, variables: Variables) -> Location:
    paths = [_path(path, settings, variables) for path in (root, *settings.additional)]
    return Location(paths[0], tuple(paths[1:]), _unused(settings.driver, settings.source))


def _unused(driver: str, source: str) -> str:
    """Why images of the overlay driver are not used, if another one is set."""
    if driver in ("", "overlay", "overlay2"):
        return ""
    return f"{source} says the storage driver {shown(driver)}"


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
