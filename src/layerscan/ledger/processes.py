"""What running processes hold: files that are deleted but open, and engines' databases.

Owns what /proc says (proc(5)). What may not be looked at is not known, and is told.
"""

import os
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

_BLOCK = 512
_FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of the machine's own PID namespace (linux, PROC_PID_INIT_INO)."""
_Inode = tuple[int, int]


class Processes(NamedTuple):
    """What was found.

    Attributes:
        deleted: bytes of disk of deleted files that are still open, by device number.
        started: of the engine, when the first process that has one of its databases open was
            started, in seconds since the epoch; None where none has.
        is_complete: False where there may be processes that cannot be looked at.
    """

    deleted: dict[int, int]
    started: float | None
    is_complete: bool


def look_at_processes(
    devices: Collection[int], databases: Iterable[str], work: Sequence[str] = ()
) -> Processes:
    """Look at what all processes have open.

    Args:
        devices: numbers of those whose deleted files count.
        databases: paths of files that a running engine has open.
        work: absolute paths of folders; an engine without a daemon is at work as long as a
            process has something open in one, or works in one.
    """
    folders = tuple(f"{folder}/" for folder in work)
    wanted = {inode for path in databases if (inode := _inode(path)) is not None}
    deleted: dict[_Inode, int] = {}
    started: list[float] = []
    is_complete = _sees_all()
    for process in filter(str.isdigit, _listed("/proc")):
        folder = f"/proc/{process}/fd"
        try:
            files = os.listdir(folder)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError:
            is_complete = False
            continue
        if folders and _works_in(f"/proc/{process}", files, folders):
            started.append(_start(f"/proc/{process}"))
        for file in files:
            try:
                found = os.stat(f"{folder}/{file}")
            except OSError:
                continue
            inode = found.st_dev, found.st_ino
            if inode in wanted:
                started.append(_start(f"/proc/{process}"))
            elif found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and inode[0] in devices:
                deleted[inode] = found.st_blocks * _BLOCK
    sums: dict[int, int] = {}
    for (device, _), usage in deleted.items():
        sums[device] = sums.get(device, 0) + usage
    return Processes(sums, min(started, default=None), is_complete)


def _works_in(process: str, files: Iterable[str], folders: tuple[str, ...]) -> bool:
    """Whether a process has something open in one of `folders`, or is in one itself."""
    for link in ("root", "cwd", *(f"fd/{file}" for file in files)):
        try:
            if f"{os.readlink(f'{process}/{link}')}/".startswith(folders):
                return True
        except OSError:
            continue  # it was closed
    return False


def _sees_all() -> bool:
    """Whether all processes of the machine are in /proc: a container sees its own only."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_NAMESPACE
    except OSError:
        return False


def _inode(path: str) -> _Inode | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _start(process: str) -> float:
    """When a process was started: its folder's time changes later, so the kernel's figure."""
    try:
        with open(f"{process}/stat", encoding="utf-8", errors="replace") as file:
            # After the name, which may hold anything, the 20th field further.
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    # What the kernel says of its own start is rounded to a second.
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
