"""The pages of bbolt's trees, as `layerscan.stores.containerd.bolt` reads them; and Go's varints.

Nothing in a page is believed: all of it is checked when it is made.
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
        """Of a bucket, the page at its top; 0 where it is inside.

        Raises:
            PageError: it is cut off.
        """

    def content(self) -> bytes:
        """Its bytes."""

    def page(self) -> Page | None:
        """The only page of a small bucket, which is inside; None where it is not.

        Raises:
            PageError: it is damaged, or the bucket is cut off.
        """

@final
class Page:
    """A page of a tree: a leaf, which has values, or a branch, which has children.

    Args:
        data: holds the page.
        start: where it begins in there.
        end: where it ends at the latest.

    Raises:
        PageError: it is damaged.
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
        """Of a leaf, all keys in order, and what is under them.

        Raises:
            PageError: it is none.
        """

    def record(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Of a leaf, the values under `names`; empty where there is none, or a bucket.

        Raises:
            PageError: it is none.
        """

    def child(self, key: bytes) -> int:
        """Of a branch, the page that `key` is in, if it is in any.

        Raises:
            PageError: it is none.
        """

    def children(self) -> list[int]:
        """Of a branch, all pages beneath, in order.

        Raises:
            PageError: it is none.
        """

def uvarint(raw: bytes) -> int:
    """Go's unsigned varint of 64 bits that is all of `raw`.

    Raises:
        ValueError: it is none.
    """

def varint(raw: bytes) -> int:
    """Go's signed varint that is all of `raw`, from 0.

    Raises:
        ValueError: it is none, or negative.
    """
