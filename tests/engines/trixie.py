"""A Docker Engine with the containerd image store: Debian trixie's, in a chroot.

bookworm's engine is too old for it. Owns the chroot, which is made once and
kept, and the engine from its start to its certain end. Both daemons live in a
mount namespace of their own: what is mounted into the chroot goes with them.
Like Docker 29 on a fresh machine, the engine starts a containerd of its own,
which keeps the images in the data root, in ``containerd/daemon``.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.engines import loop
from tests.engines.docker import DockerEngine
from tests.engines.kept import kept

if TYPE_CHECKING:
    import contextlib

PROGRAMS = ("debootstrap", "docker", "setpriv", "unshare")

# $1 is the chroot, $2 the folder that both sides see at the same path.
ENTER = """
set -e
# runc needs a mount point for its root.
mount --rbind "$1" "$1"
for name in proc sys dev; do mount --rbind "/$name" "$1/$name"; done
mount --rbind "$2" "$1$2"
root=$1
shift 2
exec chroot "$root" "$@"
"""


def chroot_folder() -> str:
    """A trixie with Docker, made if it is not there: half a minute.

    Nothing runs in it that writes outside of what is mounted into it.
    """

    def make(root: str) -> None:
        packages = "containerd,docker-cli,docker.io"
        argv = ["debootstrap", "--variant=minbase", f"--include={packages}", "trixie", root]
        subprocess.run(argv, check=True, capture_output=True)

    return kept("trixie-docker", make)


class TrixieDocker(DockerEngine):
    """Docker 26 with the feature containerd-snapshotter.

    Args:
        disk: bytes of a fresh ext4 for its data root; by default it is in a folder.
        by_containerd: whether it has that feature; else its driver overlay2 keeps the images.
    """

    programs = PROGRAMS
    prefix = "lstrixie-"
    buildkit = True

    def __init__(self, *, disk: int | None = None, by_containerd: bool = True) -> None:
        super().__init__()
        self._disk = disk
        self._by_containerd = by_containerd

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        root = chroot_folder()
        self.data_root = f"{self._state}/docker"
        if self._disk is not None:
            cleanup.enter_context(loop.ext4(self.data_root, self._disk))
        os.makedirs(root + self._state)
        cleanup.callback(os.rmdir, root + self._state)
        self._start_daemon(cleanup, root, by_containerd=self._by_containerd)

    def _start_daemon(
        self, cleanup: contextlib.ExitStack, root: str, *, by_containerd: bool
    ) -> None:
        config = f"{self._state}/daemon.json"
        with open(config, "w", encoding="utf-8") as out:
            json.dump({"features": {"containerd-snapshotter": by_containerd}}, out)
        enter = ("unshare", "--mount", "sh", "-c", ENTER, "enter", root, self._state)
        where = ("--data-root", self.data_root, "--config-file", config)
        daemon = [*enter, *self._dockerd(*where)]
        self.daemon = self._run_daemon(daemon, cleanup, self._answers)

    def switch(self, *, by_containerd: bool) -> None:
        """End the daemon, and start it with the images kept elsewhere."""
        self.daemon.stop()
        self._start_daemon(self._cleanup, chroot_folder(), by_containerd=by_containerd)
