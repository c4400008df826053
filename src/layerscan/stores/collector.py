"""Python's collector of garbage, out of the way where there is none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector of garbage from looking, again and again, for what is not there.

    A reading, or a report of it, makes objects by the hundred thousand, none of them in a
    circle: going through them all took a fifth of its time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
