"""Podman and Buildah with a store of the tests' own, as root or as a user.

Owns where they keep what they need, and thin faces of both command lines.
There is no daemon: each command is a process that ends. What goes into images
is `tests.engines.images`' part.

Each command runs in a mount namespace of its own, in which the machine's cache
of blobs, and for a user the machine's list of subordinate ids, are the tests'.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import time
from typing import Any

from tests.builders.user import NOBODY
from tests.engines.engine import POLL_SECONDS, Engine, run, unmount_below

PROGRAMS = ("podman", "buildah", "unshare", "mount", "setpriv")
ROOTLESS_PROGRAMS = ("newuidmap", "newgidmap")

_CACHE = "/var/lib/containers/cache"
_PATIENCE = 20.0
_OPEN = 0o755
_FIRST_ID = 300_000
_IDS = 65_536

# What a command is run by: $0 is the state folder, the rest the command.
_ISOLATED = f'mount --bind "$0/cache" {_CACHE} && exec "$@"'
_ISOLATED_USER = (
    'mount --bind "$0/subids" /etc/subuid && mount --bind "$0/subids" /etc/subgid'
    f' && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"'
)


def _mentioned(folder: str) -> bool:
    """Whether a process of conmon, or what it runs at the end, has `folder` as argument."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            program, *argv = file.read().split(b"\0")
            if os.path.basename(program) in (b"conmon", b"podman") and any(
                one.startswith(os.fsencode(folder)) for one in argv
            ):
                return True
    return False


class Podman(Engine):
    """A store of containers/storage and the commands that use it.

    Args:
        root: where the store is; made if it is not there, and it outlives
            this. By default a temporary folder, removed by `stop`.
        rootless: run the commands as a user who is not root.

    Attributes:
        root: absolute path of that folder, once started.
        home: of whom the commands are run as.
    """

    prefix = "lspodman-"

    def __init__(self, root: str | None = None, *, rootless: bool = False) -> None:
        super().__init__()
        self.programs = PROGRAMS + (ROOTLESS_PROGRAMS if rootless else ())
        self._given_root = root
        self._rootless = rootless
        self.root = ""
        self.home = ""

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        cleanup.callback(self._end_pause)
        cleanup.callback(self._wait_for_monitors)
        os.chmod(self._state, _OPEN)
        self.home = os.path.join(self._state, "home")
        default = os.path.join(self.home, ".local/share/containers/storage")
        self.root = os.path.realpath(self._given_root or default)
        cleanup.callback(unmount_below, self.root)
        self._make_folders()

    def _wait_for_monitors(self) -> None:
        """Wait until the processes that watch containers have written what they write last."""
        deadline = time.monotonic() + _PATIENCE
        while _mentioned(self._state) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _end_pause(self) -> None:
        """End the process that keeps the user namespace of a user who is not root."""
        for found in glob.glob(f"{self._state}/runtime/**/pause.pid", recursive=True):
            with open(found, encoding="ascii") as file, contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read()), signal.SIGKILL)

    def _make_folders(self) -> None:
        os.makedirs(_CACHE, exist_ok=True)
        for name in ("cache", "home", "runtime"):
            os.mkdir(os.path.join(self._state, name), 0o700)
        config = os.path.join(self.home, ".config/containers")
        os.makedirs(config)
        with open(os.path.join(config, "containers.conf"), "w", encoding="utf-8") as out:
            out.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        with open(os.path.join(self._state, "subids"), "w", encoding="utf-8") as out:
            out.write(f"{NOBODY}:{_FIRST_ID}:{_IDS}\n")
        if self._rootless:
            for folder, _, _ in os.walk(self._state):
                os.chown(folder, NOBODY, NOBODY)
            os.makedirs(self.root, exist_ok=True)
            path = self.root
            while path.startswith(self.home):
                os.chown(path, NOBODY, NOBODY)
                path = os.path.dirname(path)

    @property
    def run_root(self) -> str:
        """Absolute path of the folder of what a restart may lose."""
        return f"{self._state}/runtime/run"

    def command(self, *argv: str) -> list[str]:
        """The arguments that run ``argv``, a program and its arguments, on this store."""
        program, *rest = argv
        options: list[str] = []
        if program in ("podman", "buildah"):
            options = ["--root", self.root, "--runroot", self.run_root]
            options += ["--storage-driver", "overlay"]
        script = _ISOLATED_USER if self._rootless else _ISOLATED
        return [
            *("unshare", "--mount", "--", "sh", "-c", script, self._state),
            *("env", "--ignore-environment", f"HOME={self.home}", f"PATH={os.environ['PATH']}"),
            *(f"XDG_RUNTIME_DIR={self._state}/runtime", f"TMPDIR={self._state}/runtime"),
            *(program, *options, *rest),
        ]

    def _client(self, *argv: str) -> str:
        out = run(self.command(*argv), shown=argv, folder=self._state)
        return out.decode(errors="surrogateescape").rstrip("\n")

    def run(self, *args: str) -> str:
        """Run ``podman ARGS``; what it printed, without the last newline.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        return self._client("podman", *args)

    def buildah(self, *args: str) -> str:
        """Run ``buildah ARGS``, as `run` does."""
        return self._client("buildah", *args)

    def pull(self, name: str) -> str:
        """Pull; the image id."""
        return self.run("pull", "--quiet", "--tls-verify=false", name)

    def push(self, name: str) -> None:
        self.run("push", "--quiet", "--tls-verify=false", name)

    def rmi(self, *names: str) -> None:
        self.run("rmi", *names)

    def build(self, context: str, tag: str, *options: str) -> str:
        """Build the folder `context` with Buildah; the image id."""
        args = ("build", "--quiet", "--isolation", "chroot", "--tag", tag)
        return self.buildah(*args, *options, context)

    def inspect(self, *images: str) -> list[dict[str, Any]]:
        """What ``podman image inspect`` says of `images`."""
        found: list[dict[str, Any]] = json.loads(self.run("image", "inspect", *images))
        return found
