"""The rules of ``usage``: what files take, in whole blocks."""

import pytest

from layerscan.stores.accounting import (
    docker_layer_usage,
    exact_image_usage,
    exact_layer_usage,
    whole_blocks,
)
from layerscan.stores.model import Growth

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
