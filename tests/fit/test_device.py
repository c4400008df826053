"""Device files: read, written, refused; and this machine as one."""

from __future__ import annotations

import errno
import io
import json
import os
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit import device_file, live
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.jsondoc import MAX_INTEGER
from tests.builders.device_case import A, B, document, loads
from tests.builders.fit_apps import Layer
from tests.builders.overlay2 import StoreBuilder, blob_digest
from tests.builders.tree import File
from tests.docs.reader import DEVICES
from tests.requirements import require, require_root

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
        volumes={"a": disk, "b": disk | {"withheld_blocks": 7}, "c": disk},
        store_root="a",
        docker_root="b",
        docker_root_parent="c",
        partial={B: 17},
        installed=["shop.json"],
        engine={"store": "containerd", "keeps_blobs": True, "chain_ids": [A], "other": 1},
        something="else",
    )
    assert device.volumes["b"].withheld_blocks == 7
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
        {"x": Volume(4096, 9, 8, 7, 1), "y": Volume(512, 3, 2, 1)},
        "x",
        "y",
        parent,
        "y",
        blobs=dict.fromkeys(blobs),
        partial=dict.fromkeys(partial, 5),
        engine=EngineLayers("overlay2", keeps, frozenset(chains), frozenset(), frozenset(blobs)),
    )
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


# This machine.


def here(tmp_path: Path, **more: bool) -> Device:
    options = {"with_engine": False} | more
    return live.this_device(str(tmp_path / "store"), str(tmp_path / "docker"), **options)


def test_disk_is_what_statvfs_says(tmp_path: Path) -> None:
    device = here(tmp_path)
    found = os.statvfs(tmp_path)
    assert device.store.block_size == found.f_bsize
    assert device.store.blocks == found.f_blocks
    assert device.store is device.docker
    assert device.store_parent == device.docker_parent == device.store_root
    mount_point = device.store_root
    assert os.path.ismount(mount_point)
    assert str(tmp_path).startswith(mount_point)


def test_folders_that_are_missing_are_told(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    device = here(tmp_path)
    assert device.notes == (
        f"{tmp_path}/store: there is no such folder yet; its disk is that of {tmp_path}",
    )


def test_file_system_that_counts_in_other_units_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "store").mkdir()
    real = os.statvfs(tmp_path)
    # As ZFS has it: f_bsize, f_frsize, and the rest.
    odd = os.statvfs_result((131_072, 512, *real[2:], *real[10:11]))
    monkeypatch.setattr(os, "statvfs", lambda _: odd)
    device = here(tmp_path)
    assert device.store.block_size == 131_072
    assert [
        "units of 512 bytes, but clients multiply with its block size of 131072" in note
        for note in device.notes
    ] == [True, True]


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("")
    with pytest.raises(LayerscanError, match="docker: is not a folder"):
        here(tmp_path)


def test_disk_that_cannot_be_asked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(os, "statvfs", gone)
    with pytest.raises(LayerscanError) as raised:
        here(tmp_path)
    assert str(raised.value) == f"{tmp_path}: Input/output error"


@pytest.mark.parametrize("given", ["no number", None])
def test_reserve_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    def reserve(_name: str, **_how: str) -> io.StringIO:
        if given is None:
            raise PermissionError(errno.EACCES, "Permission denied")
        return io.StringIO(given)

    monkeypatch.setattr(live, "open", reserve, raising=False)
    with pytest.raises(LayerscanError, match="/reserved_clusters: cannot be read: ") as raised:
        here(tmp_path)
    assert str(raised.value).startswith("/sys/fs/ext4/")


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_store_whose_blobs_are_no_folder_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "store" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(LayerscanError) as raised:
        here(tmp_path)
    assert str(raised.value) == f"{tmp_path}/store/blobs/sha256: Not a directory"


def test_volumes_are_told_apart(tmp_path: Path) -> None:
    shared = "/dev/shm"
    apart = os.path.isdir(shared) and os.stat(shared).st_dev != os.stat(tmp_path).st_dev
    require(apart, f"{shared} is no file system of its own")
    device = live.this_device(str(tmp_path / "store"), "/dev/shm/docker", with_engine=False)
    assert device.docker_root == "/dev/shm"
    assert device.docker_parent == "/dev/shm" != device.store_parent
    mounted = live.this_device(str(tmp_path / "store"), "/dev/shm", with_engine=False)
    assert mounted.docker_root == "/dev/shm" != mounted.docker_parent


def test_blobs_are_listed_with_their_lengths(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (folder / A.removeprefix("sha256:")).write_bytes(b"seventeen letters")
    (folder / "stray").write_bytes(b"")
    (folder / B.removeprefix("sha256:")).symlink_to("/etc/passwd")
    device = here(tmp_path)
    assert set(device.blobs) == {A, B}
    assert device.has_blob(A, 17)
    assert not device.has_blob(A, 18)
    # By its name it is there, for the client that looks at nothing else.
    assert device.has_name(B)
    assert not device.has_blob(B, os.stat("/etc/passwd").st_size)


def ingest(tmp_path: Path, name: str, reference: bytes, data: bytes | None) -> None:
    folder = tmp_path / "store" / "ingest" / sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "ref").write_bytes(reference)
    if data is not None:
        (folder / "data").write_bytes(data)


def test_blobs_fetched_in_part_are_found(tmp_path: Path) -> None:
    ingest(tmp_path, "a", f"registry.example/fleet/web@{A}".encode(), b"12345")
    ingest(tmp_path, "b", f"registry.example/fleet/web@{B}".encode(), None)
    ingest(tmp_path, "c", b"\xff", b"1")
    (tmp_path / "store" / "ingest" / "stray").write_bytes(b"")
    assert here(tmp_path).partial == {A: 5}
    folder = tmp_path / "store" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (folder / A.removeprefix("sha256:")).write_bytes(b"12345")
    assert here(tmp_path).partial == {}


def test_reference_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    ingest(tmp_path, "a", b"x" * 5000, b"1")
    with pytest.raises(LayerscanError, match="is longer than 4096 bytes"):
        here(tmp_path)


def test_engine_is_read_through_its_store(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "docker")
    layer = store.layer(None, File("a", size=10))
    image = store.image([layer], names=["x:1"], pushed={"docker.io/library/x": None})
    device = here(tmp_path, with_engine=True)
    assert device.engine == EngineLayers(
        "overlay2",
        keeps_blobs=False,
        chain_ids=frozenset([layer.chain_id]),
        digests=frozenset([blob_digest(layer.diff_id)]),
        image_ids=frozenset([image]),
    )
    assert here(tmp_path).engine is None


def test_engine_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    device = here(tmp_path, with_engine=True)
    assert device.engine is None
    assert "what the engine has is not known" in device.notes[-1]


@pytest.mark.root
def test_ext4_withholds_blocks(tmp_path: Path) -> None:
    require_root()
    from tests.conftest import require_programs
    from tests.engines import loop

    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), 64 << 20, "-b", "4096", "-m", "0") as disk:
        device = live.this_device(f"{disk}/store", f"{disk}/docker", with_engine=False)
        found = os.statvfs(disk)
        assert device.store.withheld_blocks == found.f_bfree - found.f_bavail > 0
        assert device.store_root == disk
