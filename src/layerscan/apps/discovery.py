"""Finding the Compose Apps below an Apps root."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from layerscan.apps.files import exists
from layerscan.errors import ComposeError, NoAppsError
from layerscan.text import printable

COMPOSE_FILE = "docker-compose.yml"  # the one name of an App's Compose file
_LOOKS_LIKE_IT = re.compile(r"(docker-)?compose(\..*)?\.ya?ml", re.IGNORECASE)
_DISABLED = ".disabled"
_MOST_SHOWN = 10


class App(NamedTuple):
    """A Compose App: the name and path of its folder, and the path of its Compose file."""

    name: str
    folder: str
    compose_file: str


def discover(apps_root: str) -> list[App]:
    """The Apps below `apps_root`, sorted by name.

    An App is a sub-folder that has a ``docker-compose.yml``. Sub-folders
    whose name ends in ``.disabled`` are skipped, those without that file too.
    NoAppsError where there is none; ComposeError where the root cannot be read, a Compose
    file has the wrong name, or an App's own has control characters or is no UTF-8.
    """
    try:
        names = sorted(os.listdir(apps_root))
    except (OSError, ValueError) as error:
        # A path with a NUL character is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ComposeError(f"{printable(apps_root)}: Apps root cannot be read: {reason}") from None
    apps, misnamed = [], []
    for name in names:
        if not name.endswith(_DISABLED):
            app = _app(name, os.path.join(apps_root, name))
            if isinstance(app, App):
                apps.append(app)
            elif app is not None:
                misnamed.append(app)
    if misnamed:
        raise _misnamed(misnamed)
    if not apps:
        why = f"has no sub-folder with a {COMPOSE_FILE}"
        if exists(os.path.join(apps_root, COMPOSE_FILE)):
            why += "; it is itself an App, its parent is the Apps root"
        raise NoAppsError(f"{printable(apps_root)}: no Compose App: {why}")
    return apps


def app_at(folder: str) -> App:
    """The App in the folder `folder`, whatever the folder's parent is; see `discover`."""
    path = os.path.normpath(folder) if folder else folder
    if os.path.basename(path) in ("", ".", ".."):
        path = os.path.abspath(path)
    app = _app(os.path.basename(path), path)
    if isinstance(app, str):
        raise _misnamed([app])
    if app is None:
        why = f"has no {COMPOSE_FILE}" if os.path.isdir(path) else "is no folder"
        raise ComposeError(f"{printable(folder)}: no Compose App: {why}")
    return app


def _misnamed(paths: Sequence[str]) -> ComposeError:
    shown = ", ".join(map(printable, paths[:_MOST_SHOWN]))
    what = "rename it" if len(paths) == 1 else "rename them"
    return ComposeError(f"{shown}: must be named {COMPOSE_FILE}, {what}")


def _app(name: str, folder: str) -> App | str | None:
    """The App in a folder; else the path of what looks like its Compose file, if there is one."""
    compose_file = os.path.join(folder, COMPOSE_FILE)
    if exists(compose_file):
        if not name.isprintable():
            raise ComposeError(f"{printable(folder)}: no name for an App: rename the folder")
        return App(name, folder, compose_file)
    try:
        others = sorted(filter(_LOOKS_LIKE_IT.fullmatch, os.listdir(folder)))
    except OSError:
        # No folder, or one that may not be looked into: then nobody has an App in it.
        return None
    return os.path.join(folder, others[0]) if others else None
