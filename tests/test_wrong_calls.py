"""The library called with what it does not take: it says what was expected, before any work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from layerscan import file_table, merge, scan, walk, walk_many
from layerscan.layersmeta import LayersMeta

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("kind", [str, bytes, "path"])
def test_one_path_is_not_several(tmp_path: Path, kind: Any) -> None:  # noqa: ANN401 - any of them
    path = tmp_path if kind == "path" else bytes(tmp_path) if kind is bytes else str(tmp_path)
    with pytest.raises(TypeError, match=r"several paths, not one: give \[.*\], or call walk"):
        walk_many(path)  # type: ignore[arg-type]


def test_a_path_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"scan takes a store: scan\(open_store\(root='/x'\)\)"):
        scan("/x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scan takes a store"):
        scan(tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pairs", [[("amd64", LayersMeta(1, {}))], ["amd64"], [("amd64", {}, "x")], {"amd64": 1}]
)
def test_what_merge_takes(pairs: Any) -> None:  # noqa: ANN401 - what is wrong
    with pytest.raises(TypeError, match="merge takes triples of an architecture, a LayersMeta"):
        merge(pairs)


@pytest.mark.parametrize(
    "call", [walk, file_table, lambda path, cancel: walk_many([path], cancel=cancel)]
)
def test_what_is_cancelled_already_does_not_begin(
    tmp_path: Path, call: Callable[..., object]
) -> None:
    cancel = threading.Event()
    assert call(tmp_path, cancel=cancel) is not None
    cancel.set()
    with pytest.raises(InterruptedError, match="cancelled"):
        call(tmp_path, cancel=cancel)
