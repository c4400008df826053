"""The names of a store's images, for the completion of a shell: at once, or none."""

import os
import re
import signal
from collections.abc import Iterator, Sequence

from layerscan.errors import LayerscanError

_LONGEST = 2.0  # seconds that somebody who pressed a key waits
_OPTIONS = {
    "-s": "kind",
    "--store": "kind",
    "-d": "root",
    "--data-root": "root",
    "--docker-data-root": "root",
    "--namespace": "namespace",
}
# What a shell may be given: nothing that it would read as more than a word.
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", re.ASCII)


def print_image_names(words: Sequence[str]) -> None:
    """Print the names in the store that the `words` of a command line are about.

    There are none where that store cannot be read, or not soon enough.
    """
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, _LONGEST)
    try:
        names = sorted(set(_names(words)))
    except (LayerscanError, OSError):
        names = []
    for name in filter(_HARMLESS.fullmatch, names):
        print(name)


def _names(words: Sequence[str]) -> Iterator[str]:
    from layerscan.stores import AUTO, open_store

    given: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in _OPTIONS and (equals or after):
            given[_OPTIONS[name]] = os.path.expanduser(value if equals else after)
    store = open_store(given.get("kind", AUTO), given.get("root"), namespace=given.get("namespace"))
    for image in store.images():
        yield from (name.familiar for name in image.names)
        yield from image.other_names
