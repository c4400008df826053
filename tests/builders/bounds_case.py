"""What the tests of bounds share."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.errors import LayerscanError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


MOST = (1 << 63) - 1


def refused_if(
    refused: bool,  # noqa: FBT001 - it is what the name asks for
    kind: type[Exception] = LayerscanError,
    match: str | None = None,
) -> AbstractContextManager[Any]:
    return pytest.raises(kind, match=match) if refused else nullcontext()
