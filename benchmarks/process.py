"""Running a program under the stopwatch: its time, its peak memory, its output.

Owns the C helpers (``*.c`` beside this file, compiled when they are needed)
and nothing of who competes with whom.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.settings import HERE, OUT


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


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run `command` under the stopwatch.

    Its output goes to memory, so that no reader slows it down.

    Args:
        command: the program and its arguments.
        environment: variables on top of those of this process.

    Raises:
        FailedError: it ended with an error.
    """
    stopwatch = compiled("stopwatch")
    report, told = os.pipe()
    output = os.memfd_create("output")
    try:
        done = subprocess.run(
            [stopwatch, str(told), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            pass_fds=[told],
            env={**_environment(), **(environment or {})},
            check=False,
        )
        os.close(told)
        told = -1
        facts = os.read(report, 200).split()
        written = os.pread(output, os.fstat(output).st_size, 0)
    finally:
        for fd in (report, told, output):
            if fd >= 0:
                os.close(fd)
    if done.returncode != 0 or len(facts) != 3 or facts[2] != b"0":
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise FailedError(f"{' '.join(command)}: status {facts[2:]}: {said}")
    return Finished(int(facts[0]) / 1e9, int(facts[1]) * 1024, written)


def _environment() -> dict[str, str]:
    """This process's, without what makes Python start as no user's does.

    An installed package has its byte code with it.
    """
    return {key: value for key, value in os.environ.items() if key not in _STRANGE}


_STRANGE = {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "PYTHONDEVMODE",
    "PYTHONWARNINGS",
    "PYTHONPROFILEIMPORTTIME",
}


def compiled(name: str) -> str:
    """The program made of ``NAME.c``, compiled unless it is there and newer.

    Raises:
        FailedError: there is no C compiler, or it refuses.
    """
    source = os.path.join(HERE, f"{name}.c")
    program = os.path.join(OUT, "bin", name)
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    compiler = shutil.which(os.environ.get("CC") or "gcc") or shutil.which("cc")
    if compiler is None:
        raise FailedError(f"{name}.c: there is no C compiler; install gcc")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    # Renamed into place: two runs at once must not see half of it.
    half = f"{program}.{os.getpid()}"
    done = subprocess.run(
        [compiler, "-O2", "-std=gnu11", "-pthread", "-Wall", "-Werror", "-o", half, source],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FailedError(f"{name}.c: {done.stderr.strip()[:500]}")
    os.rename(half, program)
    return program
