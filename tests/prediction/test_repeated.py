"""Predictions of layers that have a path twice, which not every engine takes."""

from pathlib import Path

import pytest

from tests.builders.chunked import zstd_chunked
from tests.builders.images import Image, Layer
from tests.builders.predict_case import TOP
from tests.builders.registry_server import OpenRegistry
from tests.builders.repeated_case import note
from tests.builders.tars import DIR, Entry, tar
from tests.cli_runner import run_here, warning

NAME = "acme/web:7"
TAR = tar(Entry(b"etc/", DIR), Entry(b"etc/motd", content=b"hello"), Entry(b"etc", DIR))
REPEATED = Layer(TAR)


@pytest.mark.parametrize("store", ["overlay2", "containers-storage"])
def test_what_an_engine_refuses_is_said(
    open_registry: OpenRegistry, tmp_path: Path, store: str
) -> None:
    Image.of(Layer.of(*TOP), REPEATED).put(open_registry, NAME)
    source, out = f"docker://{open_registry.address}/{NAME}", tmp_path / "meta.json"
    command = ("predict", source, "--cache", tmp_path / "cache", "-o", out)
    told = warning(note(f"image {open_registry.address}/{NAME}", REPEATED.digest, "etc"))
    done = run_here(*command, "--store", store)
    assert (done.status, told in done.lines) == (0, True)
    # Also where the layer is not read again.
    before = open_registry.count("GET", f"/blobs/{REPEATED.digest}")
    assert told in run_here(*command, "--store", store).lines
    assert open_registry.count("GET", f"/blobs/{REPEATED.digest}") == before


def test_nothing_is_said_where_the_engine_takes_it(open_registry: OpenRegistry) -> None:
    Image.of(Layer.of(*TOP), REPEATED).put(open_registry, NAME)
    done = run_here("predict", f"docker://{open_registry.address}/{NAME}", "--store", "containerd")
    assert (done.status, [line for line in done.lines if "twice" in line]) == (0, [])


def test_a_table_of_contents_shows_it_as_well(open_registry: OpenRegistry) -> None:
    layer = zstd_chunked(TAR)
    Image.of(layer).put(open_registry, NAME)
    done = run_here("predict", f"docker://{open_registry.address}/{NAME}")
    assert open_registry.seen[-1].headers["range"]
    told = warning(note(f"image {open_registry.address}/{NAME}", layer.digest, "etc"))
    assert (done.status, told in done.lines) == (0, True)


def test_a_path_of_the_cache_is_fit_for_the_terminal(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    Image.of(REPEATED).put(open_registry, NAME)
    command = ("predict", f"docker://{open_registry.address}/{NAME}", "--cache", tmp_path)
    run_here(*command)
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text().replace("twice, etc", "twice, \\u001b[2J"))
    assert r"has a path twice, \x1b[2J: Docker" in "".join(run_here(*command).lines)
