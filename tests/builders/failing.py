"""A process in which the system refuses what one of the extensions asks for, where it is told to.

`failing.c` is compiled once and loaded before the C library; the tests' own code runs in a
process of its own. What it learns comes back as JSON.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tests.requirements import require

_SOURCE = Path(__file__).with_suffix(".c")
_FIGURES = ("allocations", "opens", "threads", "blocks", "descriptors", "most_descriptors")


class Figures(NamedTuple):
    """What the extension did since `Refusing.begin`."""

    allocations: int
    opens: int  # calls of open(2) and openat(2), refused ones too
    threads: int
    blocks: int  # of memory that it has not given back
    descriptors: int  # that it has open still
    most_descriptors: int  # that it has had open at a time


class Refusing:
    """The library, in the process that has it."""

    def __init__(self, extension: str) -> None:
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        path = str(import_module(extension).__file__)
        assert library.failing_watch(path.encode()), path
        self._library = library
        self._begin = library.failing_begin
        self._begin.argtypes = [*[ctypes.c_long] * 2, ctypes.c_int, *[ctypes.c_long] * 2]
        self._figures = [getattr(library, f"failing_{name}") for name in _FIGURES]
        for function in self._figures:
            function.restype = ctypes.c_long

    def begin(
        self,
        *,
        allocation: int = 0,
        opening: int = 0,
        error: int = 0,
        thread: int = 0,
        slow: int = 0,
    ) -> None:
        """Count anew, and refuse one call by its number, from 1; 0 refuses none.

        An opening fails with `error`; the one numbered `slow` takes 150 ms.
        """
        self._begin(allocation, opening, error, thread, slow)

    def refuse_statx(self, error: int) -> None:
        """Let statx(2) fail with `error` from now on; 0 for not."""
        self._library.failing_statx(error)

    def figures(self) -> Figures:
        """What was done since."""
        return Figures(*(function() for function in self._figures))


@cache
def _library() -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    require(compiler is not None, "there is no C compiler")
    # As a sanitizer is, which has an allocator of its own.
    require("LD_PRELOAD" not in os.environ, "another library is loaded before the C library")
    folder = tempfile.mkdtemp(prefix="layerscan-failing-")
    atexit.register(shutil.rmtree, folder)
    path = os.path.join(folder, "failing.so")
    command = [str(compiler), "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", path, _SOURCE, "-ldl"], check=True)
    return path


def learn(script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script tells
    """What `script` gives to `tell` in a process with the library, as JSON brings it back."""
    begun = "import json, sys\ndef tell(found): print(json.dumps(found))\n"
    environment = os.environ | {"LD_PRELOAD": _library(), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", begun + script, *map(str, arguments)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
