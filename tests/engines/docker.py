"""A Docker Engine of the tests' own: containerd and dockerd, overlay2, one folder.

Owns the two daemons from their start to their certain end, and a thin face of
the command line client. What goes into images is `tests.engines.images`' part.

It listens on no network and touches no bridge and no firewall, so it lives
beside an engine that the machine may be running already. Needs root and the
packages that `tests/engines/install` installs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

PROGRAMS = ("containerd", "dockerd", "docker", "runc", "setpriv")

# Debian's own client first: one from elsewhere may need a plugin to build at all.
CLIENT = shutil.which("docker", path=f"/usr/bin:{os.environ.get('PATH', os.defpath)}") or "docker"

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
COMMAND_SECONDS = 240.0
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 4000

# sun_path of unix(7) holds 108 bytes, the closing NUL included.
SOCKET_PATH_LIMIT = 107


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


def missing_programs(programs: Iterable[str] = PROGRAMS) -> list[str]:
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


def _processes_naming(text: str) -> list[int]:
    """Living processes with `text` in their command line, this one left out."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as cmdline:
            if os.fsencode(text) in cmdline.read():
                found.append(int(entry))
    return found


def _kill_processes_naming(text: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while found := _processes_naming(text):
        if time.monotonic() > deadline:
            raise EngineError(f"processes {found} survive SIGKILL")
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


class Docker:
    """A Docker Engine with the overlay2 driver, alive between `start` and `stop`.

    Args:
        data_root: where the engine keeps its images; no other engine may use
            it meanwhile, and it outlives this one. By default a temporary
            folder, removed by `stop`.

    Attributes:
        data_root: absolute path of that folder, once started.
    """

    def __init__(self, data_root: str | None = None) -> None:
        self._given_data_root = data_root
        self._cleanup = contextlib.ExitStack()
        self._state = ""
        self.data_root = ""

    @property
    def host(self) -> str:
        """What DOCKER_HOST of a client must say."""
        return f"unix://{self._state}/docker.sock"

    def start(self) -> Self:
        """Start both daemons and wait for them; leaves nothing behind if that fails."""
        missing = missing_programs()
        if missing:
            raise EngineError(f"not installed: {', '.join(missing)}; run tests/engines/install")
        with contextlib.ExitStack() as cleanup:
            # Not below pytest's tmp_path: sockets need a short path.
            self._state = os.path.realpath(tempfile.mkdtemp(prefix="lsdocker-"))
            cleanup.callback(shutil.rmtree, self._state)
            cleanup.callback(unmount_below, self._state)
            self.data_root = os.path.realpath(self._given_data_root or f"{self._state}/docker")
            cleanup.callback(unmount_below, self.data_root)
            # A shim outlives its containerd and has that one's socket among its arguments.
            cleanup.callback(_kill_processes_naming, self._state)
            self._start_daemons(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def stop(self) -> None:
        """End both daemons and all they started, unmount, remove the folder. Idempotent."""
        self._cleanup.close()

    def _start_daemons(self, cleanup: contextlib.ExitStack) -> None:
        state = self._state
        socket = f"{state}/containerd.sock"
        if len(os.fsencode(socket)) + len(".ttrpc") > SOCKET_PATH_LIMIT:
            raise EngineError(f"{socket}: too long for a socket; set a shorter TMPDIR")
        containerd = Daemon(
            [
                "containerd",
                *("--address", socket),
                *("--root", f"{state}/ctrd"),
                *("--state", f"{state}/ctrd-state"),
            ],
            log=f"{state}/containerd.log",
        )
        cleanup.callback(containerd.stop)
        containerd.wait_until(lambda: os.path.exists(socket))
        dockerd = Daemon(
            [
                "dockerd",
                *("--host", self.host),
                *("--pidfile", f"{state}/docker.pid"),
                *("--storage-driver", "overlay2"),
                *("--data-root", self.data_root),
                *("--exec-root", f"{state}/exec"),
                *("--containerd", socket),
                *("--bridge", "none"),
                "--iptables=false",
            ],
            log=f"{state}/dockerd.log",
        )
        cleanup.callback(dockerd.stop)
        dockerd.wait_until(self._answers)

    def _answers(self) -> bool:
        return self._client("version", "--format", "{{.Server.Version}}").returncode == 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _client(
        self, *args: str, stdin: bytes = b"", buildkit: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": f"{self._state}/client",
            "DOCKER_BUILDKIT": "1" if buildkit else "0",
        }
        return subprocess.run(
            [CLIENT, *args],
            check=False,
            capture_output=True,
            env=environment,
            input=stdin,
            timeout=COMMAND_SECONDS,
        )

    def run(self, *args: str, stdin: bytes = b"", buildkit: bool = False) -> str:
        """Run ``docker ARGS``; what it printed, without the last newline.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        done = self._client(*args, stdin=stdin, buildkit=buildkit)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise EngineError(f"docker {' '.join(args)}: exit status {done.returncode}:\n{said}")
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")

    def build(self, context: str, tag: str, *, buildkit: bool = False) -> str:
        """Build the folder `context`, its RUN steps without a network; the image id.

        The classic builder writes each layer anew from a tar, as a pull does.
        BuildKit keeps the container's own folder: sparse files stay sparse,
        and cache-ids have 25 characters instead of 64.
        """
        args = ("build", "--network", "none", "--quiet", "--tag", tag, context)
        self.run(*args, buildkit=buildkit)
        return self.image_id(tag)

    def import_tar(self, path: str, tag: str) -> str:
        """Make the tar `path` an image of one layer; the image id."""
        self.run("import", path, tag)
        return self.image_id(tag)

    def image_id(self, image: str) -> str:
        return self.run("image", "inspect", "--format", "{{.Id}}", image)

    def layer_folders(self, image: str) -> list[str]:
        """The folder ``overlay2/<cache-id>`` of each layer of `image`, bottom up."""
        listed = self.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
        folders = []
        chain_id = ""
        for diff_id in json.loads(listed):
            chain = f"{chain_id} {diff_id}".encode()
            chain_id = f"sha256:{hashlib.sha256(chain).hexdigest()}" if chain_id else diff_id
            name = chain_id.removeprefix("sha256:")
            record = os.path.join(self.data_root, "image/overlay2/layerdb/sha256", name, "cache-id")
            with open(record, encoding="ascii") as cache_id:
                folders.append(os.path.join(self.data_root, "overlay2", cache_id.read()))
        return folders

    def tag(self, image: str, name: str) -> None:
        self.run("tag", image, name)

    def push(self, name: str) -> None:
        self.run("push", name)

    def pull(self, name: str) -> None:
        self.run("pull", name)

    def rmi(self, name: str) -> None:
        """Remove a name, and the image and its layers if nothing else needs them."""
        self.run("rmi", name)
