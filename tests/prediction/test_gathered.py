"""What images of several sources become: their names, their order, what is read when."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.errors import LayerscanError
from layerscan.oci import Platform
from layerscan.parallel import in_parallel
from layerscan.prediction import layers as layer_reading
from layerscan.prediction.filesystems.ext4 import Ext4
from layerscan.prediction.images import Prediction, gather_images, predict
from layerscan.sources.model import Source, SourceImage, SourceLayer
from tests.builders.documents import sha256
from tests.builders.tars import Entry, tar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from layerscan.digest import Hashing

AMD64 = Platform("amd64", "linux")


class Kept(Source):
    """A source of these images, whose layers are tars of as many entries as a test wants."""

    def __init__(self, *images: SourceImage, notes: tuple[str, ...] = (), name: str = "it") -> None:
        self.name = name
        self.notes = notes
        self.read: list[str] = []
        self._images = images

    def images(self, architectures: Collection[str] | None = None) -> Sequence[SourceImage]:
        wanted = architectures
        return [one for one in self._images if wanted is None or one.platform[0] in wanted]

    def layer(
        self, layer: SourceLayer, hashing: Hashing | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        self.read.append(layer.digest)
        assert hashing is not None
        hashing.update(TARS[layer.digest])
        return nullcontext(iter([TARS[layer.digest]]))


RAW = [tar(*(Entry(b"%d" % number) for number in range(count))) for count in (1, 2, 30)]
TARS = {sha256(raw): raw for raw in RAW}
LAYERS = [SourceLayer(digest, digest, len(raw)) for digest, raw in TARS.items()]


def image(
    name: str,
    *layers: SourceLayer,
    platform: Platform = AMD64,
    image_id: str | None = None,
    documents: tuple[int, ...] = (1,),
) -> SourceImage:
    return SourceImage(name, platform, image_id or sha256(name), documents, layers)


def names(found: Prediction) -> list[tuple[str, ...]]:
    return [one.names for one in found.images]


@pytest.mark.parametrize(
    ("name", "platform", "expected"),
    [
        ("a", AMD64, "a"),
        ("a: linux/amd64", AMD64, "a"),
        ("a: b: linux/amd64", AMD64, "a: b"),
        ("a: linux/arm/v7", Platform("arm", "linux", "v7"), "a"),
        ("a: linux/amd64", Platform("amd64", ""), "a"),
        ("a: other/amd64", Platform("amd64", "other"), "a"),
        ("a: linux/amd64", Platform("arm64", "linux"), "a: linux/amd64"),
        ("a: linux/amd64x", AMD64, "a: linux/amd64x"),
        (": linux/amd64", AMD64, ": linux/amd64"),
        ("a:linux/amd64", AMD64, "a:linux/amd64"),
    ],
)
def test_an_image_has_its_name_without_the_platform(
    name: str, platform: Platform, expected: str
) -> None:
    assert names(predict([Kept(image(name, platform=platform))])) == [(expected,)]


def test_an_image_of_several_sources_is_one_with_all_names() -> None:
    one, other = (
        image(name, image_id="sha256:1", documents=documents)
        for name, documents in (("b", (9000, 1)), ("a", (1, 1)))
    )
    for found in ([one, other], [other, one], [other, one, other]):
        together = predict([Kept(each) for each in found], accounting="exact")
        assert names(together) == [("a", "b")]
        # What it takes beside its layers is the most that it takes anywhere.
        alone = predict([Kept(one)], accounting="exact")
        assert together.images[0].usage == alone.images[0].usage
    # Over other blobs it is another one.
    packed = one._replace(name="c", layers=(LAYERS[0],))
    assert names(predict([Kept(one, packed)])) == [("b",), ("c",)]


def test_images_are_sorted_by_name_and_platform() -> None:
    found = predict(
        [Kept(image("b"), image("a: linux/arm64", platform=Platform("arm64", "linux"))),
         Kept(image("a: linux/amd64"))]
    )  # fmt: skip
    assert names(found) == [("a",), ("a",), ("b",)]
    assert [one.image.platform.architecture for one in found.images] == ["amd64", "arm64", "amd64"]
    assert found.architectures == ["amd64", "arm64"]


def test_an_architecture_that_can_be_no_key_is_refused() -> None:
    found = predict([Kept(image("a", platform=Platform("", "linux")))])
    assert found.document().layers == {}
    with pytest.raises(LayerscanError, match=r"^image a: nothing says its architecture"):
        found.documents()


def test_notes_of_sources() -> None:
    arm = image("b", platform=Platform("arm", "linux"))
    sources = [Kept(image("a"), notes=("1", "2"), name="x\n"), Kept(arm, notes=("2", "3"))]
    found = gather_images(sources, {"amd64", "arm", "mips"})
    assert found.notes == (
        "x\\n: has no image for arm",
        "x\\n: has no image for mips",
        "it: has no image for amd64",
        "it: has no image for mips",
        "1",
        "2",
        "2",
        "3",
    )
    assert gather_images(sources).notes == ("1", "2", "2", "3")
    assert [one.source for one in found.images] == sources
    # Each is said once.
    assert predict(sources).notes == ("1", "2", "3")


def test_the_largest_layer_is_read_first() -> None:
    source = Kept(image("a", *LAYERS))
    predict([source], workers=1)
    assert source.read == [layer.digest for layer in reversed(LAYERS)]


class Visible(Ext4):
    """A file system on which empty files take something."""

    def file(self, size: int) -> int:
        return super().file(max(size, 1))


def test_only_the_last_layer_is_the_top() -> None:
    # Docker's overlay2 has an empty file for each layer that another stands on.
    stack = [Kept(image("a", *LAYERS))]
    (plain,), (visible,) = (predict(stack, fs=fs).images for fs in (Ext4(), Visible()))
    pairs = zip(plain.layers, visible.layers, strict=True)
    assert [seen.usage - one.usage for one, seen in pairs] == [4096, 4096, 0]


@pytest.mark.parametrize(
    ("cores", "workers", "expected"), [(2, None, 2), (8, None, 8), (9, None, 8), (2, 20, 20)]
)
def test_how_many_layers_are_read_at_a_time(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int | None, expected: int
) -> None:
    started: list[int] = []

    def watched(tasks: Any, *, workers: int, **more: Any) -> Any:  # noqa: ANN401
        started.append(workers)
        return in_parallel(tasks, workers=workers, **more)

    monkeypatch.setattr(layer_reading, "cores", lambda: cores)
    monkeypatch.setattr(layer_reading, "in_parallel", watched)
    predict([Kept(image("a", *LAYERS))], workers=workers)
    assert started == [expected]
