"""What pytest-benchmark's JSON says beside the times."""

from typing import Any

import pytest

from benchmarks import machine, settings

_load = machine.OtherLoad()


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    del config, machine_info["node"]
    machine_info["size"] = settings.SIZE.value
    machine_info["file_system"] = machine.file_system(settings.CORPUS)
    machine_info["other_cores"] = round(_load.cores(), 2)


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    for one in output_json["benchmarks"]:
        # Whole command lines; the name says which they are.
        del one["params"]
