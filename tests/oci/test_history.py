"""The steps that made an image's layers."""

from __future__ import annotations

import pytest

from layerscan.oci.history import layer_steps

CLASSIC = [
    {"created_by": "/bin/sh -c #(nop) ADD file:8e81116368669ed3d in / "},
    {"created_by": '/bin/sh -c #(nop)  CMD ["bash"]', "empty_layer": True},
    {"created_by": "/bin/sh -c apt-get update \t&&\n apt-get install -y curl"},
    {"created_by": "|2 A=1 B=2 /bin/sh -c make"},
    {"created_by": "/bin/sh -c #(nop) COPY dir:ab in /srv "},
]
BUILDKIT = [
    {"created_by": "ADD rootfs.tar / # buildkit", "comment": "buildkit.dockerfile.v0"},
    {"created_by": "ENV A=1", "empty_layer": True},
    {"created_by": "RUN /bin/sh -c make install # buildkit"},
    {"created_by": "RUN |1 A=1 /bin/sh -c make # buildkit"},
    {"created_by": 'RUN ["/bin/true"] # buildkit'},
    {"comment": "Imported from -"},
]


def test_steps_of_the_classic_builder() -> None:
    assert layer_steps({"history": CLASSIC}, 4) == (
        "ADD file:8e81116368669ed3d in /",
        "RUN apt-get update && apt-get install -y curl",
        "RUN make",
        "COPY dir:ab in /srv",
    )


def test_steps_of_buildkit() -> None:
    assert layer_steps({"history": BUILDKIT}, 5) == (
        "ADD rootfs.tar /",
        "RUN make install",
        "RUN make",
        'RUN ["/bin/true"]',
        "Imported from -",
    )


@pytest.mark.parametrize(
    "history",
    [None, {}, "text", [], [{}], [None, {}], [{}, {}, {}], [{"created_by": "x"}] * 20_000],
    ids=["none", "no list", "text", "empty", "one", "no entry", "three", "many"],
)
def test_a_history_of_other_layers_is_not_taken(history: object) -> None:
    assert layer_steps({"history": history}, 2) == ()
    assert layer_steps({}, 2) == ()


def test_what_is_no_text_is_an_unknown_step() -> None:
    history = [{"created_by": 7}, {"created_by": None, "comment": ["x"]}, {"empty_layer": "yes"}]
    assert layer_steps({"history": history}, 3) == ("", "", "")


def test_a_step_is_cut() -> None:
    (step,) = layer_steps({"history": [{"created_by": "RUN " + "x y" * 100_000}]}, 1)
    assert len(step) == 500
