"""A kernel of the tests' own, a process of User Mode Linux, for a file system that this one lacks.

It sees all files of the machine, and has a fresh disk besides. No root is needed,
but its programs are root inside of it: what they write to files of the machine,
whoever started it writes.

On a processor with AVX-512 or AMX it starts only with ``uml_registers.c``.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = ("linux.uml", "mkfs.f2fs", "busybox", "gcc")
_MODULES = "/usr/lib/uml/modules/*/kernel"
_NEEDED = ("crypto/crc32_generic.ko", "fs/f2fs/f2fs.ko")
MEMORY = "768M"
DISK = "/mnt/disk"
"""Where the fresh disk is, for the programs inside."""

_INIT = """#!/bin/sh
export PATH={path} HOME=/root
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir {disk} /mnt/dev
mount -t devtmpfs devices /mnt/dev
for module in {modules}; do busybox insmod $module; done
mount -t f2fs /mnt/dev/ubda {disk} && cd {folder} && {{
    {command} >{state}/output 2>{state}/errors
    echo $? >{state}/status
    cd /
    umount {disk}
}}
busybox halt -f
"""


class UmlError(Exception):
    """The kernel did not start or end, or what ran in it failed."""


def modules() -> list[str]:
    """The modules that F2FS needs, in this order; fewer where the kernel lacks some."""
    return [path for name in _NEEDED for path in glob.glob(f"{_MODULES}/{name}")]


def on_f2fs(command: Sequence[str], *, size: int, seconds: float) -> str:
    """Run `command` where a fresh F2FS of `size` bytes is at `DISK`; what it printed.

    Raises:
        UmlError: it failed, or has not ended after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="lsuml-") as state:
        image = os.path.join(state, "image")
        with open(image, "wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.f2fs", "-q", image], check=True, capture_output=True)
        init = os.path.join(state, "init")
        with open(init, "w", encoding="utf-8") as script:
            script.write(
                _INIT.format(
                    path=os.environ.get("PATH", os.defpath),
                    disk=DISK,
                    modules=" ".join(modules()),
                    folder=shlex.quote(os.getcwd()),
                    command=shlex.join(command),
                    state=state,
                )
            )
        os.chmod(init, 0o755)  # noqa: S103 - the kernel runs it
        log = _boot(init, image, state, seconds)
        return _output(state, log)


def _boot(init: str, image: str, state: str, seconds: float) -> str:
    """Run the kernel until it halts; what it said."""
    kernel = shutil.which("linux.uml")
    if kernel is None:
        raise UmlError("no linux.uml; run tests/engines/install")
    argv = [
        *(kernel, f"mem={MEMORY}", f"uml_dir={state}", f"ubd0={image}", f"init={init}"),
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "con=null", "con0=null,fd:1"),
    ]
    registers = os.path.join(state, "registers.so")
    source = os.path.join(os.path.dirname(__file__), "uml_registers.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", registers, source], check=True)
    log = os.path.join(state, "log")
    with open(log, "wb") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"TMPDIR": state, "LD_PRELOAD": registers},
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UmlError(f"not done after {seconds:g} s:\n{_text(log)}") from None
        finally:
            # Its processes are of one group; those that it leaves end with it.
            _end(process)
    return _text(log)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _output(state: str, log: str) -> str:
    status = os.path.join(state, "status")
    if not os.path.exists(status):
        raise UmlError(f"nothing ran:\n{log}")
    if _text(status).strip() != "0":
        raise UmlError(f"exit status {_text(status).strip()}:\n{_text(f'{state}/errors')}")
    return _text(f"{state}/output")


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
