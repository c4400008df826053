"""What is found out about a store's disk: a ledger of who holds how much.

Owns the values only; `layerscan.ledger.stocktaking` finds them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.problem import Problem
from layerscan.stores.holdings import Category, Holding


class Item(NamedTuple):
    """A holding, and what it takes."""

    holding: Holding
    usage: int  # bytes of disk, by ``st_blocks``
    shared: int  # those of `usage` that its removal would not free: hard links from elsewhere
    in_use: bool = False  # whether a running container or build uses it
    since: float | None = None  # of what nobody holds: when it was last changed, since the epoch


class Sum(NamedTuple):
    """All items of a category together, in bytes of disk."""

    usage: int = 0
    in_use: int = 0  # of that, by running containers and builds
    freeable: int = 0  # of that, what could be removed and nobody would miss in this category
    number: int = 0  # how many images, containers, volumes, or things there are


class DiskUse(NamedTuple):
    """A file system with a part of the store, in bytes."""

    roots: tuple[str, ...]  # absolute paths of the store's folders on it
    usage: int  # what they take of it
    used: int  # what it has used in all
    reserved: int  # what is free, but not for everybody
    deleted: int  # of files that are deleted but still open, as far as that can be seen


class Ledger(NamedTuple):
    """Where every byte of a store is.

    The usages of all `items` add up to `total`, and so do those of the `sums`.
    """

    root: str  # the store's folder
    kind: str  # of the store
    roots: tuple[str, ...]  # absolute paths of its folders, the store's own first
    disks: tuple[DiskUse, ...]  # that these are on
    items: tuple[Item, ...]  # the largest first
    sums: Mapping[Category, Sum]  # of every category
    vanished: int  # entries that were removed while the walk ran
    problems: tuple[Problem, ...]  # what could not be read: figures may be too small
    notes: tuple[str, ...]  # what the user should know, a line each

    @property
    def total(self) -> int:
        """Bytes of disk that all roots take together: what ``du -skx`` says of them."""
        return sum(item.usage for item in self.items)
