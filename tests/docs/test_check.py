"""The guide of `check`, and the JSON of `check` and `diff` in the reference, are true."""

import json
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from layerscan.fit import device_file
from layerscan.fit.policies import Policy
from tests.docs.reader import DEVICES, code, command_page, documented, fields, read, tables
from tests.docs.workbench import Workbench

GUIDE = "docs/guides/check.md"

RUNS = {
    "check": "check --app 1043/shop --installed 1042/shop --format json "
    "--device devices/emmc-8gb-one-volume.json --policy aktualizr-lite-skopeo",
    "diff": "diff 1042/shop 1043/shop --format json",
}


def schema(name: str) -> Draft202012Validator:
    text = resources.files("layerscan").joinpath("schemas", f"{name}.schema.json").read_text()
    return Draft202012Validator(json.loads(text))


@pytest.mark.parametrize("name", RUNS)
def test_json_is_what_the_program_writes(name: str, tmp_path: Path) -> None:
    real = json.loads(Workbench.build(tmp_path).run("layerscan", *RUNS[name].split()).stdout)
    example = documented(name)
    schema(name).validate(example)
    for report in (example, real):
        # How well a bundle is compressed is zlib's matter.
        for bundle in report["bundles"] if name == "check" else ():
            assert bundle.pop("required") % 3 == 0
    assert example == real


@pytest.mark.parametrize("name", RUNS)
def test_every_field_is_described(name: str) -> None:
    (table,) = tables(read(command_page(name)), "field")
    example = documented(name)
    if name == "check":
        example |= {"warnings": [""], "missing_others": {"blobs": 0, "size": 0}}
        example["delete"] = {
            "suffices": True,
            "volume": "",
            "freed": 0,
            "images": [{"names": [""], "image_id": "", "freed": 0}],
            "commands": [[""]],
        }
        example["volumes"][0]["inodes"] = {"required": 0, "free": 0}
    else:
        (example,) = example
    assert [code(row[0]) for row in table.rows] == list(fields(example, ""))


def test_device_file_is_one() -> None:
    document = documented("device")
    schema("device").validate(document)
    device, _ = device_file.loads(json.dumps(document).encode(), "device.json")
    example, _ = device_file.load(str(DEVICES / "emmc-8gb-two-volumes.json"))
    assert device._replace(source="") == example._replace(source="")


def test_every_key_of_the_device_file_is_described() -> None:
    (table,) = tables(read(GUIDE), "key")
    whole = json.loads(json.dumps(schema("device").schema))
    properties = whole["properties"]
    volume = whole["$defs"]["volume"]["properties"]
    expected = []
    for key, value in properties.items():
        expected.append(key)
        inner = volume if key == "volumes" else value.get("properties", {})
        expected += [f"{key}.*.{name}" if key == "volumes" else f"{key}.{name}" for name in inner]
    assert [code(row[0]) for row in table.rows] == expected


def test_watermarks_are_as_the_table_says() -> None:
    (table,) = tables(read(GUIDE), "policy")
    described = {code(row[0]): row[2] for row in table.rows}
    assert described == {
        policy.value: f"{policy.watermarks.lowest} to {policy.watermarks.highest}, "
        f"by default {policy.watermarks.default}"
        for policy in Policy
    }


def test_examples_of_devices_are_listed() -> None:
    (table,) = tables(read(GUIDE), "file")
    listed = [row[0].partition("]")[0].strip("[") for row in table.rows]
    assert sorted(listed) == sorted(path.name for path in DEVICES.iterdir())
