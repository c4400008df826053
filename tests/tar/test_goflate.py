"""The length of what Go's compress/gzip makes, against what it did make.

The engines' own files are compared in `tests/integration/test_predict_stores.py`.
"""

from __future__ import annotations

import random
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.tar._goflate import GoGzipLength

if TYPE_CHECKING:
    from collections.abc import Callable


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same in every run


def noise(length: int) -> bytes:
    """What nothing can be found in."""
    return chance(length).randbytes(length)


def words(length: int) -> bytes:
    """Lines of words that come again, most of them from not far back."""
    dice = chance(length)
    known = [dice.randbytes(dice.randint(2, 12)).hex().encode() for _ in range(400)]
    lines = [
        b" ".join(dice.choices(known[at % 300 : at % 300 + 60], k=dice.randint(0, 30)))
        for at in range(length // 80)
    ]
    return b"\n".join(lines)[:length]


def few(length: int) -> bytes:
    """Text of four letters: many candidates for each match, short matches far back."""
    return bytes(chance(length).choices(b"acgt", weights=[70, 20, 9, 1], k=length))


def long_line(length: int) -> bytes:
    """A write longer than Go's window between short ones."""
    return words(length // 3) + b"\n" + few(length // 3) + b"\n" + words(length // 4)


def skewed(length: int) -> bytes:
    """Frequencies for which a code would be longer than any may be."""
    weights = [1, 1]
    while len(weights) < 24:
        weights.append(sum(weights[-2:]))
    return bytes(chance(length).choices(range(24), weights, k=length))


def zeros(length: int) -> bytes:
    return bytes(length)


TEXTS: list[tuple[Callable[[int], bytes], int, int]] = [
    # What compress/gzip of Go 1.19 and 1.26 makes of each, a write for each line.
    (zeros, 0, 23),
    (zeros, 1, 25),
    (zeros, 3, 27),
    (zeros, 4, 28),
    (zeros, 258, 27),
    (zeros, 1_000_000, 1_007),
    (noise, 1, 25),
    (noise, 2, 26),
    (noise, 30, 56),
    (noise, 300, 328),
    (noise, 65_000, 65_043),
    (noise, 65_535, 65_578),
    (noise, 65_536, 65_579),
    (noise, 300_000, 300_118),
    (words, 50, 23),
    (words, 2_000, 669),
    (words, 65_274, 11_550),
    (words, 65_275, 11_984),
    (words, 400_000, 69_730),
    (words, 20_000_000, 3_579_067),
    (few, 10, 32),
    (few, 100, 67),
    (few, 70_000, 14_340),
    (few, 1_500_000, 306_211),
    (long_line, 300_000, 52_818),
    (long_line, 1_000_000, 172_621),
    (skewed, 1_000, 421),
    (skewed, 200_000, 75_201),
]


@pytest.mark.parametrize(("make", "length", "gzip"), TEXTS)
def test_length_is_that_of_go(make: Callable[[int], bytes], length: int, gzip: int) -> None:
    counted = GoGzipLength()
    counted.add(make(length))
    assert counted.end() == gzip


def two_candidates(near: int) -> int:
    """The length of texts of which `near` bytes come once more before all of each does."""
    counted = GoGzipLength()
    for number in range(60):
        text = noise(1000 + number)[:200]
        counted.add(text + noise(2000 + number)[:40] + text[:near] + noise(30) + text)
    return counted.end()


def test_a_match_of_128_bytes_ends_the_search() -> None:
    # The older, longer one is found only if the nearer one is shorter.
    lengths = [two_candidates(near) for near in range(124, 133)]
    assert max(lengths[:4]) - min(lengths[:4]) < 20
    assert max(lengths[4:]) - min(lengths[4:]) < 40
    assert lengths[4] - lengths[3] > 100


@given(
    st.sampled_from([words, few, long_line, noise]),
    st.integers(0, 250_000),
    st.lists(st.integers(0, 90_000), min_size=1, max_size=5).filter(any),
)
def test_length_does_not_depend_on_pieces(
    make: Callable[[int], bytes], length: int, pieces: list[int]
) -> None:
    text = make(length)
    whole, cut = GoGzipLength(), GoGzipLength()
    whole.add(text)
    start = 0
    for piece in cycle(pieces):
        cut.add(text[start : start + piece])
        start += piece
        if start >= len(text):
            break
    assert cut.end() == whole.end()
