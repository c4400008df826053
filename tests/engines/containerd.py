"""A containerd of the tests' own, with images of its own, and its client ``ctr``.

Owns the daemon from its start to its certain end. It listens on a socket in a
temporary folder only, and needs root and the packages that
`tests/engines/install` installs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.engines.engine import Engine, run, succeeds, unmount_below

if TYPE_CHECKING:
    import contextlib

PROGRAMS = ("containerd", "ctr", "runc", "setpriv")

# Of the kinds of plugins that tests need no other is loaded.
CONFIG = """version = 2
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]
"""


class Containerd(Engine):
    """containerd with the overlayfs snapshotter.

    Args:
        root: where it keeps its images; it outlives this. By default a
            temporary folder, removed by `stop`.
        config: path of its settings, which then say where.

    Attributes:
        root: absolute path of that folder, once started.
    """

    programs = PROGRAMS
    prefix = "lsctrd-"

    def __init__(self, root: str | None = None, *, config: str | None = None) -> None:
        super().__init__()
        self._given_root = root
        self._config = config
        self.root = ""

    @property
    def socket(self) -> str:
        """The address that clients take."""
        return f"{self._state}/containerd.sock"

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        self.root = os.path.realpath(self._given_root or f"{self._state}/root")
        cleanup.callback(unmount_below, self.root)
        config = self._config or f"{self._state}/config.toml"
        argv = ["containerd", "--config", config, "--address", self.socket]
        argv += ["--state", f"{self._state}/state"]
        if self._config is None:
            argv += ["--root", self.root]
            with open(config, "w", encoding="utf-8") as out:
                out.write(CONFIG)
        self.daemon = self._run_daemon(argv, cleanup, self._answers)

    def _answers(self) -> bool:
        return os.path.exists(self.socket) and succeeds(lambda: self.ctr("version"))

    def ctr(self, *args: str, namespace: str = "default") -> str:
        """Run ``ctr ARGS``; what it printed.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        argv = ["ctr", "--address", self.socket, "--namespace", namespace, *args]
        return run(argv, shown=("ctr", *args)).decode(errors="surrogateescape")

    def pull(self, name: str, *options: str, namespace: str = "default") -> None:
        """Pull from a registry of the loopback interface, and unpack."""
        self.ctr("images", "pull", "--plain-http", *options, name, namespace=namespace)

    def remove(self, name: str, *, namespace: str = "default") -> None:
        """Remove a name, and wait until all that nothing else needs is gone."""
        self.ctr("images", "remove", "--sync", name, namespace=namespace)
