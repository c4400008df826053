"""The stores that tests of ``layerscan scan`` have, and what it must say of them."""

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.builders.overlay2 import BuiltLayer, StoreBuilder, blob_digest
from tests.cli_runner import Fleet, Result, expected_usage, run_here, warning

SEVERAL = warning(
    "the images are of several architectures: amd64, arm64; choose one with --arch, or tell them "
    "apart with --by-arch"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A store for all tests here, which only read it."""
    return Fleet.build(tmp_path_factory.mktemp("fleet") / "docker")


@pytest.fixture
def built(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "docker")


def scan(store: StoreBuilder, *arguments: object, env: dict[str, str] | None = None) -> Result:
    return run_here("scan", "-d", store.root, *arguments, env=env)


def document(store: StoreBuilder, *layers: BuiltLayer) -> dict[str, Any]:
    return {
        "fs_block_size": os.statvfs(store.root).f_bsize,
        "layers": {
            blob_digest(layer.diff_id): {
                "size": layer.size,
                "usage": expected_usage(store, layer),
            }
            for layer in layers
        },
    }


def validate(content: object, name: str) -> None:
    schema = json.loads(files("layerscan").joinpath("schemas", name).read_text())
    jsonschema.Draft202012Validator(schema).validate(content)
