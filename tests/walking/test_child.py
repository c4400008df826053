"""Names of the child that is counted apart: of any length, and never read beyond the buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerscan import walk
from tests.builders.tree import File, apply, many

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 255
"""Bytes of a name, NAME_MAX of limits.h."""


@pytest.mark.parametrize("length", [1, 2, 254, LONGEST])
def test_it_is_found_by_its_whole_name(tmp_path: Path, length: int) -> None:
    name = "n" * length
    apply(tmp_path, File(f"{name}/f", size=7), *many("other", 3))
    found = walk(tmp_path, child=name)
    assert found.child == walk(tmp_path / name)
    for other in (name[:-1], name + "n", "N" * length):
        assert walk(tmp_path, child=other).child is None


@pytest.mark.parametrize("length", [LONGEST + 1, 4096, 40_000, 1 << 20])
def test_one_that_is_longer_than_any_name_is_missing(tmp_path: Path, length: int) -> None:
    """The sanitizers see what is read beyond a name at the end of the buffer."""
    # More than a buffer of names, the last of which ends where it ends.
    apply(tmp_path, *(File(f"{number:0{LONGEST}}") for number in range(300)))
    found = walk(tmp_path, child="0" * length)
    assert found.child is None
    assert found.files == 300


def test_a_nul_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="child cannot contain a NUL byte"):
        walk(tmp_path, child="a\0b")
