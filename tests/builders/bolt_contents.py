"""All of a bucket, and what is under a key: more than the program asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerscan.stores.containerd.bolt import Bucket


def get(bucket: Bucket, key: bytes) -> bytes | None:
    """The value under `key`, None where there is none."""
    value = bucket._find(key)
    return None if value is None else value.content()


def items(bucket: Bucket) -> Iterator[tuple[bytes, bytes | Bucket]]:
    """All keys, in order, and what is under them."""
    for key, value in bucket._elements():
        yield key, bucket._inner(key, value) if value.is_bucket else value.content()
