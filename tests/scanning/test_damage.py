"""How far a layer may differ from what its store recorded, and what is said of more."""

from __future__ import annotations

import pytest

from layerscan.scanning.damage import found_damage
from layerscan.stores.model import Layer
from layerscan.walking.walker import Usage

BLOCK = 4096  # bytes
PER_BLOCK = 8  # units of 512 bytes, as a walk counts

LAYER = Layer("sha256:chain", "sha256:diff", None, "/layers/one", "fs")
NOTHING = Usage(0, 0, 0, 0, 0, 0)


def damage(content: Usage | None, **recorded: int) -> list[str]:
    layer = LAYER._replace(**recorded)  # type: ignore[arg-type]
    return found_damage(layer, NOTHING._replace(child=content), BLOCK)


@pytest.mark.parametrize(
    ("files", "blocks", "allowed"),
    [
        (0, 100, 1),
        (63, 4095, 1),
        (64, 4095, 2),
        (127, 100, 2),
        (128, 100, 3),
        (63, 4096, 2),
        (0, 8191, 2),
        (0, 8192, 3),
        (64, 4096, 3),
    ],
)
def test_some_files_and_some_blocks_allow_for_a_block_each(
    files: int, blocks: int, allowed: int
) -> None:
    content = NOTHING._replace(files=files, blocks=blocks * PER_BLOCK)
    taken, most = blocks * BLOCK, allowed * BLOCK
    for recorded in (taken - most, taken, taken + most):
        assert damage(content, recorded_usage=recorded) == []
    for recorded in (taken - most - 1, taken + most + 1):
        (told,) = damage(content, recorded_usage=recorded)
        assert told == (
            f"its files take {taken} bytes of disk, the store recorded {recorded}: the layer was "
            "damaged or tampered with, or was copied from another file system"
        )


def test_every_kind_of_inode_counts() -> None:
    content = NOTHING._replace(files=1, directories=20, symlinks=300, others=4000)
    assert damage(content, recorded_inodes=4321) == []
    for recorded in (4320, 4322):
        (told,) = damage(content, recorded_inodes=recorded)
        assert told == (
            f"it has 4321 files and folders, the store recorded {recorded}: the layer was damaged "
            "or tampered with"
        )


def test_the_first_difference_is_told_and_mounts_are_beside_it() -> None:
    content = NOTHING._replace(size=1, files=2, blocks=100 * PER_BLOCK, mounts=1)
    mounted = "another file system is mounted in its folder and hides files"
    recorded = {"recorded_size": 1, "recorded_inodes": 2, "recorded_usage": 100 * BLOCK}
    assert damage(content, **recorded) == [mounted]
    firsts = ("its files hold 1 bytes", "it has 2 files", f"its files take {100 * BLOCK} bytes")
    # Each one that is right lets the next one be looked at.
    for number, first in enumerate(firsts):
        wrong = dict.fromkeys(list(recorded)[number:], 10**6)
        told, beside = damage(content, **{**recorded, **wrong})
        assert told.startswith(first)
        assert beside == mounted


def test_nothing_is_said_of_what_is_not_on_record_or_could_not_be_read() -> None:
    assert damage(NOTHING._replace(size=5, files=5, blocks=5)) == []
    assert damage(None, recorded_size=1, recorded_inodes=1, recorded_usage=10**9) == []
