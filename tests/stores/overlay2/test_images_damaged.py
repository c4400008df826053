"""Damaged and hostile records of images: their configs and their names."""

import json
import os
import shutil
from pathlib import Path

import pytest

from layerscan.stores.overlay2.store import Overlay2Store
from tests.builders.overlay2_case import HEX, LINK, Case, check, replace_by


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "docker")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscan.stores.readings.PAUSES", (0,))


# Configs.


def test_config_that_does_not_hash_to_its_name(case: Case) -> None:
    path = case.config()
    path.write_bytes(path.read_bytes() + b" ")
    what = "does not hash to its name: it was damaged or tampered with; left out: one:1"
    check(case, {path: what}, {"two:1"})


def test_image_without_a_name_is_named_by_its_id(case: Case) -> None:
    case.store.untag("one:1")
    case.store.repositories.pop("one")
    case.store._write_repositories()
    path = case.config()
    path.write_bytes(b"")
    what = "does not hash to its name: it was damaged or tampered with; left out: "
    check(case, {path: what + case.image_one[:19]}, {"two:1"})


def test_name_of_an_image_that_is_not_there(case: Case) -> None:
    case.config().unlink()
    check(case, {case.config(): "is missing; left out: one:1"}, {"two:1"})


def with_rootfs(rootfs: object) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()


NO_DIGEST = "is no digest (sha256: and 64 lower-case hex digits, or sha512: and 128)"
NOT_PLAIN = "is no image config: its platform is no plain text"

CONFIGS = [
    (b"", "is not JSON: Expecting value at line 1 column 1"),
    (b"{\n", "is not JSON: Expecting property name enclosed in double quotes at line 2 column 1"),
    (b"\xff\xfe{\0}\0", "is not UTF-8 at byte 0"),
    (b"[" * 100_000, "is nested too deeply"),
    (b'{"a":' * 100_000, "is nested too deeply"),
    (b"1" * 10_000, "$: must be an object"),
    (b"[]", "$: must be an object"),
    (b"null", "$: must be an object"),
    (b"{}", '$: key "rootfs" is missing'),
    (with_rootfs([]), "$.rootfs: must be an object"),
    (with_rootfs({"diff_ids": {}}), "$.rootfs.diff_ids: must be an array"),
    (with_rootfs({"diff_ids": "sha256"}), "$.rootfs.diff_ids: must be an array"),
    (with_rootfs({"diff_ids": [1]}), f"$.rootfs.diff_ids[0]: {NO_DIGEST}"),
    (with_rootfs({"diff_ids": [[]]}), f"$.rootfs.diff_ids[0]: {NO_DIGEST}"),
    (
        with_rootfs({"diff_ids": [f"sha256:{HEX}", f"sha512:{HEX}"]}),
        f"$.rootfs.diff_ids[1]: {NO_DIGEST}",
    ),
    (b'{"architecture":"\\u001b[31m","rootfs":{}}', NOT_PLAIN),
    (b'{"architecture":["amd64"],"rootfs":{}}', "$.architecture: must be a string"),
    (b'{"os":7,"rootfs":{}}', "$.os: must be a string"),
    (b'{"os":"\\ud800","rootfs":{}}', NOT_PLAIN),
    (b'{"variant":"two words","rootfs":{}}', NOT_PLAIN),
    (b'{"architecture":"a/b","rootfs":{}}', NOT_PLAIN),
    (b'{"variant":"%s","rootfs":{}}' % (b"v" * 65), NOT_PLAIN),
]


@pytest.mark.parametrize(("content", "what"), CONFIGS)
def test_config_of_another_form(case: Case, content: bytes, what: str) -> None:
    path = case.replace_config(content)
    check(case, {path: f"{what}; left out: one:1"}, {"two:1"})


def test_config_that_is_too_long(case: Case) -> None:
    path = case.replace_config(b" " * (8 << 20) + b"{}")
    check(case, {path: "is longer than 8388608 bytes; left out: one:1"}, {"two:1"})


