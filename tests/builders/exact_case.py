"""What a prediction may miss the truth by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

    from layerscan.scanning.result import Scan

ALLOWED_BYTES = 256 * 1024


ALLOWED_SHARE = 0.0005


def assert_meets(prediction: int, truth: int) -> None:
    """At or above the true figure, and by so much at the most as the page on accounting allows."""
    over = prediction - truth
    allowed = int(truth * ALLOWED_SHARE) + ALLOWED_BYTES
    print(f"true {truth:,}, predicted {prediction:,}: {over:+,} of {allowed:,}")
    assert 0 <= over <= allowed


def assert_meets_inodes(found: Scan, already: Container[str], truth: int) -> None:
    """Hold what the image of `found` makes where the layers `already` are against `truth`.

    What only the first image of a store makes counts for each, and a file in the folder of
    the layer beneath may be there already.
    """
    (one,) = found.chosen
    growth = found.store.growth
    layers = sum(cost.inodes or 0 for chain, cost in found.costs.items() if chain not in already)
    beside = growth.image_inodes + growth.first_inodes
    over = layers + len(one.image.exact_paths) + beside - truth
    print(f"true {truth:,} inodes, predicted {over:+,}")
    assert 0 <= over <= beside + len(one.image.exact_paths) + growth.upper_inodes
