"""Content digests: their one accepted form, and computing it.

Only sha256 is accepted: Docker, containerd and containers/storage name layers
and images by nothing else.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeGuard

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Hashing(Protocol):
    """A sha256 that is being computed, as `hashlib` has them."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """The hash of all of them, as 64 hex digits."""


def is_digest(text: object) -> TypeGuard[str]:
    """Whether `text` is ``sha256:`` and 64 lower-case hex digits, nothing else."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_hex(text: object) -> bool:
    """Whether `text` is the 64 lower-case hex digits of a sha256."""
    return isinstance(text, str) and _HEX.fullmatch(text) is not None


def sha256(content: bytes) -> str:
    """The digest of `content`, as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def chain_id(parent: str | None, diff_id: str) -> str:
    """The identity of the layer `diff_id` on top of the chain `parent`.

    The rule is that of the OCI image spec, "Layer ChainID": the bottom layer's
    chain_id is its diff_id.
    """
    return diff_id if parent is None else sha256(f"{parent} {diff_id}".encode())


def chain_ids(diff_ids: Iterable[str]) -> Iterator[str]:
    """The chain_id of each layer of a stack, bottom up."""
    parent = None
    for diff_id in diff_ids:
        parent = chain_id(parent, diff_id)
        yield parent
