"""Running a program under the stopwatch: its time, its peak memory, its output.

Owns the C helpers: ``*.c`` beside this file, compiled when they are first needed.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.settings import HERE, OUT

_PASSED_ON = ("PATH", "HOME", "LANG")
"""Of the environment: what is set for this Python is not to change the other's start."""


class FailedError(Exception):
    """A program could not be run, or ended with an error."""


@dataclass(frozen=True)
class Finished:
    """What a program did.

    Attributes:
        seconds: from its start until it was gone.
        peak: the most memory it had, in bytes (``ru_maxrss`` of wait4(2)).
        output: what it wrote to stdout.
    """

    seconds: float
    peak: int
    output: bytes


def run(command: Sequence[str]) -> Finished:
    """Run `command` under the stopwatch; the C helpers are on its PATH.

    Its output goes to memory, so that no reader slows it down.

    Raises:
        FailedError: it ended with an error.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PATH"] = f"{helpers()}:{environment['PATH']}"
    report, told = os.pipe()
    with open(os.memfd_create("output"), "rb") as output, open(report, "rb") as facts:
        with open(told, "wb"):
            done = subprocess.run(
                ["stopwatch", str(told), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                pass_fds=[told],
                env=environment,
                check=False,
            )
        nanoseconds, kibibytes, status = [int(word) for word in facts.read().split()] or [0, 0, -1]
        if done.returncode != 0 or status != 0:
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise FailedError(f"{' '.join(command)}: wait status {status}: {said}")
        output.seek(0)
        return Finished(nanoseconds / 1e9, kibibytes * 1024, output.read())


@cache
def helpers() -> str:
    """The folder of the programs made of ``*.c``, each compiled unless it is there and newer.

    Raises:
        FailedError: there is no C compiler, or it refuses.
    """
    folder = Path(OUT, "bin")
    folder.mkdir(parents=True, exist_ok=True)
    compiler = (os.environ.get("CC") or "cc", "-O2", "-std=gnu11", "-pthread", "-Wall", "-Werror")
    for source in Path(HERE).glob("*.c"):
        program = folder / source.stem
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        # Renamed into place: two runs at once must not see half of it.
        half = folder / f"{source.stem}.{os.getpid()}"
        try:
            subprocess.run([*compiler, "-o", str(half), str(source)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise FailedError(f"{source.name}: cannot be compiled: {error}") from error
        half.rename(program)
    return str(folder)
