"""Device files: read, written, refused; and this machine as one."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from layerscan.errors import DocumentError
from layerscan.fit import device_file
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.jsondoc import MAX_INTEGER
from layerscan.prediction.filesystems.names import FileSystemShape, parse_file_system
from tests.builders.bounds_case import refused_if
from tests.builders.device_case import A, B, document, loads
from tests.builders.fit_apps import Layer
from tests.docs.reader import DEVICES

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = json.loads(
    resources.files("layerscan").joinpath("schemas", "device.schema.json").read_text()
)


def test_device_of_one_volume() -> None:
    device, installed = loads()
    assert device == Device(
        "device.json",
        "arm64",
        {"data": Volume(4096, 100, 50, 45)},
        "data",
        "data",
        "data",
        "data",
        blobs={A: None},
    )
    assert installed == ()


def test_all_that_a_device_file_may_say() -> None:
    disk = document()["volumes"]["data"]
    device, installed = loads(
        volumes={
            "a": disk,
            "b": disk | {"withheld_blocks": 7},
            "c": disk | {"inodes": 0, "free_inodes": 0},
            "d": disk | {"file_system": {"kind": "ext4", "inode": 128, "nodesize": 1, "new": []}},
            "e": disk | {"file_system": {"kind": "zfs", "features": ["x"]}},
        },
        store_root="a",
        docker_root="b",
        docker_root_parent="c",
        partial={B: 17},
        installed=["shop.json"],
        engine={"store": "containerd", "keeps_blobs": True, "chain_ids": [A], "other": 1},
        something="else",
    )
    assert device.volumes["b"].withheld_blocks == 7
    assert [one.inodes for one in device.volumes.values()] == [None, None, 0, None, None]
    assert device.volumes["d"].file_system == FileSystemShape("ext4", {"inode": 128})
    assert device.volumes["e"].file_system == FileSystemShape("zfs", {}, ("x",))
    assert (device.volumes["c"].free_inodes, device.volumes["a"].free_inodes) == (0, None)
    assert (device.store_parent, device.docker_parent) == ("a", "c")
    assert device.partial == {B: 17}
    assert device.engine == EngineLayers(
        "containerd",
        keeps_blobs=True,
        chain_ids=frozenset([A]),
        digests=frozenset(),
        image_ids=frozenset(),
    )
    assert installed == ("shop.json",)


def test_installed_apps_are_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "device.json").write_text(
        json.dumps(document(installed=["x/shop.json", "/a.json"]))
    )
    _, installed = device_file.load(str(tmp_path / "device.json"))
    assert installed == (f"{tmp_path}/x/shop.json", "/a.json")


def test_without_blobs_and_apps_there_is_a_note() -> None:
    bare = document()
    del bare["blobs"]
    device, _ = device_file.loads(json.dumps(bare).encode(), "device.json")
    assert device.notes == (
        "device.json: has neither blobs nor installed: taken as a device without Apps",
    )


def changed(**more: object) -> dict[str, object]:
    return {"volumes": {"data": document()["volumes"]["data"] | more}}


FAULTS: list[tuple[dict[str, object], str]] = [
    ({"volumes": []}, "$.volumes: must be an object"),
    ({"volumes": {"data": 7}}, "$.volumes.data: must be an object"),
    ({"volumes": {str(n): {} for n in range(101)}}, "$.volumes: has more than 100 entries"),
    ({"volumes": {}}, '$.store_root: there is no "data" in volumes'),
    ({"store_root": "x"}, '$.store_root: there is no "x" in volumes'),
    ({"docker_root": 7}, "$.docker_root: must be a string"),
    ({"store_root_parent": "y"}, '$.store_root_parent: there is no "y" in volumes'),
    ({"docker_root_parent": "z"}, '$.docker_root_parent: there is no "z" in volumes'),
    ({"architecture": "ARM 64"}, '$.architecture: "ARM 64" is no architecture name'),
    ({"architecture": None}, "$.architecture: must be a string"),
    (changed(block_size=0), "$.volumes.data.block_size: must be positive"),
    (changed(fragment_size=0), "$.volumes.data.fragment_size: must be positive"),
    ({"client_store_root": "w"}, '$.client_store_root: there is no "w" in volumes'),
    ({"layers_root": "w"}, '$.layers_root: there is no "w" in volumes'),
    ({"partial": {f"{A}@x": 1}}, f'$.partial["{A}@x"]: is no digest'),
    (changed(block_size=-4096), "$.volumes.data.block_size: must not be negative"),
    (changed(blocks="100"), "$.volumes.data.blocks: must be an integer"),
    (changed(blocks=1.5), "$.volumes.data.blocks: must be an integer"),
    (changed(blocks=True), "$.volumes.data.blocks: must be an integer"),
    (changed(blocks=MAX_INTEGER + 1), f"$.volumes.data.blocks: must be at most {MAX_INTEGER}"),
    (changed(free_blocks=101), "$.volumes.data.free_blocks: must be at most blocks, 100"),
    (
        changed(available_blocks=51),
        "$.volumes.data.available_blocks: must be at most free_blocks, 50",
    ),
    (
        changed(withheld_blocks=51),
        "$.volumes.data.withheld_blocks: must be at most free_blocks, 50",
    ),
    (
        changed(inodes=9),
        '$.volumes.data: key "free_inodes" is missing: inodes and free_inodes go together',
    ),
    (
        changed(free_inodes=9),
        '$.volumes.data: key "inodes" is missing: inodes and free_inodes go together',
    ),
    (
        changed(inodes=9, free_inodes=10),
        "$.volumes.data.free_inodes: must be at most inodes, 9",
    ),
    (changed(inodes=0, free_inodes=1), "$.volumes.data.free_inodes: must be at most inodes, 0"),
    (
        changed(inodes=-1, free_inodes=0),
        "$.volumes.data.inodes: must not be negative",
    ),
    (
        changed(inodes=None, free_inodes=0),
        "$.volumes.data.inodes: must be an integer",
    ),
    (changed(file_system=7), "$.volumes.data.file_system: must be an object"),
    (changed(file_system={}), '$.volumes.data.file_system: key "kind" is missing'),
    (
        changed(file_system={"kind": "zfs", "block": "x"}),
        "$.volumes.data.file_system.block: must be an integer",
    ),
    (
        changed(file_system={"kind": "ext4", "inode": 200}),
        "$.volumes.data.file_system: no ext4 has inode=200 and blocks of 4096 bytes",
    ),
    (
        changed(file_system={"kind": "btrfs", "profile": 1}),
        "$.volumes.data.file_system.profile: must be a string",
    ),
    (
        changed(file_system={"kind": "btrfs", "features": ["x", 1]}),
        "$.volumes.data.file_system.features[1]: must be a string",
    ),
    ({"blobs": {}}, "$.blobs: must be an array"),
    ({"blobs": [A, "sha256:12"]}, "$.blobs[1]: is no digest"),
    ({"blobs": [7]}, "$.blobs[0]: is no digest"),
    ({"partial": []}, "$.partial: must be an object"),
    ({"partial": {"x": 1}}, "$.partial.x: is no digest"),
    ({"partial": {A: -1}}, f'$.partial["{A}"]: must not be negative'),
    ({"installed": "shop.json"}, "$.installed: must be an array"),
    ({"installed": [""]}, "$.installed[0]: must be the path of a file"),
    ({"installed": [7]}, "$.installed[0]: must be the path of a file"),
    ({"engine": 7}, "$.engine: must be an object"),
    ({"engine": {"store": "x"}}, '$.engine: key "keeps_blobs" is missing'),
    ({"engine": {"store": "x", "keeps_blobs": 1}}, "$.engine.keeps_blobs: must be true or false"),
    ({"engine": {"keeps_blobs": True}}, '$.engine: key "store" is missing'),
    ({"engine": {"store": "", "keeps_blobs": True, "digests": [1]}}, "$.engine.digests[0]: is no"),
]


@pytest.mark.parametrize(("more", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_what_is_wrong_is_refused(more: dict[str, object], message: str) -> None:
    with pytest.raises(DocumentError) as raised:
        loads(**more)
    assert str(raised.value).startswith(f"device.json: {message}")


@pytest.mark.parametrize("number", [99, 100, 101])
def test_features_of_a_file_system_are_bounded(number: int) -> None:
    names = tuple(map(str, range(number)))
    shape = {"kind": "zfs", "features": names}
    with refused_if(number > 100, DocumentError, "features: has more than 100 entries"):
        device, _ = loads(**changed(file_system=shape))
        assert device.volumes["data"].file_system == FileSystemShape("zfs", {}, names)


@pytest.mark.parametrize(
    "key", ["volumes", "store_root", "docker_root", "block_size", "blocks", "free_blocks"]
)
def test_what_is_missing_is_named(key: str) -> None:
    bare = document()
    inner = bare if key in bare else bare["volumes"]["data"]
    del inner[key]
    with pytest.raises(DocumentError, match=f'key "{key}" is missing'):
        device_file.loads(json.dumps(bare).encode(), "device.json")
    assert not Draft202012Validator(SCHEMA).is_valid(bare)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^device\.json: "):
        device_file.loads(raw, "device.json")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.just(A)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from([*SCHEMA["properties"]]), json_values)
def test_what_is_read_has_the_form_of_the_schema(key: str, value: object) -> None:
    changed_document = document(**{key: value})
    try:
        device_file.loads(json.dumps(changed_document).encode(), "device.json")
    except DocumentError:
        return
    Draft202012Validator(SCHEMA).validate(changed_document)


digests = st.lists(st.sampled_from([Layer(str(n)).digest for n in range(9)]), unique=True)


@given(digests, digests, digests, st.booleans(), st.sampled_from(["x", "y"]))
def test_what_is_written_is_read_again(
    blobs: list[str],
    chains: list[str],
    partial: list[str],
    keeps: bool,  # noqa: FBT001
    parent: str,
) -> None:
    device = Device(
        "device.json",
        "arm",
        {
            "x": Volume(4096, 9, 8, 7, 1),
            "y": Volume(1 << 20, 3, 2, 1, 0, 4096, 5, 4),
        },
        "x",
        "y",
        parent,
        "y",
        client_store_root="y" if keeps else None,
        layers_root="x" if keeps else None,
        blobs=dict.fromkeys(blobs),
        partial={f"h/r@{one}" if keeps else one: 5 for one in partial},
        engine=EngineLayers("overlay2", keeps, frozenset(chains), frozenset(), frozenset(blobs)),
    )
    raw = device_file.dumps(device)
    assert device_file.loads(raw, "device.json") == (device, ())
    Draft202012Validator(SCHEMA).validate(json.loads(raw))


def test_what_is_usual_of_a_volume_is_not_written() -> None:
    shape = FileSystemShape("btrfs", {"nodesize": 4096}, ("mixed",))
    volumes = {
        "a": Volume(4096, 9, 8, 7, fragment_size=4096),
        "b": Volume(4096, 9, 8, 7, 1, 512, 5, 4, shape),
    }
    raw = device_file.dumps(Device("d", None, volumes, "a", "b", "a", "b"))
    usual = {"block_size": 4096, "blocks": 9, "free_blocks": 8, "available_blocks": 7}
    more = {"withheld_blocks": 1, "fragment_size": 512, "inodes": 5, "free_inodes": 4}
    kind = {"kind": "btrfs", "nodesize": 4096, "features": ["mixed"]}
    assert json.loads(raw) == {
        "volumes": {"a": usual, "b": usual | more | {"file_system": kind}},
        "store_root": "a",
        "docker_root": "b",
        "blobs": [],
    }


inodes_and_free = st.tuples(*[st.integers(0, MAX_INTEGER)] * 2).map(
    lambda pair: (max(pair), min(pair))
)


shapes = st.sampled_from(
    [
        parse_file_system("ext4,block=1024,cluster=2048,inode=128"),
        parse_file_system("xfs,inode=1024"),
        parse_file_system("btrfs,nodesize=4096,profile=single"),
        FileSystemShape("btrfs", {}, ("compress", "mixed")),
        FileSystemShape("zfs", {}),
    ]
)


@given(inodes_and_free, shapes)
def test_inodes_and_file_systems_are_read_again(
    inodes: tuple[int, int], shape: FileSystemShape
) -> None:
    there, free = inodes
    disk = Volume(4096, 9, 8, 7, inodes=there, free_inodes=free, file_system=shape)
    device = Device("device.json", "arm", {"x": disk}, "x", "x", "x", "x")
    raw = device_file.dumps(device)
    assert device_file.loads(raw, "device.json") == (device, ())
    Draft202012Validator(SCHEMA).validate(json.loads(raw))


@pytest.mark.parametrize("path", sorted(DEVICES.glob("*.json")), ids=str)
def test_examples_are_devices(path: Path) -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(path.read_text()))
    device, _ = device_file.load(str(path))
    assert not device.notes
    assert device.architecture
    # What an example says is what the program would write.
    assert device_file.dumps(device) == path.read_bytes()


def test_schema_is_one() -> None:
    for name in ("device", "check", "diff"):
        text = resources.files("layerscan").joinpath("schemas", f"{name}.schema.json").read_text()
        Draft202012Validator.check_schema(json.loads(text))
