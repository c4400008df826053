"""The length of what Go's compressor makes: the same however the text is cut, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerscan.tar._goflate import GoGzipLength
from tests.fuzz.outcome import pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 16 * 1024

FRAME = 18
"""Bytes of gzip's header and trailer."""


LONG = 80_000
"""Bytes that fill the window more than once."""


def run(data: bytes) -> None:
    check(data)
    if data:
        check(data * (LONG // len(data)))


def check(data: bytes) -> None:
    length = added([data])
    assert length == added(pieces(data))
    # At best 258 bytes are two bits; at worst each block is stored, with five bytes before it.
    stored = len(data) + 5 * (len(data) // 16384 + 2)
    assert len(data) // (258 * 4) < length - FRAME <= stored


def added(texts: Iterable[bytes]) -> int:
    counted = GoGzipLength()
    for text in texts:
        counted.add(text)
    return counted.end()
