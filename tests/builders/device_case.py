"""A device file, as it is written and read."""

from __future__ import annotations

import json
from typing import Any

from layerscan.fit import device_file
from tests.builders.fit_apps import Layer

A, B = (Layer(name).digest for name in "ab")


def document(**more: object) -> dict[str, Any]:
    disk = {"block_size": 4096, "blocks": 100, "free_blocks": 50, "available_blocks": 45}
    found: dict[str, Any] = {
        "architecture": "arm64",
        "volumes": {"data": disk},
        "store_root": "data",
        "docker_root": "data",
        "blobs": [A],
    }
    return found | more


def loads(**more: object) -> device_file.Described:
    return device_file.loads(json.dumps(document(**more)).encode(), "device.json")
