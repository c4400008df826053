"""What could not be read, as a value: the rest goes on without it."""

from typing import NamedTuple


class Problem(NamedTuple):
    """Something that could not be read while the rest could.

    A scan that met one is partial: exit status 3.
    """

    where: str  # the file, folder, layer or image concerned
    what: str  # what is wrong with it and, where it helps, what to do

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
