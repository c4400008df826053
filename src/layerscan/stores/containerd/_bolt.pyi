"""The pages of bbolt's trees, as `layerscan.stores.containerd.bolt` reads them; and Go's varints.

Nothing in a page is believed: all of it is checked when it is made. A `PageError` says
what is damaged, or that a leaf was asked for what branches have, or a branch.
"""

from typing import final

class PageError(ValueError):
    """A page that is damaged; the message says how, to be read after its name."""

@final
class Value:
    """What is under a key: a value, or a bucket."""

    @property
    def is_bucket(self) -> bool: ...
    @property
    def root(self) -> int:
        """The page at the top of a bucket; 0 for a bucket that is stored in its parent."""

    def content(self) -> bytes:
        """Its bytes."""

    def page(self) -> Page | None:
        """The only page of a small bucket, which is inside; None where it is not."""

@final
class Page:
    """A page of a tree, from `start` of `data` to `end` at the latest.

    It is a leaf, which has values, or a branch, which has children.
    """

    def __init__(self, data: bytes, start: int = 0, end: int = ...) -> None: ...
    @property
    def is_leaf(self) -> bool: ...
    @property
    def number(self) -> int:
        """What it says its number is."""

    @property
    def overflow(self) -> int:
        """How many pages it says it takes beyond one."""

    def find(self, key: bytes) -> Value | None:
        """Of a leaf, what is under `key`, None where there is nothing."""

    def elements(self) -> list[tuple[bytes, Value]]:
        """Of a leaf, all keys in order, and what is under them."""

    def record(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Of a leaf, the values under `names`; empty where there is none, or a bucket."""

    def child(self, key: bytes) -> int:
        """Of a branch, the page that `key` is in, if it is in any."""

    def children(self) -> list[int]:
        """Of a branch, all pages beneath, in order."""

def uvarint(raw: bytes) -> int:
    """Go's unsigned varint of 64 bits that is all of `raw`; a ValueError if it is none."""

def varint(raw: bytes) -> int:
    """Go's signed varint that is all of `raw`, from 0; a ValueError if it is none, or negative."""
