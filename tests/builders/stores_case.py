"""What tests of all kinds of stores share: a change while one is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerscan.stores import readings

Between = Callable[[Callable[[], object]], list[float]]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Runs a change while the reader waits to read again; returns its waits."""

    def install(change: Callable[[], object]) -> list[float]:
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 1:
                change()

        monkeypatch.setattr(readings, "sleep", sleep)
        return waits

    return install
