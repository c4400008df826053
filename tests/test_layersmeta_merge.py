"""Merging the metadata of architectures: what is kept apart, united, refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan import layersmeta
from layerscan.errors import DocumentError
from layerscan.layersmeta import LayerMeta, LayersMeta

MAX = 2**63 - 1


# Merging


A, B, C = (f"sha256:{digit * 64}" for digit in "abc")

architectures = st.sampled_from(["amd64", "arm", "riscv64"])


def test_merge_keeps_architectures_apart_and_unites_equal_ones() -> None:
    first = LayersMeta(4096, {A: LayerMeta(1, 2), B: LayerMeta(3, 4)})
    second = LayersMeta(4096, {B: LayerMeta(3, 4, 9), C: LayerMeta(5, 6)})
    other = LayersMeta(512, {B: LayerMeta(7, 8)})
    merged = layersmeta.merge(
        [("arm", first, "1.json"), ("amd64", other, "2.json"), ("arm", second, "3.json")]
    )
    assert merged == {
        "amd64": other,
        "arm": LayersMeta(4096, {A: LayerMeta(1, 2), B: LayerMeta(3, 4, 9), C: LayerMeta(5, 6)}),
    }
    assert list(merged) == ["amd64", "arm"]
    assert layersmeta.merge([]) == {}


def test_merge_hands_on_the_file_system() -> None:
    named, unnamed = LayersMeta(4096, {}, "xfs,block=4096,inode=512"), LayersMeta(4096, {})
    for documents in ((named, unnamed), (unnamed, named), (named, named)):
        assert layersmeta.merge(("arm", one, "x") for one in documents) == {"arm": named}


@pytest.mark.parametrize(
    ("changed", "path", "figures"),
    [
        (LayersMeta(512, {}), "$.fs_block_size", (512, 4096)),
        (LayersMeta(4096, {}, "xfs"), "$.file_system", ("xfs", "ext4")),
        (LayersMeta(4096, {}, inodes={A: 9}), f'$.inodes["{A}"]', (9, 4)),
        (LayersMeta(4096, {A: LayerMeta(9, 2, 3)}), f'$.layers["{A}"].size', (9, 1)),
        (LayersMeta(4096, {A: LayerMeta(1, 9, 3)}), f'$.layers["{A}"].usage', (9, 2)),
        (LayersMeta(4096, {A: LayerMeta(1, 2, 9)}), f'$.layers["{A}"].archive_size', (9, 3)),
    ],
)
def test_merge_refuses_a_contradiction_and_names_both_sides(
    changed: LayersMeta, path: str, figures: tuple[object, object]
) -> None:
    first = ("arm", LayersMeta(4096, {A: LayerMeta(1, 2, 3)}, "ext4", {A: 4}), "first.json")
    silent = ("arm", LayersMeta(4096, {B: LayerMeta(1, 2)}), "silent.json")
    with pytest.raises(DocumentError) as caught:
        layersmeta.merge([first, silent, ("arm", changed, "last.json")])
    assert str(caught.value) == (
        f"last.json: {path}: {figures[0]} contradicts {figures[1]} in first.json"
        " (both are given as arm)"
    )
    assert layersmeta.merge([first, ("arm64", changed, "last.json")])["arm64"] == changed


truth = {f"sha256:{number:064x}": LayerMeta(number, number + 1, number + 2) for number in range(6)}
parts_of_truth = st.builds(
    lambda digests, known, counted: LayersMeta(
        4096,
        {
            digest: truth[digest] if digest in known else LayerMeta(*_two(truth[digest]))
            for digest in digests
        },
        inodes={digest: truth[digest].size + 9 for digest in counted},
    ),
    st.sets(st.sampled_from(sorted(truth))),
    st.sets(st.sampled_from(sorted(truth))),
    st.sets(st.sampled_from(sorted(truth))),
)
inputs = st.lists(st.tuples(architectures, parts_of_truth, st.just("x")), max_size=6)


def _two(layer: LayerMeta) -> tuple[int, int]:
    return layer.size, layer.usage


@given(inputs, st.randoms(use_true_random=False))
def test_merge_does_not_depend_on_the_order(
    pairs: list[tuple[str, LayersMeta, str]], rng: random.Random
) -> None:
    merged = layersmeta.merge(pairs)
    shuffled = pairs[:]
    rng.shuffle(shuffled)
    assert layersmeta.dumps_by_arch(layersmeta.merge(shuffled)) == layersmeta.dumps_by_arch(merged)


@given(inputs)
def test_merge_again_changes_nothing(pairs: list[tuple[str, LayersMeta, str]]) -> None:
    merged = layersmeta.merge(pairs)
    again = [(architecture, meta, "merged") for architecture, meta in merged.items()]
    assert layersmeta.merge(again) == merged
    assert layersmeta.merge([*again, *pairs, *pairs]) == merged
    for architecture, meta, _ in pairs:
        assert meta.layers.keys() <= merged[architecture].layers.keys()
        assert meta.inodes.items() <= merged[architecture].inodes.items()
