"""Files of a store that are changed for a while."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def changed(path: str, change: Callable[[bytes], bytes]) -> Iterator[None]:
    content = Path(path).read_bytes()
    try:
        Path(path).write_bytes(change(content))
        yield
    finally:
        Path(path).write_bytes(content)


def metadata_files(root: str) -> list[str]:
    return sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if not os.path.islink(os.path.join(folder, name))
    )
