"""Predictions of layers that carry a table of contents: it alone is read, where it will do."""

from dataclasses import replace
from pathlib import Path

import pytest

from layerscan.errors import LayerscanError
from layerscan.prediction.cache import PredictionCache
from layerscan.prediction.images import Prediction, predict
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders import tree
from tests.builders.chunked import Chunked, estargz, zstd_chunked
from tests.builders.image_archives import layout, write_folder
from tests.builders.images import Image
from tests.builders.predict_case import BASE, TOP, leftovers, predicted
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import run_here, warning

TAR = tree.tar_of(*BASE, tree.File("big", size=2_000_000))
SMALL = tree.tar_of(*TOP)
LAYERS = {"estargz": estargz(TAR), "zstd:chunked": zstd_chunked(TAR)}
NAME = "acme/web:7"


def put(registry: OpenRegistry, layer: Chunked) -> str:
    """The layer as an image; what its blob's requests have in their path."""
    Image.of(layer).put(registry, NAME)
    return f"/blobs/{layer.digest}"


def sent(registry: OpenRegistry, pattern: str) -> list[str | None]:
    """The ranges of the requests for the blob, None for all of it."""
    return [one.headers.get("range") for one in registry.seen if pattern in one.path]


def figures(found: Prediction) -> list[tuple[int, int]]:
    return [(layer.size, layer.files) for one in found.images for layer in one.layers]


@pytest.mark.parametrize("form", LAYERS)
def test_only_the_table_is_read(open_registry: OpenRegistry, form: str) -> None:
    pattern = put(open_registry, LAYERS[form])
    found = predicted(open_registry, NAME)
    assert None not in sent(open_registry, pattern)
    assert found.notes == ()
    whole = predicted(open_registry, NAME, with_toc=False)
    assert sent(open_registry, pattern)[-1] is None
    assert figures(found) == figures(whole)
    usage, exact = (one.images[0].layers[0].usage for one in (found, whole))
    assert usage == pytest.approx(exact, abs=200), "but for tar-split.json.gz it is the same"


def test_a_registry_that_serves_no_parts(open_registry: OpenRegistry) -> None:
    open_registry.knows_ranges = False
    put(open_registry, LAYERS["estargz"])
    found = predicted(open_registry, NAME)
    assert found.notes == ()
    assert figures(found) == figures(predicted(open_registry, NAME, with_toc=False))


@pytest.mark.parametrize("form", LAYERS)
def test_a_table_that_is_damaged(open_registry: OpenRegistry, form: str) -> None:
    other = {"estargz": estargz(SMALL), "zstd:chunked": zstd_chunked(SMALL)}[form]
    layer = replace(LAYERS[form], annotations=other.annotations)
    pattern = put(open_registry, layer)
    found = predicted(open_registry, NAME)
    assert sent(open_registry, pattern)[-1] is None
    (note,) = found.notes
    assert note.startswith(f"image {open_registry.address}/{NAME}: layer {layer.digest}: ")
    assert note.endswith("; all of it was read instead")
    done = run_here("predict", f"docker://{open_registry.address}/{NAME}", "-o", "-")
    assert (done.status, done.lines) == (0, [warning(note)])
    assert figures(found) == figures(predicted(open_registry, NAME, with_toc=False))


def test_what_is_kept_of_a_table_is_not_all(open_registry: OpenRegistry, tmp_path: Path) -> None:
    pattern = put(open_registry, LAYERS["zstd:chunked"])

    def run(*, with_toc: bool) -> int:
        """How many requests for the blob there are."""
        before = len(sent(open_registry, pattern))
        cache = PredictionCache(str(tmp_path))
        predicted(open_registry, NAME, cache=cache, with_toc=with_toc)
        return len(sent(open_registry, pattern)) - before

    assert run(with_toc=True) > 0
    assert run(with_toc=True) == 0
    assert run(with_toc=False) == 1
    # What was read as a whole is as good for both.
    assert run(with_toc=False) == run(with_toc=True) == 0


@pytest.mark.parametrize("form", LAYERS)
def test_what_is_on_this_machine_is_read_and_verified(
    open_registry: OpenRegistry, tmp_path: Path, form: str
) -> None:
    put(open_registry, LAYERS[form])
    image = Image.of(LAYERS[form])

    def local(**changes: object) -> Prediction:
        folder = write_folder(layout(replace(image, config_changes=changes)), tmp_path / "layout")
        with open_source(f"oci:{folder}", RegistryClient) as source:
            return predict([source])

    assert figures(local()) == figures(predicted(open_registry, NAME, with_toc=False))
    wrong = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    with pytest.raises(LayerscanError, match="its tar has the digest"):
        local(rootfs=wrong)
    assert not leftovers()


def test_only_reading_it_shows_that_a_layer_is_not_what_its_table_says(
    open_registry: OpenRegistry,
) -> None:
    Image.of(replace(LAYERS["estargz"], tar=b"another")).put(open_registry, NAME)
    assert figures(predicted(open_registry, NAME))
    with pytest.raises(LayerscanError, match="its tar has the digest"):
        predicted(open_registry, NAME, with_toc=False)
    assert not leftovers()
