"""Where the benchmarks keep what they make, and how large it is: their environment variables."""

import os
from enum import StrEnum

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
OUT = os.path.abspath(
    os.environ.get("LAYERSCAN_BENCH_OUT") or os.path.join(CHECKOUT, "build", "bench")
)
"""Results and compiled helpers."""
CORPUS = os.path.abspath(
    os.environ.get("LAYERSCAN_BENCH_CORPUS") or os.path.join(CHECKOUT, "build", "corpus")
)
"""Trees, stores and layouts, kept from one run to the next."""


class Size(StrEnum):
    """How much is measured: seconds for CI, or what the targets are stated for."""

    SMALL = "small"
    LARGE = "large"


SIZE = Size(os.environ.get("LAYERSCAN_BENCH_SIZE") or "large")
"""The size asked for."""
