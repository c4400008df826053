"""What takes long to make: made once on a machine, and kept for all tests that come.

Owns where it is kept, and that of several processes which need it one makes it while
the others wait.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def kept(name: str, make: Callable[[str], object]) -> str:
    """Path of `name` in the folder ``layerscan-tests`` of the user's caches.

    Args:
        name: of a file or folder.
        make: called if it is not there yet, with the path to make it at.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.path.join(caches, "layerscan-tests")
    path = os.path.join(cache, name)
    os.makedirs(cache, exist_ok=True)
    with open(f"{path}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return path
        work = tempfile.mkdtemp(dir=cache)
        try:
            make(os.path.join(work, name))
            # Whole or not at all: who finds it takes it as it is.
            os.rename(os.path.join(work, name), path)
        finally:
            shutil.rmtree(work)
    return path
