"""The bundle: an App's folder as a device gets it, as one archive.

Owns which files go into it and what is refused. The pinned Compose file takes
the place of the App's own. The same files with the same modes give the same
bytes, whenever and wherever; see ``archive``.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from layerscan.apps.archive import BundleArchive, BundleEntry, EntryKind
from layerscan.apps.discovery import COMPOSE_FILE, App
from layerscan.apps.files import exists, read_text
from layerscan.apps.ignore import IGNORE_FILE, IgnoreRules
from layerscan.errors import ComposeError
from layerscan.oci import Descriptor
from layerscan.text import printable

BUNDLE_TYPE = "application/octet-stream"

LONGEST_IGNORE_FILE = 256 * 1024
"""Bytes of the longest ``.composeappignores`` that is read."""

MOST_FILES = 100_000
"""Files, folders and symlinks of one App."""

DEEPEST = 100
"""Folders within each other."""

_CHUNK = 1 << 20
# O_NONBLOCK: opening a FIFO that took a file's place must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _Found(NamedTuple):
    """Something in the App's folder: its path in there, and what lstat(2) says."""

    name: str
    stat: os.stat_result


def write_bundle(app: App, pinned: bytes, target: BinaryIO) -> Descriptor:
    """Write the bundle of an App.

    Symlinks stay symlinks, hard links become files of their own.

    Args:
        app: the App.
        pinned: its Compose file as it is to be in the bundle.
        target: what takes the bundle.

    Raises:
        ComposeError: a file cannot be read, changes meanwhile, is of a kind that
            a device has no use for, or leads out of the folder.
    """
    rules = _rules(app)
    hashing = _Hashing(target)
    archive = BundleArchive(hashing)
    for found in _kept(app, rules):
        if found.name == COMPOSE_FILE:
            # The file may be a symlink: its mode is that of what it leads to.
            mode = stat.S_IMODE(os.stat(app.compose_file).st_mode)
            archive.add(BundleEntry(COMPOSE_FILE, EntryKind.FILE, mode, len(pinned)))
            archive.write(pinned)
            archive.pad(len(pinned))
        else:
            _add(archive, app, found)
    archive.finish()
    return Descriptor(BUNDLE_TYPE, f"sha256:{hashing.digest.hexdigest()}", hashing.size)


class _Hashing:
    """Passes on what is written, and knows its digest and size."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self._target.write(data)


def _rules(app: App) -> IgnoreRules:
    path = os.path.join(app.folder, IGNORE_FILE)
    if not exists(path):
        return IgnoreRules("", IGNORE_FILE)
    text = read_text(path, root=app.folder, longest=LONGEST_IGNORE_FILE)
    return IgnoreRules(text, printable(path))


def _kept(app: App, rules: IgnoreRules) -> list[_Found]:
    """What goes into the bundle, sorted; a folder also for what is kept inside."""
    kept: dict[str, _Found] = {}
    for path in _walk(app.folder, rules, ()):
        # The folders that it is in come with it, for their modes.
        kept.update((found.name, found) for found in path)
        if len(kept) > MOST_FILES:
            raise ComposeError(f"{printable(app.folder)}: has more than {MOST_FILES} files")
    return [kept[name] for name in sorted(kept)]


def _walk(root: str, rules: IgnoreRules, above: tuple[_Found, ...]) -> Iterator[tuple[_Found, ...]]:
    """All that is kept below a folder, each with the folders that it is in.

    No symlink is followed. A folder that is left out is entered only where a
    rule might take back something in it.
    """
    path = os.path.join(root, above[-1].name) if above else root
    if len(above) > DEEPEST:
        raise ComposeError(f"{printable(path)}: more than {DEEPEST} folders within each other")
    for found in _listed(root, path):
        ignored = found.name != COMPOSE_FILE and (
            found.name == IGNORE_FILE or rules.ignores(found.name)
        )
        if not ignored:
            yield (*above, found)
        if stat.S_ISDIR(found.stat.st_mode) and not (ignored and not rules.has_exceptions):
            yield from _walk(root, rules, (*above, found))


def _listed(root: str, path: str) -> list[_Found]:
    try:
        with os.scandir(path) as entries:
            return [
                _Found(os.path.relpath(entry.path, root), entry.stat(follow_symlinks=False))
                for entry in entries
            ]
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None


def _add(archive: BundleArchive, app: App, found: _Found) -> None:
    path = os.path.join(app.folder, found.name)
    try:
        found.name.encode()
    except UnicodeEncodeError:
        raise ComposeError(f"{printable(path)}: its name is not UTF-8, rename it") from None
    mode = stat.S_IMODE(found.stat.st_mode)
    if stat.S_ISDIR(found.stat.st_mode):
        archive.add(BundleEntry(found.name, EntryKind.FOLDER, mode))
    elif stat.S_ISLNK(found.stat.st_mode):
        # Linux gives a symlink no mode of its own.
        archive.add(
            BundleEntry(found.name, EntryKind.SYMLINK, 0o777, link=_target(app, found.name))
        )
    elif stat.S_ISREG(found.stat.st_mode):
        _add_file(archive, path, found)
    else:
        kind = _KINDS.get(stat.S_IFMT(found.stat.st_mode), "no file")
        raise ComposeError(
            f"{printable(path)}: is {kind}, which no bundle can have; remove it or name it in "
            f"{IGNORE_FILE}"
        )


def _target(app: App, name: str) -> str:
    """Where the symlink `name` leads, which must be inside the App's folder."""
    path = os.path.join(app.folder, name)
    try:
        target = os.readlink(path)
        target.encode()
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ComposeError(f"{printable(path)}: its target is not UTF-8") from None
    inside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    root = os.path.realpath(app.folder)
    # By its text it would lead out on the device; by what is here, through
    # another symlink. A target that is not there is the author's business.
    if (
        os.path.isabs(target)
        or inside.split("/")[0] == ".."
        or os.path.commonpath([root, os.path.realpath(path)]) != root
    ):
        raise ComposeError(
            f"{printable(path)}: is a symlink that leads out of the App's folder, to "
            f"{printable(target)}; a device has something else there. Put the file into the "
            f"App, or name the symlink in {IGNORE_FILE}"
        )
    return target


def _add_file(archive: BundleArchive, path: str, found: _Found) -> None:
    """Add a regular file, of which never more than a chunk is in memory."""
    try:
        descriptor = os.open(path, _FILE)
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None
    with open(descriptor, "rb", buffering=0) as file:
        now = os.fstat(descriptor)
        if not stat.S_ISREG(now.st_mode) or now.st_size != found.stat.st_size:
            raise _changed(path)
        archive.add(
            BundleEntry(found.name, EntryKind.FILE, stat.S_IMODE(now.st_mode), found.stat.st_size)
        )
        left = found.stat.st_size
        while left:
            part = _read(file, min(_CHUNK, left), path)
            if not part:
                raise _changed(path)
            archive.write(part)
            left -= len(part)
        if _read(file, 1, path):
            raise _changed(path)
    archive.pad(found.stat.st_size)


def _read(file: io.FileIO, size: int, path: str) -> bytes:
    try:
        return file.read(size) or b""
    except OSError as error:
        raise ComposeError(f"{printable(path)}: {error.strerror}") from None


def _changed(path: str) -> ComposeError:
    return ComposeError(
        f"{printable(path)}: changed while it was read; publish when nothing writes it"
    )
