"""A folder of a store in memory, for the parsers that open their files themselves."""

from __future__ import annotations

import os

from layerscan.files.safefs import Folder


class OneFile(Folder):
    """A folder in which every name is a file of the same content, or this folder again."""

    def __init__(self, content: bytes) -> None:
        self.path = "/store"
        self.length = len(content)
        self.fd = os.memfd_create("store", os.MFD_CLOEXEC)
        os.write(self.fd, content)

    def close(self) -> None:
        """Stay open: whoever opens this folder within itself closes it, too."""

    def end(self) -> None:
        os.close(self.fd)

    def folder(self, *_names: str) -> Folder:
        return self

    def open(self, _name: str) -> tuple[int, int]:
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC), self.length

    def _stat(self, _name: str) -> None:
        """Nothing to compare later."""
