"""Images in a store of Podman as sources: their layers' tars are made of the store's files."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from layerscan.errors import SourceError
from layerscan.oci import Platform
from layerscan.registry import RegistryClient
from layerscan.sources import containers_storage, open_source
from layerscan.stores import open_store
from tests.builders.containers_storage import BuiltImage, BuiltLayer, StoreBuilder
from tests.builders.sources_case import fault, images, read_all
from tests.builders.tree import Dir, File, Symlink, tar_of

NAME = "x.example/web:1"
OPS = (
    Dir("a"),
    File("a/one", b"1" * 512),
    File("a/empty"),
    Symlink("a/link", "one"),
    # Several pieces; what is no whole block of a tar has its rest in the tar-split.
    File("two", b"2" * (1 << 20)),
)


class Case:
    """A store with one image of one layer."""

    def __init__(self, root: Path) -> None:
        self.store = StoreBuilder(root)
        self.layer: BuiltLayer = self.store.layer(None, *OPS)
        self.image: BuiltImage = self.store.image([self.layer], names=[NAME], variant="v2")

    def source(self, wanted: str = NAME, more: str = "") -> str:
        return f"containers-storage:[{self.store.root}{more}]{wanted}"

    def file(self, path: str) -> Path:
        return Path(self.store.folder_path(self.layer, "diff", path))

    def write_split(self, *lines: object, end: bytes = b"\n") -> None:
        """Write another tar-split; what is no document is a line as it is."""
        raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
        content = gzip.compress(b"\n".join(raw) + end)
        Path(self.store.tar_split_path(self.layer)).write_bytes(content)

    def fault(self) -> str:
        """What is said of the layer."""
        message = fault(self.source())
        where = f"{self.source()}: layer {self.layer.diff_id}: "
        assert message.startswith(where)
        return message.removeprefix(where)

    def made(self) -> bytes:
        """The tar up to its end, where its digest shows to be another one."""
        with open_source(self.source(), RegistryClient) as source:
            ((layer,),) = (image.layers for image in source.images())
            pieces: list[bytes] = []
            with source.layer(layer) as chunks, pytest.raises(SourceError, match="another tar"):
                pieces.extend(chunks)
        return b"".join(pieces)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "storage")


def piece(content: bytes) -> dict[str, object]:
    return {"type": 2, "payload": base64.b64encode(content).decode()}


# Images.


def test_an_image_is_read(case: Case) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ((image, tars),) = read_all(case.source())
    assert image.name == case.source()
    assert image.platform == Platform("amd64", "linux", "v2")
    assert image.image_id == case.image.image_id
    config = case.store.document_path(case.image, case.image.image_id)
    assert image.documents == (os.stat(config).st_size,)
    (layer,) = image.layers
    assert layer.digest == layer.diff_id == case.layer.diff_id == tars[0]
    assert layer.archive_size == len(tar_of(*OPS))
    assert set(os.listdir("/proc/self/fd")) == before


def test_where_its_figures_are_from_is_noted(case: Case) -> None:
    with open_source(case.source(), RegistryClient) as source:
        assert list(source.notes) == []
        source.images()
        (note,) = source.notes
    assert note.startswith(f"{case.source()}: its layers are made from the store's files: ")


def test_the_digest_of_a_layer_may_be_computed_elsewhere(case: Case) -> None:
    with open_source(case.source(), RegistryClient) as source:
        (image,) = source.images()
        computed, other = hashlib.sha256(), hashlib.sha256(b"more")
        with source.layer(image.layers[0], computed) as chunks:
            list(chunks)
        assert f"sha256:{computed.hexdigest()}" == case.layer.diff_id
        with source.layer(image.layers[0], other) as chunks, pytest.raises(SourceError):
            list(chunks)


def test_forms_of_its_name(case: Case) -> None:
    digits = case.image.image_id.removeprefix("sha256:")
    for wanted in (NAME, digits, digits[:12], f"sha256:{digits}"):
        assert [one.image_id for one in images(case.source(wanted))] == [case.image.image_id]
    for more in ("+/run/storage", "+/run/storage:overlay.mountopt=nodev"):
        assert len(images(case.source(more=more))) == 1
    driver = case.source().replace("[", "[overlay@")
    assert len(images(driver)) == 1


@pytest.mark.parametrize(
    "wanted", ["x.example/web:2", "web:1", "1234567", "No Name", "[/x]", "sha256:"]
)
def test_an_image_that_is_not_there(case: Case, wanted: str) -> None:
    text = case.source(wanted)
    assert fault(text) == f"{text}: the store {case.store.root} has no such image"


def test_what_is_of_another_form(case: Case) -> None:
    assert fault(case.source("web\n")).endswith("is not of the form containers-storage:[[ROOT]]REF")


def test_the_store_of_the_machine_is_asked_without_a_root(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def opened(kind: str, root: str | None, *, exact: bool) -> object:
        asked.append((kind, root))
        return open_store(kind, case.store.root, exact=exact)

    monkeypatch.setattr(containers_storage, "open_store", opened)
    assert len(images(f"containers-storage:{NAME}")) == 1
    assert asked == [("containers-storage", None)]


def test_only_of_the_architectures_that_are_wanted(case: Case) -> None:
    assert len(images(case.source(), {"amd64", "arm"})) == 1
    refused = fault(case.source(), {"arm"})
    assert refused == f'{case.source()}: is for "amd64", which was not asked for'
    # Some digits may be of several images.
    first = case.image.image_id.removeprefix("sha256:")[:1]
    number = 0
    while not (other := arm_image(case, number)).image_id.startswith(f"sha256:{first}"):
        number += 1
    assert len(images(case.source(first))) > 1
    (found,) = images(case.source(first), {"arm64"})
    assert found.image_id == other.image_id
    assert 'is for "amd64", "arm64", which' in fault(case.source(first), {"arm"})


def arm_image(case: Case, number: int) -> BuiltImage:
    return case.store.image([case.layer], architecture="arm64", config={"author": str(number)})


def test_a_config_that_is_not_there_has_no_length(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "isfile", lambda _: False)
    ((found,)) = images(case.source())
    assert found.documents == (0,)


@pytest.mark.parametrize(
    "record", [{"diff-size": None}, {"diff-digest": None, "toc-digest": f"sha256:{'1' * 64}"}]
)
def test_a_layer_that_cannot_be_made_again(case: Case, record: dict[str, object]) -> None:
    case.layer.record.update(record)
    case.store.write_layers()
    if "toc-digest" in record:
        os.unlink(case.store.tar_split_path(case.layer))
    assert case.fault() == "has no tar-split in the store: it cannot be made a tar again"


# Files of the layer.


def test_a_file_that_was_changed(case: Case) -> None:
    case.file("a/one").write_bytes(b"0" * 512)
    what = "the store's files give another tar than was unpacked: they were changed"
    assert case.fault() == what
    case.file("a/one").write_bytes(b"1" * 511)
    assert case.fault() == "a/one has 511 bytes, not 512"
    case.file("a/one").unlink()
    assert case.fault().endswith("/diff/a/one: is missing")
    case.file("a/one").symlink_to("empty")
    assert "/diff/a/one: " in case.fault()


def test_no_link_leads_out_of_the_layer(case: Case, tmp_path: Path) -> None:
    case.file("a").rename(tmp_path / "elsewhere")
    case.file("a").symlink_to(tmp_path / "elsewhere")
    assert "/diff/a: " in case.fault()


def test_a_file_that_becomes_shorter(case: Case) -> None:
    with open_source(case.source(), RegistryClient) as source:
        (image,) = source.images()
        with source.layer(image.layers[0]) as chunks:
            while next(chunks) != b"2" * containers_storage._PIECE:
                pass
            os.truncate(case.file("two"), 300_000)
            with pytest.raises(SourceError, match="two became shorter while it was read"):
                list(chunks)


# The tar-split.


def test_what_a_tar_split_puts_together(case: Case) -> None:
    raw = base64.b64encode(os.fsencode("caf\udce9")).decode()
    case.file("caf\udce9").write_bytes(b"raw")
    case.write_split(
        piece(b"head"),
        b"",
        {"type": 1, "name": "a/one", "size": 512, "payload": "AAAA"},
        {"type": 1, "name": "./a/../a//one", "size": 512},
        {"type": 1, "name": "/../a/one", "size": 512},
        {"type": 1, "name": "none"},
        {"type": 1, "name": "none", "size": 0},
        {"type": 1, "name": None, "size": None},
        {"type": 1, "name": "none", "size": -1},
        {"type": 1, "name": "none", "name_raw": raw, "size": 3},
        {"type": 2, "payload": None},
        {"type": 2},
        piece(b"end"),
        end=b"",
    )
    assert case.made() == b"head" + b"1" * 3 * 512 + b"raw" + b"end"


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\xff",
        b"[]",
        b"7",
        {"payload": ""},
        {"type": 3},
        {"type": 0},
        {"type": None},
        {"type": 2, "payload": "?"},
        {"type": 2, "payload": "YQ=\n="},
        {"type": 2, "payload": 7},
        b"[" * 60_000,
        {"type": 1, "name": 7, "size": 512},
        {"type": 1, "name": "a\0b", "size": 512},
        {"type": 1, "name": "\ud800", "size": 512},
        {"type": 1, "name": "a/one", "size": "512"},
        {"type": 1, "name": "a/one", "size": 512.0},
        {"type": 1, "name": "a/one", "size": 512, "name_raw": "?"},
        {"type": 1, "name": "a/one", "size": 512, "name_raw": None},
    ],
)
def test_a_line_that_is_none(case: Case, line: object) -> None:
    case.write_split(piece(b"head"), line)
    assert case.fault() == "its tar-split is damaged"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_longest_line(case: Case, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(containers_storage, "_LONGEST_LINE", 100)
    # Lines that are whole are not held against it.
    whole, last = json.dumps(piece(b"x" * 200)), json.dumps(piece(b"x")).ljust(100 + more)
    case.write_split(whole.encode(), last.encode(), end=b"")
    if more > 0:
        assert case.fault() == "its tar-split has a line of more than 16 MiB"
    else:
        assert case.made() == b"x" * 201


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_longest_tar_split(case: Case, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    line = json.dumps(piece(b"x")).encode()
    case.write_split(line)
    monkeypatch.setattr(containers_storage, "_MOST_SPLIT", len(line) + 1 - more)
    if more > 0:
        assert case.fault().startswith(f"its tar-split: unpacks to more than {len(line)} bytes")
    else:
        assert case.made() == b"x"


def test_a_tar_split_of_several_pieces(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers_storage, "_PIECE", 5)
    content = os.urandom(300_000)
    case.write_split(*(piece(content[at : at + 1000]) for at in range(0, len(content), 1000)))
    assert case.made() == content


def test_a_tar_split_that_cannot_be_read(case: Case) -> None:
    path = Path(case.store.tar_split_path(case.layer))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert case.fault() == "its tar-split: its gzip data end too early"
    with open_source(case.source(), RegistryClient) as source:
        (image,) = source.images()
        path.unlink()
        with (
            source.layer(image.layers[0]) as chunks,
            pytest.raises(SourceError, match=r"its tar-split cannot be read: .*No such file"),
        ):
            list(chunks)
