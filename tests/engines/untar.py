"""Docker's own unpacking of a layer, without a daemon.

dockerd unpacks each layer in a process of itself, in a chroot: the same process
is started here, on one tar. Needs root.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess

PROGRAMS = ("dockerd",)

OPTIONS = b'{"WhiteoutFormat":1}\n'
"""As for overlay2: whiteouts become devices and attributes."""

MOST_FILE = 64 << 20
"""Bytes of a file: a tar may say of a sparse one that it has petabytes."""


def untar(data: bytes, root: str) -> str | None:
    """Unpack into the empty folder `root`. Returns what Docker says where it fails."""
    options, end = os.pipe()
    os.write(end, OPTIONS)
    os.close(end)

    def prepare() -> None:
        # Docker reads its options from descriptor 3.
        os.dup2(options, 3)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, MOST_FILE))

    try:
        process = subprocess.Popen(
            ["docker-untar", "/", root],
            executable=shutil.which("dockerd"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,  # noqa: PLW1509 - no thread is started here
            pass_fds=(3,),
        )
        # It may be done before it has read all: communicate passes over that.
        out, _ = process.communicate(data)
    finally:
        os.close(options)
    return None if process.returncode == 0 else out.decode(errors="replace") or "failed"
