"""Damaged and hostile layers, digests and anything: what fails is named, the rest is read."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.digest import chain_id, is_digest
from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.documents import sha256
from tests.builders.overlay2_case import HEX, LINK, Case, check, replace_by
from tests.builders.stores_changes import changed, metadata_files
from tests.builders.tree import File


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "docker")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0,))


# A file of a layer, replaced.

LAYER_FILES = [
    ("diff", b"", "holds '', not {one.diff_id}"),
    ("diff", HEX.encode(), "holds '" + HEX + "', not {one.diff_id}"),
    ("diff", b"\x1b[2J", "holds '\\x1b[2J', not {one.diff_id}"),
    ("diff", b"\xff" * 9, "holds '" + "\ufffd" * 9 + "', not {one.diff_id}"),
    ("diff", b"x" * 5000, "is longer than 4096 bytes"),
    ("parent", b"sha256:" + HEX.encode(), "holds 'sha256:" + HEX + "', not {base.chain_id}"),
    ("size", b"", "holds no size in bytes but b''"),
    ("size", b"-5", "holds no size in bytes but b'-5'"),
    ("size", b"1.5", "holds no size in bytes but b'1.5'"),
    ("size", b"0x10", "holds no size in bytes but b'0x10'"),
    ("size", b"12\n", "holds no size in bytes but b'12\\n'"),
    ("size", "٣".encode(), "holds no size in bytes but b'\\xd9\\xa3'"),
    ("size", b"9223372036854775808", "holds no size in bytes but b'9223372036854775808'"),
    ("size", b"9" * 4000, "holds no size in bytes but b'" + "9" * 98 + "…"),
    ("cache-id", b"", "holds no cache id but ''"),
    (
        "tar-split.json.gz",
        b"",
        "is empty, as after a loss of power: the layer cannot be pushed or saved again",
    ),
    ("cache-id", b"..", "holds no cache id but '..'"),
    ("cache-id", b"l", "holds no cache id but 'l'"),
    ("cache-id", b"../../etc", "holds no cache id but '../../etc'"),
    ("cache-id", b"/etc", "holds no cache id but '/etc'"),
    ("cache-id", b"a\0b", "holds no cache id but 'a\\x00b'"),
    ("cache-id", HEX.encode() + b"-init", "holds no cache id but '" + HEX + "-init'"),
    ("cache-id", HEX.upper().encode(), "holds no cache id but '" + HEX.upper() + "'"),
]


@pytest.mark.parametrize(("name", "content", "what"), LAYER_FILES)
def test_damaged_file_of_a_layer(case: Case, name: str, content: bytes, what: str) -> None:
    case.layer(name).write_bytes(content)
    what = what.replace("{one.diff_id}", case.one.diff_id)
    what = what.replace("{base.chain_id}", case.base.chain_id)
    check(case, {case.layer(name): f"{what}; left out: one:1"}, {"two:1"})


def test_largest_size_is_taken(case: Case) -> None:
    case.layer("size").write_bytes(b"9223372036854775807")
    check(case, {}, {"one:1", "two:1"})


@pytest.mark.parametrize("name", ["diff", "parent", "size", "cache-id", "tar-split.json.gz"])
@pytest.mark.parametrize("kind", ["missing", "link", "folder", "fifo", "socket"])
def test_file_of_a_layer_that_is_none(case: Case, name: str, kind: str) -> None:
    path = case.layer(name)
    what = replace_by(path, kind)
    check(case, {path: f"{what}; left out: one:1"}, {"two:1"})


def test_bottom_layer_with_a_parent(case: Case) -> None:
    path = Path(case.store.layer_path(case.base, "parent"))
    path.write_text(case.one.chain_id)  # a circle, if it were followed
    what = "is there, but the layer is a bottom layer; left out: one:1, two:1"
    check(case, {path: what}, set())


@pytest.mark.parametrize("where", ["layerdb", "layerdb/sha256"])
def test_all_layers_are_lost(case: Case, where: str) -> None:
    path = Path(case.store.image_path(where))
    path.rename(path.with_name("moved"))
    check(case, {path: "is missing; left out: one:1, two:1"}, set())
    path.symlink_to("moved")
    check(case, {path: f"{LINK}; left out: one:1, two:1"}, set())


def test_all_folders_are_lost(case: Case) -> None:
    path = Path(case.store.path("overlay2"))
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")
    check(case, {path: f"{LINK}; left out: one:1, two:1"}, set())


def test_layer_whose_record_is_no_folder(case: Case) -> None:
    path = case.layer("x").parent
    path.rename(path.with_name(path.name + "-removing"))
    check(case, {path: "is missing; left out: one:1"}, {"two:1"})
    path.write_text("x")
    check(case, {path: "is no folder; left out: one:1"}, {"two:1"})


@pytest.mark.parametrize("inner", ["", "diff"])
def test_layer_whose_folder_is_none(case: Case, inner: str) -> None:
    path = case.folder(inner)
    path.rename(case.store.path("moved"))
    check(case, {path: "is missing; left out: one:1"}, {"two:1"})
    path.symlink_to("/etc")
    check(case, {path: f"{LINK}; left out: one:1"}, {"two:1"})
    path.unlink()
    path.write_text("x")
    check(case, {path: "is no folder; left out: one:1"}, {"two:1"})


def test_two_layers_that_claim_one_folder(case: Case) -> None:
    case.layer("cache-id").write_text(case.two.cache_id)
    first = min((case.image_one, case.one), (case.image_two, case.two))[1]
    what = f"is claimed by 2 layers, {first.chain_id} first; left out: one:1, two:1"
    check(case, {Path(case.store.folder_path(case.two)): what}, set())


def test_many_images_lost_with_one_layer(case: Case) -> None:
    for name in "abcd":
        layer = case.store.layer(case.base, File(name))
        case.store.image([case.base, layer], names=[f"{name}:1", f"z{name}:1"])
    path = Path(case.store.layer_path(case.base, "size"))
    path.unlink()
    case.layer("size").unlink()
    check(
        case,
        {
            path: "is missing; left out: a:1, b:1, c:1 and 3 more",
            case.layer("size"): "is missing; left out: one:1",
        },
        set(),
    )


# Digests.

GOOD = {"Digest": f"sha256:{HEX}", "SourceRepository": "docker.io/library/one", "HMAC": ""}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not JSON: Expecting value at line 1 column 1"),
        (b"{}", "is no JSON list of digests"),
        (b"[" * 100_000, "is nested too deeply"),
        (b" " * (1 << 20) + b"[]", "is longer than 1048576 bytes"),
        (b"[null]", "entry 0 is no JSON object"),
        (json.dumps([GOOD, {}]).encode(), "Digest of entry 1 is None"),
        (json.dumps([{**GOOD, "Digest": "sha256:"}]).encode(), "Digest of entry 0 is 'sha256:'"),
        (
            json.dumps([{**GOOD, "SourceRepository": 1}]).encode(),
            "SourceRepository of entry 0 is 1",
        ),
        (
            json.dumps([{**GOOD, "SourceRepository": "A\n"}]).encode(),
            "SourceRepository of entry 0 is 'A\\n'",
        ),
    ],
)
def test_damaged_digests_leave_the_image_without(case: Case, content: bytes, what: str) -> None:
    case.known().write_bytes(content)
    what = f"{what}; no digest is known of layer {case.one.diff_id}"
    check(case, {case.known(): what}, {"one:1", "two:1"})
    images = {image.image_id: image for image in Overlay2Store(case.store.root).images()}
    first, second = images[case.image_one].digests["docker.io/library/one"]
    assert is_digest(first)
    assert second is None


def test_digests_that_are_no_file(case: Case) -> None:
    what = replace_by(case.known(), "fifo")
    what = f"{what}; no digest is known of layer {case.one.diff_id}"
    check(case, {case.known(): what}, {"one:1", "two:1"})


def test_folder_of_digests_that_is_none(case: Case) -> None:
    path = Path(case.store.image_path("distribution", "v2metadata-by-diffid"))
    path.rename(path.with_name("moved"))
    check(case, {}, {"one:1", "two:1"})
    path.symlink_to("moved")
    check(case, {path: f"{LINK}; no digest of a layer is known"}, {"one:1", "two:1"})


# Exact accounting.


@pytest.mark.parametrize("content", [b"", b"../x", b"A" * 25 + b"/", b"A" * 5000])
def test_damaged_link_matters_to_exact_accounting_only(case: Case, content: bytes) -> None:
    case.folder("link").write_bytes(content)
    check(case, {}, {"one:1", "two:1"})
    store = Overlay2Store(case.store.root, exact=True)
    names = [name.familiar for image in store.images() for name in image.names if name.tag]
    assert names == ["two:1"]
    (problem,) = store.problems
    assert problem.where == os.fspath(case.folder("link"))
    assert problem.what.endswith("; left out: one:1")


# Anything at all.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.build(tmp_path_factory.mktemp("fuzz") / "docker")


def consistent(case: Case, store: Overlay2Store) -> None:
    for image in store.images():
        path = case.store.config_path(image.image_id)
        assert sha256(Path(path).read_bytes()) == image.image_id
        parent = None
        for layer in image.layers:
            assert layer.chain_id == chain_id(parent, layer.diff_id)
            assert os.path.dirname(layer.folder) == case.store.path("overlay2")
            assert os.path.isdir(os.path.join(layer.folder, layer.content))
            assert layer.recorded_size is not None
            assert 0 <= layer.recorded_size < 1 << 63
            parent = layer.chain_id
        for digests in image.digests.values():
            assert len(digests) == len(image.layers)
            assert all(digest is None or is_digest(digest) for digest in digests)
        assert all(name.familiar.isprintable() for name in image.names)
    for problem in store.problems:
        assert str(problem).isprintable()


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), exact=st.booleans())
def test_any_damage_is_survived(shared: Case, data: st.DataObject, *, exact: bool) -> None:
    files = metadata_files(shared.store.root)
    path = data.draw(
        st.sampled_from(files).map(lambda path: os.path.relpath(path, shared.store.root))
    )

    def change(content: bytes) -> bytes:
        kind = data.draw(st.sampled_from(["flip", "cut", "replace", "insert"]))
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip" and content:
            flipped = content[place] ^ data.draw(st.integers(1, 255))
            return content[:place] + bytes([flipped]) + content[place + 1 :]
        if kind == "cut":
            return content[:place]
        piece = data.draw(st.binary(max_size=80))
        return piece if kind == "replace" else content[:place] + piece + content[place:]

    with changed(shared.store.path(path), change):
        consistent(shared, Overlay2Store(shared.store.root, exact=exact))
