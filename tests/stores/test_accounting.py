"""The rules of ``usage``: what files take, in whole blocks."""

import pytest

from layerscan.stores.accounting import (
    docker_layer_usage,
    exact_image_usage,
    exact_layer_inodes,
    exact_layer_usage,
    grown_once,
    whole_blocks,
)
from layerscan.stores.containerd import footprint as containerd
from layerscan.stores.containers_storage import footprint as containers_storage
from layerscan.stores.model import Growth
from layerscan.stores.overlay2 import footprint as overlay2

GROWTH = Growth(layer_bytes=7, image_bytes=5, image_blocks=2)


@pytest.mark.parametrize(
    ("folder", "kib"), [(0, 0), (512, 1), (1024, 1), (1536, 2), (2048, 2), (2560, 3)]
)
def test_by_docker_the_folder_counts_in_kib_and_the_tar_split_in_bytes(
    folder: int, kib: int
) -> None:
    assert docker_layer_usage(folder, 0) == kib * 1024
    assert docker_layer_usage(folder, 1001) == kib * 1024 + 1001


@pytest.mark.parametrize(
    ("taken", "whole"), [([], 0), ([0], 4096), ([4095, 4096, 4097], 4096 + 4096 + 4097)]
)
def test_exactly_each_file_takes_a_block_at_the_least(taken: list[int], whole: int) -> None:
    assert whole_blocks(taken, 4096) == whole
    layer = exact_layer_usage(100, iter(taken), block_size=4096, growth=GROWTH)
    assert layer == 100 + whole + 7
    image = exact_image_usage(iter(taken), block_size=4096, growth=GROWTH)
    assert image == whole + 5 + 2 * 4096


def test_the_first_image_of_a_store_makes_shared_files_grow_further() -> None:
    growth = Growth(image_bytes=5, image_blocks=2, first_bytes=11, first_blocks=3)
    assert grown_once(growth, 100, is_first=False) == 200
    assert grown_once(growth, 100, is_first=True) == 200 + 11 + 300
    assert exact_image_usage([100, 250], block_size=100, growth=growth) == 350 + 5 + 511


def test_a_layer_makes_an_inode_for_each_file_and_one_on_another_makes_more() -> None:
    growth = Growth(upper_inodes=3)
    assert exact_layer_inodes(50, 7, is_upper=False, growth=growth) == 57
    assert exact_layer_inodes(50, 7, is_upper=True, growth=growth) == 60


@pytest.mark.parametrize(
    ("growth", "figures"),
    [
        (Growth(), (0, 0, 0, 0, 0, 0, 0, 0)),
        (overlay2.GROWTH, (1024, 16_384, 13, 53_248, 2, 1, 1, 9)),
        (containerd.GROWTH, (11_264, 163_840, 0, 0, 0, 0, 0, 3)),
        (containers_storage.GROWTH, (1536, 0, 13, 0, 0, 0, 0, 2)),
    ],
)
def test_shared_files_grow_as_measured(growth: Growth, figures: tuple[int, ...]) -> None:
    """The figures of docs/explanation/accounting.md, which engines were held against."""
    assert growth == figures
