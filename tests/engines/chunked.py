"""Real writers of layers with tables of contents, from one registry's image to another.

stargz-snapshotter's converter writes eStargz and zstd:chunked. Trixie's skopeo
writes zstd:chunked with a tar-split; it runs in the chroot of
`tests.engines.trixie`, into which it is installed once. Podman, which writes
zstd:chunked as it was before, is in `tests.engines.podman`.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from tests.engines import engine
from tests.engines.trixie import chroot_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.engines.containerd import Containerd

PROGRAMS = ("ctr-remote", "skopeo", "debootstrap")
COMMAND_SECONDS = 280.0

_INSTALL = "apt-get update && apt-get install --yes --no-install-recommends skopeo"


def convert(daemon: Containerd, source: str, target: str, form: str) -> None:
    """Pull `source`, convert its layers to `form` (``estargz`` or ``zstdchunked``), push it."""
    client = ("ctr-remote", "--address", daemon.socket, "images")
    daemon.ctr("content", "fetch", "--plain-http", source)
    run(*client, "convert", f"--{form}", "--oci", source, target)
    run(*client, "push", "--plain-http", target)


def copy(source: str, target: str) -> None:
    """Copy an image to a registry with trixie's skopeo, from one that is another.

    Layers that the registry has already, packed otherwise, are not packed again.
    """
    root = chroot_folder()
    _have_skopeo(root)
    options = ("--quiet", "--src-tls-verify=false", "--dest-tls-verify=false")
    words = ("copy", *options, "--dest-compress-format", "zstd:chunked")
    run("chroot", root, "skopeo", "--insecure-policy", *words, source, target)


def _have_skopeo(root: str) -> None:
    # Another run of the tests may want it at the same time.
    with open(f"{root}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{root}/usr/bin/skopeo"):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run("chroot", root, "sh", "-c", _INSTALL, environment=environment)


def run(*argv: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command, which may take as long as it takes to install packages.

    Raises:
        EngineError: with all that it printed, if it failed.
    """
    engine.run(argv, environment=environment, seconds=COMMAND_SECONDS)
