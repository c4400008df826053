"""The table of mounts: what a folder is mounted from.

The kernel gives each superblock a number and a line for every mount of it, whatever
subvolume or folder is mounted (proc(5), "mountinfo").
"""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")

_DEEPEST = 8
"""Overlays on overlays that are followed."""


class Mount(NamedTuple):
    """A line of the table of mounts."""

    number: str  # of the superblock: ``8:1``; the same for all mounts of it
    point: str  # where it is mounted
    kind: str  # of the file system
    options: tuple[str, ...]  # of the superblock


class DataPlace(NamedTuple):
    """Where the data of a folder lie.

    Attributes:
        front: the mount that the folder is on.
        mount: the mount with the data: of an overlay, that of its upper folder.
        folder: a folder on that, the one that was asked for if it can be.
        unknown: what cannot be told.
    """

    front: Mount
    mount: Mount
    folder: str
    unknown: tuple[str, ...]


class Mounted(NamedTuple):
    """What is mounted on this machine, as far as it can be seen.

    Attributes:
        ends: pairs of neighbours, ``<id>/merged``, of all paths on which something is mounted,
            and of all folders that an overlay is made of.
        points: paths on which something is mounted, as this process sees them, and the kinds
            of file systems.
        is_complete: False where processes have mounts of their own that cannot be looked at.
    """

    ends: frozenset[str]
    points: Mapping[str, str]
    is_complete: bool


def mounted() -> Mounted:
    """What is mounted now, in the mount namespaces of all processes.

    Rootless engines, and those in a snap, have one of their own (mount_namespaces(7)).
    """
    ends: set[str] = set()
    points: dict[str, str] = {}
    is_complete = True
    seen: set[str] = set()
    for process in ("self", *filter(str.isdigit, _listed("/proc"))):
        try:
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace in seen:
                continue
            with open(
                f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape"
            ) as table:
                mounts = [read_mount(line) for line in table]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except (OSError, ValueError):
            is_complete = False
            continue
        seen.add(namespace)
        for mount in mounts:
            if process == "self":
                points[mount.point] = mount.kind
            for path in (mount.point, *_overlaid(mount)):
                names = path.split("/")
                ends.update(map("/".join, pairwise(names)))
    return Mounted(frozenset(ends), points, is_complete and bool(points))


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _overlaid(mount: Mount) -> Iterator[str]:
    """The folders that an overlay is made of."""
    for option in mount.options:
        name, _, value = option.partition("=")
        if name in ("lowerdir", "upperdir", "workdir", "lowerdir+"):
            yield from value.split(":")


def place_of(path: str) -> DataPlace:
    """Where the data of the folder `path` lie.

    Raises:
        OSError: it cannot be looked at.
    """
    path = os.path.realpath(path)
    front = _mount(path)
    if front is None:
        device = os.stat(path).st_dev
        front = Mount(f"{os.major(device)}:{os.minor(device)}", _mount_point(path, device), "", ())
    return DataPlace(front, *_below(front, path, _DEEPEST))


def _mount(path: str) -> Mount | None:
    """The mount that a folder is on, None where that is not said."""
    try:
        file = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{file}", encoding="utf-8") as info:
                wanted = dict(line.split(None, 1) for line in info if line.strip())["mnt_id:"]
        finally:
            os.close(file)
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                if line.split(" ", 1)[0] == wanted.strip():
                    return read_mount(line)
    except (OSError, KeyError, ValueError):
        # Without /proc, or in a sandbox that makes it up.
        return None
    return None


def read_mount(line: str) -> Mount:
    """What a line of the table says."""
    first, _, last = line.rstrip("\n").partition(" - ")
    _, _, number, _, point, *_ = first.split(" ")
    kind, _, options = last.split(" ", 2)
    return Mount(number, _plain(point), kind, tuple(_plain(options).split(",")))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def _mount_point(path: str, device: int) -> str:
    while path != "/" and os.stat(os.path.dirname(path)).st_dev == device:
        path = os.path.dirname(path)
    return path


def _below(mount: Mount, path: str, deepest: int) -> tuple[Mount, str, tuple[str, ...]]:
    """The mount that has the data, a folder on it, and what cannot be told."""
    if not mount.kind:
        return mount, path, ("cannot tell on which disk it is: there is no table of mounts",)
    if mount.kind.partition(".")[0] == "fuse":
        unknown = f"is on {mount.kind}: cannot tell on which disk that keeps its files"
        return mount, path, (unknown,)
    if mount.kind != "overlay":
        return mount, path, ()
    upper = next((one[9:] for one in mount.options if one.startswith("upperdir=")), "")
    # Within a container it is a path of the host's.
    found = _mount(upper) if upper.startswith("/") and os.path.isdir(upper) else None
    if found is None or not deepest:
        return mount, path, ("is on an overlay: cannot tell on which disk its upper folder is",)
    return _below(found, os.path.realpath(upper), deepest - 1)
