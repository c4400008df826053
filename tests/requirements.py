"""What a test needs of the machine: skip with the reason, but never in CI."""

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test unless `condition` holds; in CI, where all is to be there, fail."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI this test must run, but {reason}")
    pytest.skip(reason)


def require_root() -> None:
    """Skip unless this is root, who alone may mount, make device nodes and change users."""
    require(os.geteuid() == 0, "it needs root")
