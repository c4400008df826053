"""Podman's own database: which containers use which volume.

Owns both of its forms, in bbolt until Podman 4.7 and in SQLite since (libpod, boltdb_state.go
and sqlite_state.go). Of either only that is read. No lock is taken.
"""

import os
import sqlite3
from collections import defaultdict
from contextlib import closing
from tempfile import TemporaryDirectory

from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containerd.bolt import Database

BOLT = ("libpod", "bolt_state.db")
SQLITE = "db.sql"
_WAL = "-wal"
_LONGEST = 256 << 20


def volumes_of_containers(root: Folder) -> dict[str, list[str]]:
    """The names of the volumes that each container uses, by the container's id.

    Raises:
        Fault: a database cannot be read.
    """
    if root.look(SQLITE) is not None:
        return _of_sqlite(root)
    folder = root.folder_if_there(BOLT[0])
    if folder is None:
        return {}
    with folder:
        return {} if folder.look(BOLT[1]) is None else _of_bolt(folder)


def _of_bolt(folder: Folder) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    with Database(folder, BOLT[1]) as database:
        volumes = database.root.bucket(b"vol")
        for name, volume in volumes.buckets() if volumes else ():
            users = volume.bucket(b"vol-dependencies")
            for user in users.keys() if users else ():
                found[_text(user)].append(_text(name))
        database.check_unmoved()
    return found


def _of_sqlite(root: Folder) -> dict[str, list[str]]:
    """From a copy, with what was committed last in the log beside it."""
    found: dict[str, list[str]] = defaultdict(list)
    where = root.where(SQLITE)
    with TemporaryDirectory(prefix="layerscan-") as copies:
        for name in (SQLITE, SQLITE + _WAL):
            raw = root.read_if_there(name, _LONGEST)
            if raw is not None:
                with open(os.path.join(copies, name), "wb") as file:
                    file.write(raw)
        try:
            with closing(sqlite3.connect(os.path.join(copies, SQLITE))) as database:
                database.execute("PRAGMA trusted_schema = OFF")
                rows = database.execute("SELECT ContainerID, VolumeName FROM ContainerVolume")
                for container, volume in rows:
                    found[str(container)].append(str(volume))
        except sqlite3.Error as error:
            raise Fault(where, f"is no database of Podman: {error}") from None
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
