"""What tests of several stores share."""

from pathlib import Path

import pytest

from tests.builders.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine of the test's own, as far as layerscan looks for stores."""
    return Machine.isolate(tmp_path, monkeypatch)
