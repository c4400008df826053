"""A containerd of the tests' own, with images of its own, and its client ``ctr``.

Owns the daemon from its start to its certain end. It listens on a socket in a
temporary folder only, and needs root and the packages that
`tests/engines/install` installs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Self

from tests.engines.docker import Daemon, EngineError, missing_programs, unmount_below

if TYPE_CHECKING:
    from types import TracebackType

PROGRAMS = ("containerd", "ctr", "runc", "setpriv")
COMMAND_SECONDS = 240.0

# Of the kinds of plugins that tests need no other is loaded.
CONFIG = """version = 2
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]
"""


class Containerd:
    """containerd with the overlayfs snapshotter, alive between `start` and `stop`.

    Args:
        root: where it keeps its images; it outlives this. By default a
            temporary folder, removed by `stop`.

    Attributes:
        root: absolute path of that folder, once started.
    """

    def __init__(self, root: str | None = None) -> None:
        self._given_root = root
        self._cleanup = contextlib.ExitStack()
        self._state = ""
        self.root = ""

    @property
    def socket(self) -> str:
        """The address that clients take."""
        return f"{self._state}/containerd.sock"

    def start(self) -> Self:
        """Start it and wait until it answers; leaves nothing behind if that fails."""
        missing = missing_programs(PROGRAMS)
        if missing:
            raise EngineError(f"not installed: {', '.join(missing)}; run tests/engines/install")
        with contextlib.ExitStack() as cleanup:
            # Not below pytest's tmp_path: sockets need a short path.
            self._state = os.path.realpath(tempfile.mkdtemp(prefix="lsctrd-"))
            cleanup.callback(shutil.rmtree, self._state)
            cleanup.callback(unmount_below, self._state)
            self.root = os.path.realpath(self._given_root or f"{self._state}/root")
            cleanup.callback(unmount_below, self.root)
            config = f"{self._state}/config.toml"
            with open(config, "w", encoding="utf-8") as out:
                out.write(CONFIG)
            daemon = Daemon(
                [
                    "containerd",
                    *("--config", config),
                    *("--address", self.socket),
                    *("--root", self.root),
                    *("--state", f"{self._state}/state"),
                ],
                log=f"{self._state}/log",
            )
            cleanup.callback(daemon.stop)
            daemon.wait_until(self._answers)
            self._cleanup = cleanup.pop_all()
        return self

    def stop(self) -> None:
        """End it, unmount, remove the folder. Idempotent."""
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
        return os.path.exists(self.socket) and self._client("version").returncode == 0

    def _client(self, *args: str, namespace: str = "default") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["ctr", "--address", self.socket, "--namespace", namespace, *args],
            check=False,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )

    def ctr(self, *args: str, namespace: str = "default") -> str:
        """Run ``ctr ARGS``; what it printed.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        done = self._client(*args, namespace=namespace)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise EngineError(f"ctr {' '.join(args)}: exit status {done.returncode}:\n{said}")
        return done.stdout.decode(errors="surrogateescape")

    def pull(self, name: str, *options: str, namespace: str = "default") -> None:
        """Pull from a registry of the loopback interface, and unpack."""
        self.ctr("images", "pull", "--plain-http", *options, name, namespace=namespace)

    def remove(self, name: str, *, namespace: str = "default") -> None:
        """Remove a name, and wait until all that nothing else needs is gone."""
        self.ctr("images", "remove", "--sync", name, namespace=namespace)
