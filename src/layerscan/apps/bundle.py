"""The bundle: an App's folder as a device gets it, as one archive.

Owns which files go into it and what is refused. The pinned Compose file takes
the place of the App's own. The same files with the same modes give the same
bytes, whenever and wherever; see ``archive``.
"""

import json
import os
import stat
from collections.abc import Container, Iterator
from contextlib import nullcontext
from operator import attrgetter
from typing import BinaryIO, NamedTuple

from layerscan import digest as digests
from layerscan.apps.archive import FILE, FOLDER, SYMLINK, BundleArchive, BundleEntry
from layerscan.apps.discovery import COMPOSE_FILE, App
from layerscan.apps.environment import load_environment
from layerscan.apps.files import exists, read_text
from layerscan.apps.ignore import IGNORE_FILE, IgnoreRules
from layerscan.apps.published import INDEX_DIGEST, INDEX_SIZE
from layerscan.errors import ComposeError
from layerscan.files.safefs import Fault, Folder, reason
from layerscan.oci import Descriptor
from layerscan.text import printable

BUNDLE_TYPE = "application/octet-stream"

_OVERRIDES = ("docker-compose.override", "compose.override", "compose")
COMPOSE_OVERRIDES = [f"{stem}.{ending}" for stem in _OVERRIDES for ending in ("yml", "yaml")]
"""What docker compose takes in place of an App's Compose file, or above it."""

_COMPOSE_VARIABLE = "COMPOSE_FILE"
LONGEST_IGNORE_FILE = 256 * 1024  # bytes of the longest .composeappignores that is read
MOST_FILES = 100_000  # files, folders and symlinks of one App
DEEPEST = 100  # folders within each other
_CHUNK = 1 << 20
_MOST_LINKS = 40  # as many as the kernel follows (path_resolution(7))
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _ListedEntry(NamedTuple):
    """Something in the App's folder: its path, what lstat(2) says, and a symlink's target."""

    name: str
    stat: os.stat_result
    target: str = ""


class WrittenBundle(NamedTuple):
    """A bundle: its descriptor, which names its index, and that: a hash of each file."""

    descriptor: Descriptor
    file_index: bytes


def write_bundle(app: App, pinned: bytes, target: BinaryIO) -> WrittenBundle:
    """Write the bundle of an App to `target`, with the Compose file as it is `pinned`.

    Symlinks stay symlinks, hard links become files of their own. Whatever is moved or
    exchanged meanwhile, nothing gets in that is not in the App's folder: every step is
    by descriptor, through no symlink, and what is read must be what was listed.

    Raises:
        ComposeError: a file cannot be read, changes meanwhile, is of a kind that
            a device has no use for, or leads out of the folder.
    """
    archive = BundleArchive(target)
    hashes: dict[str, str] = {}
    try:
        with Folder(app.folder, follow=True) as root:
            kept = _kept(root, _rules(app))
            _refuse_other_compose_files(app, kept)
            links = {name: found.target for name, found in kept.items() if found.target}
            for name in sorted(kept):
                if name == COMPOSE_FILE:
                    # The file may be a symlink: its mode is that of what it leads to.
                    mode = stat.S_IMODE(os.stat(app.compose_file).st_mode)
                    archive.add(BundleEntry(COMPOSE_FILE, FILE, mode, len(pinned)))
                    archive.write(pinned)
                    archive.pad(len(pinned))
                    hashes[name] = digests.sha256(pinned)
                else:
                    _add(archive, root, kept[name], links, hashes)
    except Fault as fault:
        raise ComposeError(f"{printable(fault.where)}: {fault.what}") from None
    archive.finish()
    index = json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode()
    annotations = {INDEX_DIGEST: digests.sha256(index), INDEX_SIZE: str(len(index))}
    digest = f"sha256:{archive.hashing.hexdigest()}"
    return WrittenBundle(
        Descriptor(BUNDLE_TYPE, digest, archive.size, annotations=annotations), index
    )


def _refuse_other_compose_files(app: App, kept: Container[str]) -> None:
    """Refuse what would change what ``docker compose up`` runs in the folder on a device."""
    found = [name for name in COMPOSE_OVERRIDES if name in kept]
    what = "docker compose reads it, too"
    if not found and ".env" in kept:
        path = os.path.join(app.folder, ".env")
        env = load_environment(path, root=os.path.dirname(app.folder), process={})
        if env.values.get(_COMPOSE_VARIABLE, COMPOSE_FILE) != COMPOSE_FILE:
            found, what = [".env"], f"its {_COMPOSE_VARIABLE} has docker compose read other files"
    if found:
        raise ComposeError(
            f"{printable(os.path.join(app.folder, found[0]))}: {what}, and what is in there would "
            f"run without being pinned and counted; remove it, or name it in {IGNORE_FILE}"
        )


def _rules(app: App) -> IgnoreRules:
    path, text = os.path.join(app.folder, IGNORE_FILE), ""
    if exists(path):
        text = read_text(path, root=app.folder, longest=LONGEST_IGNORE_FILE)
    return IgnoreRules(text, printable(path))


def _kept(root: Folder, rules: IgnoreRules) -> dict[str, _ListedEntry]:
    """What goes into the bundle, by name; a folder also for what is kept inside."""
    kept: dict[str, _ListedEntry] = {}
    for path in _walk(root, rules, ()):
        # The folders that it is in come with it, for their modes.
        kept.update((found.name, found) for found in path)
        if len(kept) > MOST_FILES:
            raise Fault(root.path, f"has more than {MOST_FILES} files")
    return kept


