"""What is measured, and on what: the commit and the machine, as keys of the history.

No name of the machine and no path of it is in them.
"""

import os
import platform
import re
import subprocess

from benchmarks.settings import CHECKOUT


def commit() -> str:
    """The short hash of the commit checked out, with ``+`` if files differ from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown+"
    return head + ("+" if changed else "")


class OtherLoad:
    """How busy other programs keep the processors, from now on.

    What runs in several threads suffers more from it than what runs in one.
    """

    def __init__(self) -> None:
        self._elapsed = os.times().elapsed
        self._others = _busy() - _own()

    def cores(self) -> float:
        """How many cores others used, on average. This process's children are not others."""
        seconds = os.times().elapsed - self._elapsed
        others = _busy() - _own() - self._others
        return max(0.0, others / max(seconds, 0.1))


def _busy() -> float:
    """Seconds that all processors worked, see proc_stat(5)."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds that this process and its children worked."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", CHECKOUT, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def machine(path: str) -> str:
    """Processor, cores, kernel, Python, and the file system that holds `path`."""
    return ", ".join(
        (
            _processor(),
            f"{len(os.sched_getaffinity(0))} cores",
            f"Linux {platform.release().partition('-')[0]}",
            f"Python {platform.python_version()}",
            _file_system(path),
        )
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _file_system(path: str) -> str:
    """Its type, of the mount with the longest path above `path`."""
    best, kind = "", "unknown file system"
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _, point, type_, *_ = line.split()
            above = os.path.commonpath([os.path.realpath(path), point]) == point
            if above and len(point) >= len(best):
                best, kind = point, type_
    return kind
