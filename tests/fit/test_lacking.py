"""Layers that several Apps or images have, of which each says other figures."""

from __future__ import annotations

import pytest

from layerscan.fit.lacking import LackingLayer, LayerStack, distinct


def lacking(usage: int, inodes: int | None, name: str = "first") -> LackingLayer:
    return LackingLayer("key", name, 1024, usage, False, inodes)  # noqa: FBT003


@pytest.mark.parametrize(
    ("usages", "inodes", "taken"),
    [
        ((100, 101), (9, 0), "second"),
        ((101, 100), (0, 9), "first"),
        # Of the same usage, the inodes decide; where they are not known, they are none.
        ((100, 100), (8, 9), "second"),
        ((100, 100), (9, 8), "first"),
        ((100, 100), (None, 1), "second"),
        ((100, 100), (1, None), "first"),
        ((100, 100), (None, 0), "first"),
        ((100, 100), (0, None), "first"),
        ((100, 100), (9, 9), "first"),
    ],
)
def test_of_figures_that_differ_the_larger_count(
    usages: tuple[int, int], inodes: tuple[int | None, int | None], taken: str
) -> None:
    first, second = (
        LayerStack((lacking(usage, count, name),), ordered=True)
        for usage, count, name in zip(usages, inodes, ("first", "second"), strict=True)
    )
    assert [layer.digest for layer in distinct([first, second])] == [taken]