def test_config_with_a_hundred_thousand_layers(case: Case) -> None:
    path = case.replace_config(with_rootfs({"diff_ids": [f"sha256:{HEX}"] * 100_000}))
    what = "$.rootfs.diff_ids: has more than 10000 entries; left out: one:1"
    check(case, {path: what}, {"two:1"})


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_config_that_is_no_file(case: Case, kind: str) -> None:
    path = case.config()
    what = replace_by(path, kind)
    folder = path.parent
    check(
        case,
        {path: f"{what}; left out: one:1", folder: "'moved' is no image id"},
        {"two:1"},
    )


def test_name_in_imagedb_that_is_no_image_id(case: Case) -> None:
    folder = os.fsencode(case.config().parent)
    Path(os.fsdecode(folder + b"/\xff\n\x1b")).touch()
    check(
        case,
        {case.config().parent: "'\\udcff\\n\\x1b' is no image id"},
        {"one:1", "two:1"},
    )


def test_imagedb_that_is_lost(case: Case) -> None:
    path = case.config().parent
    shutil.rmtree(path)
    check(case, {path: "is missing; left out: one:1, two:1"}, set())
    path.symlink_to("/etc")
    check(case, {path: f"{LINK}; left out: one:1, two:1"}, set())


# Names.


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not JSON: Expecting value at line 1 column 1"),
        (b"[]", 'does not have the form {"Repositories": {…}}'),
        (b"{}", 'does not have the form {"Repositories": {…}}'),
        (b'{"Repositories":[]}', 'does not have the form {"Repositories": {…}}'),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_names_that_cannot_be_used_at_all(case: Case, content: bytes, what: str) -> None:
    case.names().write_bytes(content)
    store = Overlay2Store(case.store.root)
    assert [image.names for image in store.images()] == [(), ()]
    message = f"{case.names()}: {what}; no name of an image is known"
    assert [str(problem) for problem in store.problems] == [message]


def test_names_that_are_missing_or_too_long(case: Case) -> None:
    case.names().unlink()
    check(case, {case.names(): "is missing; no name of an image is known"}, set())
    with case.names().open("wb") as file:
        file.truncate((64 << 20) + 1)
    what = "is longer than 67108864 bytes; no name of an image is known"
    check(case, {case.names(): what}, set())


@pytest.mark.parametrize(
    ("repository", "entries", "what"),
    [
        ("x", [], "the names of 'x' are no JSON object"),
        ("x", {"x": "{one}"}, "the name 'x' has neither tag nor digest"),
        ("x", {"X\n:1": "{one}"}, "no image reference: 'X\\n:1': "),
        ("x", {"x:1": HEX}, f"x:1 names no image id but '{HEX}'"),
        ("x", {"x:1": None}, "x:1 names no image id but None"),
        ("x", {"one:1": "{two}"}, "one:1 names two images, {one} and {two}"),
        ("x", {"docker.io/library/one:1": "{two}"}, "one:1 names two images, {one} and {two}"),
    ],
)
def test_entry_that_names_no_image(case: Case, repository: str, entries: object, what: str) -> None:
    ids = {"{one}": case.image_one, "{two}": case.image_two}
    document = json.dumps({"Repositories": {**case.store.repositories, repository: entries}})
    for key, value in ids.items():
        document, what = document.replace(key, value), what.replace(key, value)
    case.names().write_text(document)
    store = Overlay2Store(case.store.root)
    assert len(store.images()) == 2
    (problem,) = store.problems
    assert problem.where == os.fspath(case.names())
    assert problem.what.startswith(what)
    assert problem.what.isprintable()
    names = sorted(name.familiar for image in store.images() for name in image.names if name.tag)
    assert names == ["one:1", "two:1"]


def test_names_of_images_that_were_lost_are_all_told(case: Case) -> None:
    document = {"Repositories": {"a": {"a:1": f"sha256:{HEX}", "a:2": f"sha256:{HEX}"}}}
    case.names().write_text(json.dumps(document))
    check(case, {case.config().with_name(HEX): "is missing; left out: a:1"}, set())
