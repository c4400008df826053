"""What a prediction may miss the truth by."""

from __future__ import annotations

ALLOWED_BYTES = 256 * 1024


ALLOWED_SHARE = 0.0005


def assert_meets(prediction: int, truth: int) -> None:
    """At or above the true figure, and by so much at the most as the page on accounting allows."""
    over = prediction - truth
    allowed = int(truth * ALLOWED_SHARE) + ALLOWED_BYTES
    print(f"true {truth:,}, predicted {prediction:,}: {over:+,} of {allowed:,}")
    assert 0 <= over <= allowed
