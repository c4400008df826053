"""`layerscan-compose-publish`, called as a CI run calls compose-publish."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from layerscan.cli import compose_publish
from tests.builders.publish_case import Bench
from tests.cli_runner import environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.builders.registry_server import OpenRegistry

PROGRAM = [sys.executable, "-m", compose_publish.__name__]


def test_the_digest_is_read_by_who_has_the_file_open(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    bench = Bench(open_registry, tmp_path)
    with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as file:
        file.write("what was there, which is much longer than a digest: " + "x" * 100)
        file.flush()
        options = ["-d", file.name, "-l", str(tmp_path / "meta.json")]
        done = subprocess.run(
            [*PROGRAM, *options, bench.target(), "amd64,arm64"],
            cwd=bench.apps / "shop",
            capture_output=True,
            text=True,
            check=False,
            env=environment(DOCKER_CONFIG=str(tmp_path)),
        )
        assert done.returncode == 0, done.stderr
        file.seek(0)
        digest = file.read()
    assert open_registry.tags("fleet/shop") == {"1": digest}
    assert done.stdout == f"{digest}\n"
    app = bench.document(digest)
    assert app["layers"][1]["annotations"] == {"layers-meta": "v1"}


def test_without_metadata_and_architectures(
    open_registry: OpenRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(open_registry, tmp_path)
    monkeypatch.chdir(bench.apps / "shop")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert compose_publish.publish_here([bench.target()]) == 0
    (digest,) = open_registry.tags("fleet/shop").values()
    assert len(bench.document(digest)["layers"]) == 1
    assert compose_publish.publish_here(["-d", str(tmp_path / "no/d"), bench.target()]) == 2
