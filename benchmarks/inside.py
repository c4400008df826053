"""Walks that run inside Python: ``python -P inside.py WALK PATH [THREADS]``.

Run as a program of its own, so that each has a process to itself and their
memory can be compared. The clock starts after the imports. Prints JSON:
``seconds``, and what was found: ``usage`` in bytes of disk rounded up to whole
KiB, ``entries`` where it is known.

Imports nothing of the benchmarks: ``bench-compare`` runs it with the Python of
another environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable

_Found = dict[str, int]
_Walk = Callable[[str, int | None], _Found]


def _kib(blocks: int) -> int:
    return -(-blocks // 2) * 1024


def _ours() -> _Walk:
    import layerscan

    walk = layerscan.walk

    def run(path: str, threads: int | None) -> _Found:
        usage = walk(path, threads=threads)
        if usage.errors:
            sys.exit(f"could not be read: {usage.errors[0]}")
        return {"usage": usage.usage, "entries": usage.entries}

    return run


def _file_table() -> _Walk:
    import layerscan

    file_table = layerscan.file_table

    def run(path: str, threads: int | None) -> _Found:
        table = file_table(path, threads=threads)
        return {"usage": _kib(int(table["blocks"].sum())), "entries": len(table)}

    return run


def _os_scandir() -> _Walk:
    return _plain


def _plain(path: str, _: int | None) -> _Found:
    """As one writes it in Python: os.scandir, and a stat for each entry."""
    blocks = os.lstat(path).st_blocks
    entries = 1
    seen: set[tuple[int, int]] = set()
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as found:
            for entry in found:
                st = entry.stat(follow_symlinks=False)
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif st.st_nlink > 1:
                    if (st.st_dev, st.st_ino) in seen:
                        continue
                    seen.add((st.st_dev, st.st_ino))
                blocks += st.st_blocks
    return {"usage": _kib(blocks), "entries": entries}


def _scandir_rs() -> _Walk:
    from scandir_rs import Count

    def run(path: str, _: int | None) -> _Found:
        count = Count(path, skip_hidden=False).collect().as_dict()
        # It leaves the root itself out.
        return {"usage": _kib(count["usage"] // 512 + os.lstat(path).st_blocks)}

    return run


_WALKS: dict[str, Callable[[], _Walk]] = {
    "layerscan": _ours,
    "file_table": _file_table,
    "os.scandir": _os_scandir,
    "scandir-rs": _scandir_rs,
}


def main(name: str, path: str, threads: str | None = None) -> None:
    walk = _WALKS[name]()
    count = None if threads is None else int(threads)
    start = time.perf_counter()
    found = walk(path, count)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
