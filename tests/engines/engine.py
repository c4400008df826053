"""What the engines of the tests have in common: how they start, answer and end.

Owns the folder that an engine keeps its state in, the daemons that it starts and
stops, and the commands that it runs. Which daemons and commands these are is the
part of each engine's own module.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
COMMAND_SECONDS = 240.0
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 4000


class EngineError(Exception):
    """An engine that does not start, or a command of it that failed."""


class Daemon:
    """A background process with a log file, in a session of its own.

    A Ctrl-C on the terminal reaches the tests only, which then stop it; should
    the tests die without that, the kernel sends SIGTERM (``setpriv
    --pdeathsig``). That signal is tied to the *thread* that starts the daemon:
    start it from one that lives as long as the daemon shall.
    """

    def __init__(self, argv: Sequence[str], *, log: str) -> None:
        self.name = argv[0]
        self.log = log
        with open(log, "ab") as out:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = READY_SECONDS) -> None:
        """Return once `ready()` is true; `EngineError` if it dies or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            status = self._process.poll()
            if status is not None:
                raise EngineError(f"{self.name} ended with status {status}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} not ready in {seconds:g} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def log_tail(self) -> str:
        """The last lines of what the daemon wrote."""
        with open(self.log, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL if that is not enough. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait(seconds)


class Engine(ABC):
    """What a test starts and what then certainly ends: alive between `start` and `stop`.

    Attributes:
        programs: what it needs on PATH.
        prefix: how the name of its temporary folder begins.
    """

    programs: tuple[str, ...]
    prefix: str

    def __init__(self) -> None:
        self._cleanup = contextlib.ExitStack()
        self._state = ""

    @abstractmethod
    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        """Start what there is to start in the folder `_state`; `cleanup` ends it."""

    def start(self) -> Self:
        """Start it and wait until it answers; leaves nothing behind if that fails."""
        missing = missing_programs(self.programs)
        if missing:
            raise EngineError(f"not installed: {', '.join(missing)}; run tests/engines/install")
        with contextlib.ExitStack() as cleanup:
            # Not below pytest's tmp_path: sockets need a short path.
            self._state = os.path.realpath(tempfile.mkdtemp(prefix=self.prefix))
            cleanup.callback(shutil.rmtree, self._state)
            cleanup.callback(unmount_below, self._state)
            self._begin(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def stop(self) -> None:
        """End it and all that it started, unmount, remove its folder. Idempotent."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run_daemon(
        self,
        argv: Sequence[str],
        cleanup: contextlib.ExitStack,
        ready: Callable[[], bool],
        *,
        log: str = "log",
    ) -> Daemon:
        """Start a daemon, which `cleanup` stops; returns once `ready()` is true."""
        daemon = Daemon(argv, log=os.path.join(self._state, log))
        cleanup.callback(daemon.stop)
        daemon.wait_until(ready)
        return daemon


def run(
    argv: Sequence[str],
    *,
    shown: Sequence[str] = (),
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    seconds: float = COMMAND_SECONDS,
) -> bytes:
    """Run a command, in `folder` if that is given; what it printed.

    Raises:
        EngineError: with all that it printed, if it failed; `shown` is how the
            command is named there, by default as it is.
    """
    done = subprocess.run(
        argv,
        check=False,
        capture_output=True,
        input=stdin,
        env=environment,
        cwd=folder,
        timeout=seconds,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")
        name = " ".join(shown or argv)
        raise EngineError(f"{name}: exit status {done.returncode}:\n{said}")
    return done.stdout


def succeeds(command: Callable[[], object]) -> bool:
    """Whether `command` ends without an `EngineError`."""
    try:
        command()
    except EngineError:
        return False
    return True


def missing_programs(programs: Iterable[str]) -> list[str]:
    """Which of `programs` are not on PATH."""
    return [name for name in programs if shutil.which(name) is None]


def unmount_below(folder: str, *, itself: bool = False) -> None:
    """Unmount everything mounted below `folder` (and at it, if `itself`). Idempotent."""
    top = os.path.realpath(folder)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mountinfo:
        points = [_unescape(line.split(" ")[4]) for line in mountinfo]
    # Later lines lie on top of earlier ones, so last in, first out.
    for point in reversed(points):
        if point.startswith(top + "/") or (itself and point == top):
            _unmount(point)


def _unmount(point: str) -> None:
    plain = subprocess.run(["umount", "--", point], check=False, capture_output=True)
    if plain.returncode != 0:
        # Busy: off the tree now, gone with its last user.
        subprocess.run(["umount", "--lazy", "--", point], check=True, capture_output=True)


def _unescape(field: str) -> str:
    # proc(5): space, tab, newline and backslash are octal escapes in mountinfo.
    for plain in " \t\n\\":
        field = field.replace(f"\\{ord(plain):03o}", plain)
    return field
