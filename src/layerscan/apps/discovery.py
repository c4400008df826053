"""Finding the Compose Apps below an Apps root."""

import os
from typing import NamedTuple

from layerscan.apps.files import exists
from layerscan.errors import ComposeError
from layerscan.text import printable

COMPOSE_FILE = "docker-compose.yml"  # the one name of an App's Compose file
_MISNAMED_FILE = "docker-compose.yaml"
_DISABLED = ".disabled"


class App(NamedTuple):
    """A Compose App: the name and path of its folder, and the path of its Compose file."""

    name: str
    folder: str
    compose_file: str


def discover(apps_root: str) -> list[App]:
    """The Apps below `apps_root`, sorted by name.

    An App is a sub-folder that has a ``docker-compose.yml``. Sub-folders
    whose name ends in ``.disabled`` are skipped, those without that file too.

    Raises:
        ComposeError: `apps_root` cannot be read or has no App, an App's
            Compose file has the wrong name, or the App's own name has control
            characters or is no UTF-8.
    """
    try:
        names = sorted(os.listdir(apps_root))
    except (OSError, ValueError) as error:
        # A path with a NUL character is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ComposeError(f"{printable(apps_root)}: Apps root cannot be read: {reason}") from None
    apps = [
        app
        for name in names
        if not name.endswith(_DISABLED) and (app := _app(name, os.path.join(apps_root, name)))
    ]
    if not apps:
        why = f"has no sub-folder with a {COMPOSE_FILE}"
        if exists(os.path.join(apps_root, COMPOSE_FILE)):
            why += "; it is itself an App, its parent is the Apps root"
        raise ComposeError(f"{printable(apps_root)}: no Compose App: {why}")
    return apps


def app_at(folder: str) -> App:
    """The App in the folder `folder`, whatever the folder's parent is; see `discover`."""
    path = os.path.normpath(folder) if folder else folder
    if os.path.basename(path) in ("", ".", ".."):
        path = os.path.abspath(path)
    app = _app(os.path.basename(path), path)
    if app is None:
        why = f"has no {COMPOSE_FILE}" if os.path.isdir(path) else "is no folder"
        raise ComposeError(f"{printable(folder)}: no Compose App: {why}")
    return app


def _app(name: str, folder: str) -> App | None:
    compose_file = os.path.join(folder, COMPOSE_FILE)
    if exists(compose_file):
        if not name.isprintable():
            raise ComposeError(f"{printable(folder)}: no name for an App: rename the folder")
        return App(name, folder, compose_file)
    misnamed = os.path.join(folder, _MISNAMED_FILE)
    if exists(misnamed):
        raise ComposeError(f"{printable(misnamed)}: must be named {COMPOSE_FILE}, rename it")
    return None
