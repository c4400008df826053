"""Content digests: their accepted forms, and computing them.

Two algorithms are accepted, those that the OCI image spec registers ("Digests"):
sha256, by which Docker, containerd and containers/storage name all that is theirs,
and sha512, by which a document may refer to another.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeGuard

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)

SHA256 = "sha256"

ALGORITHMS = (SHA256, "sha512")

NO_DIGEST = "is no digest (sha256: and 64 lower-case hex digits, or sha512: and 128)"
"""What is said of anything else in a digest's place."""


class Hashing(Protocol):
    """A hash that is being computed, as `hashlib` has them."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """The hash of all of them, as hex digits."""


def is_digest(text: object) -> TypeGuard[str]:
    """Whether `text` is an algorithm, a colon and its lower-case hex digits, nothing else."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_hex(text: object) -> bool:
    """Whether `text` is the 64 lower-case hex digits of a sha256."""
    return isinstance(text, str) and _HEX.fullmatch(text) is not None


def algorithm(digest: str | None) -> str:
    """The algorithm of `digest`; without one, sha256."""
    return SHA256 if digest is None else digest.partition(":")[0]


def hashing(digest: str | None) -> Hashing:
    """A new hash of the algorithm of `digest`; without one, sha256."""
    return hashlib.new(algorithm(digest))


def computed(done: Hashing, digest: str | None) -> str:
    """The digest that `done`, made by ``hashing(digest)``, has come to."""
    return f"{algorithm(digest)}:{done.hexdigest()}"


def of_content(content: bytes, digest: str | None) -> str:
    """The digest of `content`, by the algorithm of `digest`; without one, sha256."""
    done = hashing(digest)
    done.update(content)
    return computed(done, digest)


def sha256(content: bytes) -> str:
    """The digest of `content`, as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob_path(digest: str) -> str:
    """Where folders of blobs have the blob: ``sha256/<hex>``."""
    return digest.replace(":", "/", 1)


def from_blob_path(algorithm: str, name: str) -> str | None:
    """The digest of the blob `name` in the folder of `algorithm`; None if it is no such name."""
    digest = f"{algorithm}:{name}"
    return digest if is_digest(digest) else None


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
