"""Damaged and hostile stores: what fails is named, the rest is read."""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.digest import chain_id, is_digest
from layerscan.errors import StoreError
from layerscan.stores import overlay2
from layerscan.stores.overlay2 import Overlay2Store
from tests.builders.overlay2 import BuiltLayer, StoreBuilder, sha256
from tests.builders.tree import File
from tests.builders.user import as_nobody

LINK = "is a symbolic link, which is not followed here"
OPEN = 0o755
HEX = "0123456789abcdef" * 4


@dataclass
class Case:
    """A store with two images on one base, ``one:1`` and ``two:1``."""

    store: StoreBuilder
    base: BuiltLayer
    one: BuiltLayer
    two: BuiltLayer
    image_one: str
    image_two: str

    @classmethod
    def build(cls, root: Path) -> "Case":
        store = StoreBuilder(root)
        base = store.layer(None, File("base", size=10))
        one, two = (store.layer(base, File(name, size=20)) for name in ("one", "two"))
        ids = [
            store.image(
                [base, layer], names=[f"{name}:1"], pushed={f"docker.io/library/{name}": None}
            )
            for name, layer in (("one", one), ("two", two))
        ]
        return cls(store, base, one, two, *ids)

    def layer(self, name: str) -> Path:
        """A file of the layer that only ``one:1`` has."""
        return Path(self.store.layer_path(self.one, name))

    def folder(self, name: str = "") -> Path:
        """A file in the folder of that layer in overlay2, or the folder."""
        return Path(self.store.folder_path(self.one), name)

    def names(self) -> Path:
        return Path(self.store.repositories_path())

    def config(self) -> Path:
        return Path(self.store.config_path(self.image_one))

    def known(self) -> Path:
        return Path(self.store.v2metadata_path(self.one.diff_id))

    def replace_config(self, content: bytes) -> Path:
        """Give ``one:1`` another config, which hashes to its name."""
        image_id = self.store.raw_image(content)
        os.unlink(self.config())
        self.store.repositories = {"one": {"one:1": image_id}, "two": {"two:1": self.image_two}}
        self.store._write_repositories()
        return Path(self.store.config_path(image_id))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path / "docker")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay2, "PAUSES", (0,))


def check(case: Case, expected: dict[Path, str], survivors: set[str]) -> None:
    """Read the store: exactly these problems, exactly these images by name."""
    store = Overlay2Store(case.store.root)
    names = {name.familiar for image in store.images() for name in image.names if name.tag}
    found = {problem.where: problem.what for problem in store.problems}
    assert found == {os.fspath(path): what for path, what in expected.items()}
    assert len(found) == len(store.problems)
    assert names == survivors
    assert all(what.isprintable() for what in found.values())


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
    ("size", b"9" * 4000, "holds no size in bytes but b'" + "9" * 78 + "…"),
    ("cache-id", b"", "holds no cache id but ''"),
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


def replace_by(path: Path, kind: str) -> str:
    """Put another kind of thing in a file's place. Returns what is said of it."""
    moved = path.with_name("moved")
    path.rename(moved)
    if kind == "missing":
        return "is missing"
    if kind == "link":
        path.symlink_to(moved)
        return LINK
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        here = os.open(path.parent, os.O_RDONLY)
        # A socket's path is short: from the folder, which may be deep.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
    return "is no regular file"


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


