"""A Docker Engine with the containerd image store: Debian trixie's, in a chroot.

bookworm's engine is too old for it. Owns the chroot, which is made once and
kept, and the engine from its start to its certain end. Both daemons live in a
mount namespace of their own: what is mounted into the chroot goes with them.
Like Docker 29 on a fresh machine, the engine starts a containerd of its own,
which keeps the images in the data root, in ``containerd/daemon``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Self

from tests.engines.docker import CLIENT, Daemon, EngineError, missing_programs

if TYPE_CHECKING:
    from types import TracebackType

PROGRAMS = ("debootstrap", "docker", "setpriv", "unshare")
DEBOOTSTRAP_SECONDS = 280
COMMAND_SECONDS = 240.0

# $1 is the chroot, $2 the folder that both sides see at the same path.
ENTER = """
set -e
# runc needs a mount point for its root.
mount --rbind "$1" "$1"
for name in proc sys dev; do mount --rbind "/$name" "$1/$name"; done
mount --bind "$2" "$1$2"
root=$1
shift 2
exec chroot "$root" "$@"
"""


def chroot_folder() -> str:
    """A trixie with Docker, made if it is not there: half a minute.

    It is kept in the user's folder of caches, and nothing runs in it that
    writes outside of what is mounted into it.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.path.join(caches, "layerscan-tests")
    path = os.path.join(cache, "trixie-docker")
    if os.path.exists(path):
        return path
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        root = os.path.join(work, "root")
        packages = "containerd,docker-cli,docker.io"
        argv = ["debootstrap", "--variant=minbase", f"--include={packages}", "trixie", root]
        subprocess.run(argv, check=True, capture_output=True, timeout=DEBOOTSTRAP_SECONDS)
        os.rename(root, path)
    return path


class TrixieDocker:
    """Docker 26 with the feature containerd-snapshotter, alive between `start` and `stop`.

    Attributes:
        data_root: absolute path of its data root, once started.
    """

    def __init__(self) -> None:
        self._cleanup = contextlib.ExitStack()
        self._state = ""
        self.data_root = ""

    @property
    def host(self) -> str:
        """What DOCKER_HOST of a client must say."""
        return f"unix://{self._state}/docker.sock"

    def start(self) -> Self:
        """Start it and wait until it answers; leaves nothing behind if that fails."""
        missing = missing_programs(PROGRAMS)
        if missing:
            raise EngineError(f"not installed: {', '.join(missing)}; run tests/engines/install")
        root = chroot_folder()
        with contextlib.ExitStack() as cleanup:
            # Not below pytest's tmp_path: sockets need a short path.
            self._state = os.path.realpath(tempfile.mkdtemp(prefix="lstrixie-"))
            cleanup.callback(shutil.rmtree, self._state)
            self.data_root = f"{self._state}/docker"
            os.makedirs(root + self._state)
            cleanup.callback(os.rmdir, root + self._state)
            config = f"{self._state}/daemon.json"
            with open(config, "w", encoding="utf-8") as out:
                json.dump({"features": {"containerd-snapshotter": True}}, out)
            daemon = Daemon(
                [
                    *("unshare", "--mount", "sh", "-c", ENTER, "enter", root, self._state),
                    "dockerd",
                    *("--config-file", config),
                    *("--host", self.host),
                    *("--pidfile", f"{self._state}/docker.pid"),
                    *("--data-root", self.data_root),
                    *("--exec-root", f"{self._state}/exec"),
                    *("--bridge", "none"),
                    "--iptables=false",
                ],
                log=f"{self._state}/log",
            )
            cleanup.callback(daemon.stop)
            daemon.wait_until(self._answers)
            self._cleanup = cleanup.pop_all()
        return self

    def stop(self) -> None:
        """End it and its containerd, and remove all it kept. Idempotent."""
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

    def _answers(self) -> bool:
        return self._client("version", "--format", "{{.Server.Version}}").returncode == 0

    def _client(self, *args: str, buildkit: bool = True) -> subprocess.CompletedProcess[bytes]:
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
            timeout=COMMAND_SECONDS,
        )

    def run(self, *args: str) -> str:
        """Run ``docker ARGS``; what it printed, without the last newline.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        done = self._client(*args)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise EngineError(f"docker {' '.join(args)}: exit status {done.returncode}:\n{said}")
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")