def _walk(
    folder: Folder, rules: IgnoreRules, above: tuple[_ListedEntry, ...]
) -> Iterator[tuple[_ListedEntry, ...]]:
    """All that is kept below a folder, each with the folders that it is in.

    No symlink is followed. A folder that is left out is entered only where a
    rule might take back something in it.
    """
    if len(above) > DEEPEST:
        raise Fault(folder.path, f"more than {DEEPEST} folders within each other")
    for found in _listed(folder, f"{above[-1].name}/" if above else ""):
        ignored = found.name != COMPOSE_FILE and (
            found.name == IGNORE_FILE or rules.ignores(found.name)
        )
        if not ignored:
            yield (*above, found)
        if stat.S_ISDIR(found.stat.st_mode) and not (ignored and not rules.has_exceptions):
            with folder.folder(os.path.basename(found.name)) as inner:
                if not os.path.samestat(os.fstat(inner.fd), found.stat):
                    raise _changed(inner.path)
                yield from _walk(inner, rules, (*above, found))


def _listed(folder: Folder, prefix: str) -> list[_ListedEntry]:
    try:
        with os.scandir(folder.fd) as entries:
            return [
                _ListedEntry(
                    prefix + entry.name,
                    entry.stat(follow_symlinks=False),
                    os.readlink(entry.name, dir_fd=folder.fd) if entry.is_symlink() else "",
                )
                for entry in entries
            ]
    except OSError as error:
        raise Fault(folder.path, reason(error)) from None


def _add(
    archive: BundleArchive,
    root: Folder,
    found: _ListedEntry,
    links: dict[str, str],
    hashes: dict[str, str],
) -> None:
    where = root.where(found.name)
    try:
        found.name.encode()
    except UnicodeEncodeError:
        raise Fault(where, "its name is not UTF-8, rename it") from None
    mode = stat.S_IMODE(found.stat.st_mode)
    if stat.S_ISDIR(found.stat.st_mode):
        archive.add(BundleEntry(found.name, FOLDER, mode))
    elif stat.S_ISLNK(found.stat.st_mode):
        _check_target(where, found, links)
        # Linux gives a symlink no mode of its own.
        archive.add(BundleEntry(found.name, SYMLINK, 0o777, link=found.target))
    elif stat.S_ISREG(found.stat.st_mode):
        *above, name = found.name.split("/")
        with root.folder(*above) if above else nullcontext(root) as folder:
            hashes[found.name] = _add_file(archive, folder, name, found)
    else:
        kind = _KINDS.get(stat.S_IFMT(found.stat.st_mode), "no file")
        what = f"is {kind}, which no bundle can have; remove it or name it in {IGNORE_FILE}"
        raise Fault(where, what)


def _check_target(where: str, link: _ListedEntry, links: dict[str, str]) -> None:
    """Refuse a symlink that leads out of the App's folder; it may lead to nothing."""
    try:
        link.target.encode()
    except UnicodeEncodeError:
        raise Fault(where, "its target is not UTF-8") from None
    by_text = os.path.normpath(os.path.join(os.path.dirname(link.name), link.target))
    if by_text.startswith(("/", "../")) or by_text == ".." or _leads_out(link.name, links):
        raise Fault(
            where,
            "is a symlink that leads out of the App's folder, to "
            f"{printable(link.target)}; a device has something else there. Put the file into the "
            f"App, or name the symlink in {IGNORE_FILE}",
        )


def _leads_out(name: str, links: dict[str, str]) -> bool:
    """Whether a path in the bundle leads out of it, by the links that are in there.

    Not by what the disk has now, which may be something else the next moment.
    """
    reached: list[str] = []
    left = name.split("/")[::-1]
    followed = 0
    while left and followed <= _MOST_LINKS:
        part = left.pop()
        if part == "..":
            if not reached:
                return True
            reached.pop()
        elif part not in ("", "."):
            reached.append(part)
            target = links.get("/".join(reached))
            if target is not None:
                if target.startswith("/"):
                    return True
                followed += 1
                reached.pop()
                left += target.split("/")[::-1]
    return False


def _add_file(archive: BundleArchive, folder: Folder, name: str, found: _ListedEntry) -> str:
    """Add a regular file, of which never more than a chunk is in memory; its digest."""
    where, hashing = folder.where(name), digests.hashing(None)
    descriptor, size = folder.open(name)
    with open(descriptor, "rb", buffering=0) as file:
        _check_unchanged(descriptor, where, found)
        archive.add(BundleEntry(found.name, FILE, stat.S_IMODE(found.stat.st_mode), size))
        left = size
        while left:
            try:
                part = file.read(min(_CHUNK, left))
            except OSError as error:
                raise Fault(where, reason(error)) from None
            if not part:
                raise _changed(where)
            archive.write(part)
            hashing.update(part)
            left -= len(part)
        _check_unchanged(descriptor, where, found)
    archive.pad(size)
    return digests.computed(hashing, None)


def _check_unchanged(descriptor: int, where: str, found: _ListedEntry) -> None:
    """Make sure that an open file is the one that was listed, and nobody has written to it."""
    now = os.fstat(descriptor)
    alike = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_mode")
    if alike(now) != alike(found.stat):
        raise _changed(where)


def _changed(where: str) -> Fault:
    return Fault(where, "changed while it was read; publish when nothing writes it")
