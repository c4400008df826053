"""Walks that run inside Python: ``python -P inside.py WALK PATH [THREADS]``.

Run as a program of its own, so that each has a process to itself and their
memory can be compared. The clock starts after the imports. Prints JSON:
``seconds`` and ``usage``, bytes of disk rounded up to whole KiB.

Imports nothing of the benchmarks: ``bench-compare`` runs it with the Python of
another environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable

_Walk = Callable[[str], int]


def _kib(blocks: int) -> int:
    return -(-blocks // 2) * 1024


def _ours(threads: str = "") -> _Walk:
    import layerscan

    walk, count = layerscan.walk, int(threads) if threads else None

    def run(path: str) -> int:
        usage = walk(path, threads=count)
        if usage.errors:
            sys.exit(f"could not be read: {usage.errors[0]}")
        return usage.usage

    return run


def _file_table() -> _Walk:
    import layerscan

    file_table = layerscan.file_table
    return lambda path: _kib(int(file_table(path)["blocks"].sum()))


def _ledger() -> _Walk:
    """Where every byte of an overlay2 store is: its records, the walk, its records again."""
    from layerscan.ledger.stocktaking import take_stock
    from layerscan.stores import open_store

    return lambda path: _kib(take_stock(open_store("overlay2", path)).total // 512)


def _scandir_rs() -> _Walk:
    from scandir_rs import Count

    def run(path: str) -> int:
        count = Count(path, skip_hidden=False).collect().as_dict()
        # It leaves the root itself out.
        return _kib(count["usage"] // 512 + os.lstat(path).st_blocks)

    return run


def _os_scandir(path: str) -> int:
    """As one writes it in Python: os.scandir, and a stat for each entry."""
    blocks = os.lstat(path).st_blocks
    seen: set[tuple[int, int]] = set()
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as found:
            for entry in found:
                st = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif st.st_nlink > 1:
                    if (st.st_dev, st.st_ino) in seen:
                        continue
                    seen.add((st.st_dev, st.st_ino))
                blocks += st.st_blocks
    return _kib(blocks)


_WALKS: dict[str, Callable[..., _Walk]] = {
    "layerscan": _ours,
    "layerscan.file_table": _file_table,
    "layerscan df": _ledger,
    "scandir-rs": _scandir_rs,
    "os.scandir": lambda: _os_scandir,
}


def main(name: str, path: str, *threads: str) -> None:
    walk = _WALKS[name](*threads)
    start = time.perf_counter()
    usage = walk(path)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "usage": usage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
