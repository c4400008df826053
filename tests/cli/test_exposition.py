"""Metrics in Prometheus' text format."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from layerscan.cli.exposition import Metric, exposition
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File
from tests.cli_runner import run_here
from tests.requirements import require

if TYPE_CHECKING:
    from pathlib import Path


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series and its value, as Prometheus reads them."""
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 2**53), min_size=1, max_size=5))
def test_whatever_a_label_holds_is_read_back(values: dict[str, int]) -> None:
    text = exposition([Metric("name_bytes", "What.", [({"a": k}, v) for k, v in values.items()])])
    assert samples(text) == {("name_bytes", (("a", k),)): v for k, v in values.items()}


def test_surrogates_are_written_as_escapes() -> None:
    text = exposition([Metric("name", "What.", [({"a": "x\udcff\\"}, 1)])])
    assert samples(text) == {("name", (("a", r"x\udcff" + "\\"),)): 1}


def test_a_series_is_there_once_and_a_metric_without_any_is_not() -> None:
    text = exposition(
        [Metric("one", "What.", [({"a": "x"}, 1), ({"a": "x"}, 2)]), Metric("two", "", [])]
    )
    assert text == '# HELP one What.\n# TYPE one gauge\none{a="x"} 1\n'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreBuilder:
    store = StoreBuilder(tmp_path_factory.mktemp("metrics") / 'a "b" \\c')
    base = store.layer(None, File("base", size=100_000))
    for number in range(30):
        layer = store.layer(base, File("f", size=1000 * number, seed=number))
        store.image([base, layer], names=[f"image:{number}"])
    return store


def metrics(command: str, store: StoreBuilder, *options: object) -> str:
    done = run_here(command, "-d", store.root, "--format", "prometheus", *options)
    assert done.status == 0
    return done.text


def test_metrics_of_a_scan(store: StoreBuilder) -> None:
    found = samples(metrics("scan", store))
    subject = (("kind", "overlay2"), ("root", store.root))
    assert found["layerscan_images", subject] == 30
    assert found["layerscan_layers", subject] == 31
    of_images = [labels for name, labels in found if name == "layerscan_image_usage_bytes"]
    assert len(of_images) == 20
    assert dict(of_images[0]).keys() == {"arch", "image", "kind", "root"}
    few = samples(metrics("scan", store, "--top", "2"))
    assert len([name for name, _ in few if name == "layerscan_image_own_bytes"]) == 2


def test_a_file_of_metrics_is_written_whole(store: StoreBuilder, tmp_path: Path) -> None:
    for command, option in (("scan", "--report-file"), ("df", "-o")):
        path = tmp_path / f"{command}.prom"
        assert metrics(command, store, option, path) == ""
        assert samples(path.read_text()).keys() == samples(metrics(command, store)).keys()
    assert {path.name for path in tmp_path.iterdir()} == {"scan.prom", "df.prom"}


@pytest.mark.engine
@pytest.mark.parametrize("command", ["scan", "df"])
def test_promtool_finds_nothing_to_say(store: StoreBuilder, command: str) -> None:
    promtool = shutil.which("promtool")
    require(promtool is not None, "there is no promtool")
    done = subprocess.run(
        [str(promtool), "check", "metrics"],
        input=metrics(command, store),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
