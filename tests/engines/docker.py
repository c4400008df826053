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
import time
from typing import TYPE_CHECKING

from tests.engines.engine import (
    POLL_SECONDS,
    STOP_SECONDS,
    Engine,
    EngineError,
    run,
    succeeds,
    unmount_below,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = ("containerd", "dockerd", "docker", "runc", "setpriv")

# Debian's own client first: one from elsewhere may need a plugin to build at all.
CLIENT = shutil.which("docker", path=f"/usr/bin:{os.environ.get('PATH', os.defpath)}") or "docker"

# sun_path of unix(7) holds 108 bytes, the closing NUL included.
SOCKET_PATH_LIMIT = 107


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


class DockerEngine(Engine):
    """A dockerd that hears on a socket in its temporary folder, and its client.

    Attributes:
        data_root: absolute path of its data root, once started.
        buildkit: whether BuildKit builds where a command does not say.
    """

    buildkit = False

    def __init__(self) -> None:
        super().__init__()
        self.data_root = ""

    @property
    def host(self) -> str:
        """What DOCKER_HOST of a client must say."""
        return f"unix://{self._state}/docker.sock"

    def _dockerd(self, *options: str) -> list[str]:
        """The command of a daemon that touches no network, with `options` besides."""
        return [
            "dockerd",
            *("--host", self.host),
            *("--pidfile", f"{self._state}/docker.pid"),
            *("--exec-root", f"{self._state}/exec"),
            *("--bridge", "none"),
            "--iptables=false",
            *options,
        ]

    def _answers(self) -> bool:
        return succeeds(lambda: self.run("version", "--format", "{{.Server.Version}}"))

    def run(self, *args: str, stdin: bytes = b"", buildkit: bool | None = None) -> str:
        """Run ``docker ARGS``; what it printed, without the last newline.

        Raises:
            EngineError: with all that it printed, if it failed.
        """
        wanted = self.buildkit if buildkit is None else buildkit
        environment = os.environ | {
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": f"{self._state}/client",
            "DOCKER_BUILDKIT": "1" if wanted else "0",
        }
        shown = ("docker", *args)
        out = run([CLIENT, *args], shown=shown, stdin=stdin, environment=environment)
        return out.decode(errors="surrogateescape").rstrip("\n")


class Docker(DockerEngine):
    """A Docker Engine with the overlay2 driver.

    Args:
        data_root: where the engine keeps its images; no other engine may use
            it meanwhile, and it outlives this one. Beside it is containerd's. By default
            in a temporary folder, removed by `stop`.
        config: path of its settings, a daemon.json that has the data root and the driver.
        prefix: of the daemon's command.
    """

    programs = PROGRAMS
    prefix = "lsdocker-"

    def __init__(
        self,
        data_root: str | None = None,
        *,
        config: str | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._given_data_root = data_root
        self._config = config
        self._prefix = prefix

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        state = self._state
        self.data_root = os.path.realpath(self._given_data_root or f"{state}/docker")
        cleanup.callback(unmount_below, self.data_root)
        # A shim outlives its containerd and has that one's socket among its arguments.
        cleanup.callback(_kill_processes_naming, state)
        socket = f"{state}/containerd.sock"
        if len(os.fsencode(socket)) + len(".ttrpc") > SOCKET_PATH_LIMIT:
            raise EngineError(f"{socket}: too long for a socket; set a shorter TMPDIR")
        containerd = [
            "containerd",
            *("--address", socket),
            # Beside the data root, as on most machines: manifests are in it.
            *("--root", f"{os.path.dirname(self.data_root)}/containerd"),
            *("--state", f"{state}/ctrd-state"),
        ]
        self._run_daemon(containerd, cleanup, lambda: os.path.exists(socket), log="containerd.log")
        where = ["--data-root", self.data_root, "--storage-driver", "overlay2"]
        if self._config is not None:
            where = ["--config-file", self._config]
        dockerd = [*self._prefix, *self._dockerd(*where, "--containerd", socket)]
        self.daemon = self._run_daemon(dockerd, cleanup, self._answers, log="dockerd.log")

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