CONFIGS = [
    (b"", "is no JSON: Expecting value at line 1 column 1"),
    (b"{\n", "is no JSON: Expecting property name enclosed in double quotes at line 2 column 1"),
    (b"\xff\xfe{\0}\0", "is no UTF-8, at byte 0"),
    (b"[" * 100_000, "is no JSON of this kind: nested too deeply"),
    (b'{"a":' * 100_000, "is no JSON of this kind: nested too deeply"),
    (b"1" * 10_000, "is no JSON of this kind: a number is too long"),
    (b"[]", "is no image config: no JSON object"),
    (b"null", "is no image config: no JSON object"),
    (b"{}", "is no image config: rootfs is None"),
    (with_rootfs([]), "is no image config: rootfs is []"),
    (with_rootfs({"diff_ids": {}}), "is no image config: rootfs.diff_ids is {}"),
    (with_rootfs({"diff_ids": "sha256"}), "is no image config: rootfs.diff_ids is 'sha256'"),
    (with_rootfs({"diff_ids": [1]}), "is no image config: rootfs.diff_ids[0] is 1"),
    (with_rootfs({"diff_ids": [[]]}), "is no image config: rootfs.diff_ids[0] is []"),
    (
        with_rootfs({"diff_ids": [f"sha256:{HEX}", f"sha512:{HEX}"]}),
        f"is no image config: rootfs.diff_ids[1] is 'sha512:{HEX}'",
    ),
    (
        b'{"architecture":"\\u001b[31m","rootfs":{}}',
        "is no image config: architecture is '\\x1b[31m'",
    ),
    (b'{"architecture":["amd64"],"rootfs":{}}', "is no image config: architecture is ['amd64']"),
    (b'{"os":7,"rootfs":{}}', "is no image config: os is 7"),
    (b'{"os":"\\ud800","rootfs":{}}', "is no image config: os is '\\ud800'"),
    (b'{"variant":"two words","rootfs":{}}', "is no image config: variant is 'two words'"),
    (
        b'{"variant":"%s","rootfs":{}}' % (b"v" * 65),
        "is no image config: variant is '" + "v" * 65 + "'",
    ),
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
    check(
        case,
        {path: "is no image config: it has 100000 layers; left out: one:1"},
        {"two:1"},
    )


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
        (b"", "is no JSON: Expecting value at line 1 column 1"),
        (b"[]", 'does not have the form {"Repositories": {…}}'),
        (b"{}", 'does not have the form {"Repositories": {…}}'),
        (b'{"Repositories":[]}', 'does not have the form {"Repositories": {…}}'),
        (b"[" * 100_000, "is no JSON of this kind: nested too deeply"),
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


# Digests.

GOOD = {"Digest": f"sha256:{HEX}", "SourceRepository": "docker.io/library/one", "HMAC": ""}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no JSON: Expecting value at line 1 column 1"),
        (b"{}", "is no JSON list of digests"),
        (b"[" * 100_000, "is no JSON of this kind: nested too deeply"),
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


# A user who may not read everything.


@pytest.fixture
def readable() -> Iterator[Case]:
    """A store that everybody may read, where everybody gets to."""
    with tempfile.TemporaryDirectory() as folder:
        case = Case.build(Path(folder) / "docker")
        for path, _, files in os.walk(folder):
            os.chmod(path, OPEN)
            for name in files:
                os.chmod(os.path.join(path, name), 0o644)
        yield case
        for path, _, _ in os.walk(folder):
            os.chmod(path, 0o700)


def test_store_that_may_not_be_read(readable: Case) -> None:
    root = readable.store.root

    def opened() -> str:
        try:
            Overlay2Store(root)
        except StoreError as error:
            return str(error)
        return "opened"

    assert as_nobody(opened) == "opened"
    os.chmod(readable.store.path("image"), 0)
    assert as_nobody(opened) == f"{root}/image: permission denied; use sudo"
    os.chmod(readable.store.path("image"), OPEN)
    os.chmod(root, 0)
    assert as_nobody(opened) == f"{root}: permission denied; use sudo"
    os.chmod(root, OPEN)
    os.chmod(os.path.dirname(root), 0)
    assert as_nobody(opened) == f"{root}: permission denied; use sudo"
    os.chmod(os.path.dirname(root), OPEN)


def test_parts_that_may_not_be_read(readable: Case) -> None:
    os.chmod(readable.layer("size"), 0)
    os.chmod(readable.known(), 0)

    def read() -> tuple[int, list[str]]:
        store = Overlay2Store(readable.store.root)
        return len(store.images()), [str(problem) for problem in store.problems]

    count, problems = as_nobody(read)
    denied = "permission denied; use sudo"
    assert count == 1
    assert problems == sorted(
        [
            f"{readable.layer('size')}: {denied}; left out: one:1",
            f"{readable.known()}: {denied}; no digest is known of layer {readable.one.diff_id}",
        ]
    )


def test_folder_of_all_layers_that_may_not_be_read(readable: Case) -> None:
    path = Path(readable.store.image_path("layerdb"))
    path.chmod(0)

    def read() -> list[str]:
        store = Overlay2Store(readable.store.root)
        store.images()
        return [str(problem) for problem in store.problems]

    denied = "permission denied; use sudo; left out: one:1, two:1"
    assert as_nobody(read) == [f"{path}: {denied}"]


# Anything at all.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.build(tmp_path_factory.mktemp("fuzz") / "docker")


@contextmanager
def changed(path: str, change: Callable[[bytes], bytes]) -> Iterator[None]:
    content = Path(path).read_bytes()
    try:
        Path(path).write_bytes(change(content))
        yield
    finally:
        Path(path).write_bytes(content)


def metadata_files(root: str) -> list[str]:
    return sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if not os.path.islink(os.path.join(folder, name))
    )


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
