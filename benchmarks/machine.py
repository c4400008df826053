"""What the machine is, and what else it does meanwhile."""

import os
import subprocess


def file_system(path: str) -> str:
    """The type of the file system that has `path`, which is made."""
    os.makedirs(path, exist_ok=True)
    command = ["df", "--output=fstype", path]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[1]


class OtherLoad:
    """How busy other programs keep the processors, from now on.

    What runs in several threads suffers more from it than what runs in one.
    """

    def __init__(self) -> None:
        self._elapsed = os.times().elapsed
        self._others = _others()

    def cores(self) -> float:
        """How many cores others used, on average. This process's children are not others."""
        seconds = os.times().elapsed - self._elapsed
        return max(0.0, (_others() - self._others) / max(seconds, 0.1))


def _others() -> float:
    """Seconds that all processors worked, see proc_stat(5), but not for this process."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
    busy = (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    times = os.times()
    return busy - times.user - times.system - times.children_user - times.children_system
