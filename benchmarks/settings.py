"""Where benchmarks keep what they make, and how large they are.

Owns the environment variables: ``LAYERSCAN_BENCH_SIZE`` (``small`` or
``large``), ``LAYERSCAN_BENCH_CORPUS`` (folder of the trees and stores),
``LAYERSCAN_BENCH_OUT`` (folder of results) and ``LAYERSCAN_BENCH_DOCS``
(``no``: leave docs and README alone).
"""

import os
from enum import StrEnum

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
OUT = os.path.abspath(
    os.environ.get("LAYERSCAN_BENCH_OUT") or os.path.join(CHECKOUT, "build", "bench")
)
"""Results, pictures that are not published, compiled helpers."""


class Size(StrEnum):
    """How much is measured: seconds for CI, or what the targets are stated for."""

    SMALL = "small"
    LARGE = "large"


def size() -> Size:
    """The size asked for; large unless told otherwise."""
    return Size(os.environ.get("LAYERSCAN_BENCH_SIZE") or "large")


def corpus_root() -> str:
    """The folder in which trees and stores are kept from one run to the next."""
    default = os.path.join(CHECKOUT, "build", "corpus")
    return os.path.abspath(os.environ.get("LAYERSCAN_BENCH_CORPUS") or default)


def may_write_docs() -> bool:
    """Whether figures may go into docs/ and README.md."""
    return os.environ.get("LAYERSCAN_BENCH_DOCS") != "no"
